"""How often a job is tried, and what becomes of it then: a guild's actor on a real Valkey, with a world that fails."""

from __future__ import annotations

import itertools
import warnings
from typing import cast

import msgspec
import pytest

from tests.support.bench import REPLY, Bench, play
from tests.support.voice_nodes import GUILD, SHARD, USER, Clock, make_job, metric, running
from tonearm.errors import Away, DiscordAway, LavalinkAway, Refused
from tonearm.jobs.job import encode
from tonearm.music.actions import Stop
from tonearm.music.track import Loaded
from tonearm.redis import guilds, keys
from tonearm.sentences import Sentence
from voice_nodes.lease import Lease

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # discord.py imports audioop
    from voice_nodes import judging as module
    from voice_nodes import lease as leases
    from voice_nodes.judging import RETRY_AFTER


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RETRY_AFTER", (0.001, 0.002, 0.003))


@pytest.mark.parametrize("error", [LavalinkAway, DiscordAway])
async def test_what_nobody_waits_for_is_tried_four_times(bench: Bench, error: type[Away]) -> None:
    bench.world.errors = [error("detail") for _ in range(3)]
    await bench.give(play("a:1"))
    async with running(bench.work()):
        await bench.done()
    times = [when for _, when in bench.world.asked]
    for wait, (before, after) in zip(RETRY_AFTER, itertools.pairwise(times), strict=True):
        assert wait <= after - before < wait + 1
    assert await bench.logged() == ["a:1"]
    assert await bench.letters() == []


async def test_and_then_goes_to_the_dead_letters(bench: Bench, quick: None) -> None:
    bench.world.errors = [LavalinkAway("http://:password@host") for _ in range(4)]
    await bench.give(play("a:1"))
    async with running(bench.work()):
        await bench.done()
    assert await bench.letters() == [("a:1", "LavalinkAway (SOUND_AWAY), 4 times")]
    assert len(bench.world.asked) == 4
    assert await bench.logged() == []
    assert b"password" not in repr(await bench.redis.xrange(keys.dead(SHARD))).encode()


async def test_later_jobs_of_the_guild_wait_for_it(bench: Bench, quick: None) -> None:
    bench.world.errors = [LavalinkAway() for _ in range(3)]
    await bench.give(play("a:1"), play("a:2"), play("a:3"))
    async with running(bench.work()):
        await bench.done()
    assert await bench.logged() == ["a:1", "a:2", "a:3"]
    assert [query for query, _ in bench.world.asked] == ["query of a:1"] * 4 + ["query of a:2", "query of a:3"]


async def test_a_lease_that_runs_out_during_a_look_up_costs_a_job_only_time(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "RENEW_EVERY", 0.01)
    monkeypatch.setattr(leases, "JUMP", 100)
    clock = Clock()
    await bench.lease.release()
    bench.lease = cast(Lease, await Lease.attempt(bench.redis, SHARD, "me", clock=clock))
    fetch = bench.world.fetch_tracks

    async def run_out(query: str, guild: int) -> Loaded:
        found = await fetch(query, guild)
        if len(bench.world.asked) == 1:
            clock.now += 7.5
        bench.lease.check()
        return found

    monkeypatch.setattr(bench.world, "fetch_tracks", run_out)
    await bench.give(play("i:1", reply=REPLY))
    async with running(bench.work()) as working, running(bench.lease.keep()):
        await bench.done()
        assert not working.done()
    assert len(bench.world.asked) == 2
    assert await bench.logged() == ["i:1"]


async def test_a_person_is_told_at_once(bench: Bench) -> None:
    bench.world.errors = [LavalinkAway()]
    await bench.give(play("i:1", reply=REPLY))
    async with running(bench.work()):
        await bench.done(timeout=0.1 + RETRY_AFTER[0] * 4)
    assert Sentence.SOUND_AWAY in await bench.told("i:1")
    assert len(bench.world.asked) == 1
    assert await bench.letters() == []


async def test_nothing_is_tried_beyond_its_deadline(bench: Bench) -> None:
    bench.world.errors = [LavalinkAway() for _ in range(9)]
    await bench.give(play("a:1", valid_ms=300))
    async with running(bench.work()):
        await bench.done()
    assert await bench.letters() == [("a:1", "LavalinkAway (SOUND_AWAY), 2 times")]


async def test_a_refusal_is_an_answer_and_not_tried_again(bench: Bench) -> None:
    bench.world.errors = [Refused(Sentence.NOTHING_FOUND, query="x")]
    await bench.give(play("a:1"))
    async with running(bench.work()):
        await bench.done()
    assert len(bench.world.asked) == 1
    assert await bench.letters() == []


async def test_past_its_deadline_it_is_not_done_and_its_person_reads_so(bench: Bench) -> None:
    await bench.give(play("i:1", reply=REPLY, valid_ms=1))
    await bench.redis.xread({keys.jobs(99): "$"}, block=30)
    async with running(bench.work()):
        await bench.done()
    assert Sentence.NOT_DONE_IN_TIME.format(seconds=0) in await bench.told("i:1")
    assert bench.world.asked == []
    assert await bench.logged() == []


async def test_what_nobody_expected_is_tried_three_times_and_its_person_hears_of_it(bench: Bench, quick: None) -> None:
    bench.world.errors = [ValueError("a secret") for _ in range(3)]
    before = metric("tonearm_jobs_total", kind="play", outcome="dead")
    await bench.give(play("i:1", reply=REPLY), play("i:2", reply=REPLY))
    async with running(bench.work()):
        await bench.done()
    assert await bench.letters() == [("i:1", "ValueError, 3 times")]
    assert Sentence.INTERNAL.format(id="i:1") in await bench.told("i:1")
    assert await bench.logged() == ["i:2"]
    assert metric("tonearm_jobs_total", kind="play", outcome="dead") == before + 1


async def test_twice_is_forgiven(bench: Bench, quick: None) -> None:
    bench.world.errors = [ValueError(), KeyError()]
    await bench.give(play("i:1", reply=REPLY))
    async with running(bench.work()):
        await bench.done()
    assert await bench.logged() == ["i:1"]
    assert await bench.letters() == []


@pytest.mark.parametrize(
    ("body", "id"),
    [
        (b'{"id":"i:1","guild":20971520,"action":{"type":"yodel"}', None),
        (b"\xff", None),
        (encode({"id": "i:1", "guild": GUILD, "action": {"type": "yodel"}, "reply": REPLY}), "i:1"),
        (encode({"id": "i:1", "guild": GUILD}), "i:1"),
    ],
)
async def test_what_can_not_be_read_goes_to_the_dead_letters(bench: Bench, body: bytes, id: str | None) -> None:
    entry = await bench.redis.xadd(keys.jobs(SHARD), {"j": body})
    await bench.redis.sadd(keys.waiting(SHARD, GUILD), "i:1")
    await bench.give(play("i:2", reply=REPLY))
    async with running(bench.work()):
        await bench.done()
    ((name, reason),) = await bench.letters()
    assert name == (id or f"x:{entry.decode()}")
    assert reason.startswith("can't be read: ")
    assert await bench.logged() == ["i:2"]
    if b"secret" in body:
        assert Sentence.INTERNAL.format(id="i:1") in await bench.told("i:1")
        assert await bench.redis.smembers(keys.waiting(SHARD, GUILD)) == set()
    assert b"secret" not in repr(await bench.redis.xrange(keys.dead(SHARD))).encode()


async def test_a_state_that_can_not_be_written_costs_that_job_alone(bench: Bench) -> None:
    await bench.redis.set(keys.history(SHARD, GUILD), "not a list")
    await bench.redis.set(keys.log(SHARD, GUILD), "not a list")
    other = msgspec.structs.replace(play("i:2", reply=REPLY), guild=GUILD + (1 << 22))
    await bench.give(play("i:1", reply=REPLY), other)
    async with running(bench.work()):
        await bench.done()
    ((name, reason),) = await bench.letters()
    assert (name, reason.partition(":")[0]) == ("i:1", "can't be written")
    assert Sentence.INTERNAL.format(id="i:1") in await bench.told("i:1")
    assert await bench.redis.llen(keys.log(SHARD, GUILD + (1 << 22))) == 1


async def test_the_view_follows_what_was_done_before(bench: Bench) -> None:
    await bench.give(play("i:1"), make_job("i:2", Stop()), play("i:3"))
    async with running(bench.work()):
        await bench.done()
    view = await guilds.fetch_view(bench.redis, SHARD, GUILD)
    assert view.player.playing is not None
    assert view.player.playing.entry.user == USER
    assert (await bench.logged()) == ["i:1", "i:2", "i:3"]

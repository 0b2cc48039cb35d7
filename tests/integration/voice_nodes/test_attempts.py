"""How often a job is tried, and what becomes of it then: a guild's actor on a real Valkey, with a world that fails."""

from __future__ import annotations

import asyncio
import itertools
import time
import warnings
from collections.abc import AsyncIterator, Callable
from typing import Any, cast

import msgspec
import pytest

from tests.support.voice_nodes import GUILD, SHARD, USER, VOICE, Clock, hand_over, make_job, metric, running
from tonearm.errors import Away, DiscordAway, LavalinkAway, Refused
from tonearm.jobs.job import Job, Reply, decode_answer, encode
from tonearm.music.actions import Play, Stop
from tonearm.music.track import Loaded, Track
from tonearm.redis import answers, dead, guilds, keys
from tonearm.redis.client import Client, connect
from tonearm.sentences import Sentence
from voice_nodes.intake import Intake
from voice_nodes.lease import Lease

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # discord.py imports audioop
    from voice_nodes import judging as module
    from voice_nodes import lease as leases
    from voice_nodes.actor import GuildActor
    from voice_nodes.judging import RETRY_AFTER

REPLY = Reply(1, "a secret token", "reply:here")
FOUND = Loaded((Track("abc", "A song"),))


class World:
    """Discord and Lavalink as an actor asks them; ``errors`` are raised by the next look-ups, one each."""

    def __init__(self) -> None:
        self.errors: list[Exception] = []
        self.asked: list[tuple[str, float]] = []

    async def fetch_caller_channel(self, guild: int, user: int, *, here: int | None = None) -> int:
        return VOICE

    def is_alone(self, guild: int, channel: int) -> bool:
        return False

    def require_entry(self, guild: int, channel: int) -> None:
        pass

    async def fetch_tracks(self, query: str, guild: int) -> Loaded:
        self.asked.append((query, time.monotonic()))
        if self.errors:
            raise self.errors.pop(0)
        return FOUND

    async def require_alive(self, guild: int) -> None:
        self.asked.append(("alive", time.monotonic()))
        if self.errors:
            raise self.errors.pop(0)

    # As converger and announcer.

    async def run(self) -> None:
        await asyncio.Event().wait()

    def show(self, _: object) -> None:
        pass

    def begins(self, play: str) -> None:
        pass


class Bench:
    """A node's way of a job, from the stream to the commit."""

    def __init__(self, redis: Client, world: World) -> None:
        self.redis = redis
        self.world = world
        self.deferred: list[str] = []
        self.actors: dict[int, GuildActor] = {}
        self.lease: Lease = cast(Any, None)

    def actor(self, guild: int) -> GuildActor:
        world: Any = self.world
        made = GuildActor(
            guild,
            shard=SHARD,
            redis=self.redis,
            lease=self.lease,
            gateway=world,
            sound=world,
            announcer=world,
            on_deferred=self.deferred.append,
            on_end=lambda: None,
        )
        made.converger = world
        return made

    async def work(self, owner: str = "me") -> None:
        """Be the shard's owner until cancelled."""
        async with asyncio.TaskGroup() as tasks:

            def deliver(received: Any) -> None:
                guild = received.job.guild
                if guild not in self.actors:
                    self.actors[guild] = self.actor(guild)
                    tasks.create_task(self.actors[guild].run())
                self.actors[guild].submit(received)

            await Intake(self.redis, SHARD, owner, deliver).run()

    async def give(self, *jobs: Job) -> None:
        for job in jobs:
            await hand_over(self.redis, job)

    async def done(self, timeout: float = 10) -> None:
        """All that was handed over is out of the stream."""
        async with asyncio.timeout(timeout):
            while await self.redis.xlen(keys.jobs(SHARD)):
                await self.redis.xread({keys.jobs(99): "$"}, block=10)  # a pause on the server's clock

    async def letters(self) -> list[tuple[str, str]]:
        return [(kept.letter.id, kept.letter.reason) for kept in await dead.fetch_dead(self.redis, SHARD)]

    async def told(self, job: str) -> str:
        owed = await answers.fetch_one_owed(self.redis, SHARD, job)
        assert owed is not None
        assert owed.reply == REPLY
        assert owed.answer.private
        return msgspec.json.encode(msgspec.json.decode(owed.answer.message)).decode()

    async def logged(self) -> list[str]:
        entries = await self.redis.lrange(keys.log(SHARD, GUILD), 0, -1)
        return [msgspec.json.decode(entry)["id"] for entry in entries]


@pytest.fixture
async def bench(redis_url: str) -> AsyncIterator[Bench]:
    client = connect(redis_url, timeout=5)
    bench = Bench(client, World())
    lease = await Lease.attempt(client, SHARD, "me")
    assert lease is not None
    bench.lease = lease
    yield bench
    await client.aclose()


def play(name: str, *, reply: Reply | None = None, valid_ms: int = 60_000) -> Job:
    return make_job(name, Play(f"query of {name}"), reply=reply, valid_ms=valid_ms)


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


# Taken over.


async def dies(bench: Bench, when: Callable[[str], bool], *, leaving: bool = False) -> None:
    """A node that takes what there is and dies, or gives the shard up, as soon as it looks up what ``when`` names."""
    world, died = bench.world, asyncio.Event()
    asked = world.fetch_tracks

    async def fetch(query: str, guild: int) -> Loaded:
        if when(query):
            died.set()
            await asyncio.Event().wait()
        return await asked(query, guild)

    world.fetch_tracks = fetch  # type: ignore[method-assign]
    bench.actors = {}
    async with running(bench.work()), asyncio.timeout(10):
        await died.wait()
    world.fetch_tracks = asked  # type: ignore[method-assign]
    for actor in bench.actors.values() if leaving else ():
        await actor.lay_down()
    bench.actors = {}


async def test_who_gives_the_shard_up_in_the_middle_of_a_job_does_not_count_against_it(bench: Bench) -> None:
    await bench.give(play("i:1", reply=REPLY), play("i:2", reply=REPLY))
    for _ in range(5):
        await dies(bench, lambda query: query == "query of i:1", leaving=True)
    async with running(bench.work()):
        await bench.done()
    assert await bench.logged() == ["i:1", "i:2"]
    assert await bench.letters() == []


async def test_a_job_that_ends_its_node_three_times_is_given_up_and_those_behind_it_are_not(bench: Bench) -> None:
    await bench.give(play("i:1", reply=REPLY), play("i:2", reply=REPLY), play("i:3", reply=REPLY))
    for _ in range(3):
        await dies(bench, lambda query: query == "query of i:1")
    async with running(bench.work()):
        await bench.done()
    assert await bench.letters() == [("i:1", "was begun 3 times and never finished: it may end its node")]
    assert Sentence.INTERNAL.format(id="i:1") in await bench.told("i:1")
    assert await bench.logged() == ["i:2", "i:3"]


async def test_two_deaths_are_forgiven(bench: Bench) -> None:
    await bench.give(play("i:1", reply=REPLY), play("i:2", reply=REPLY))
    for _ in range(2):
        await dies(bench, lambda query: query == "query of i:1")
    async with running(bench.work()):
        await bench.done()
    assert await bench.logged() == ["i:1", "i:2"]
    assert await bench.letters() == []


async def test_what_was_left_behind_is_done_in_order_before_what_came_meanwhile(bench: Bench) -> None:
    await bench.give(*(play(f"i:{number}") for number in range(5)))
    await dies(bench, lambda query: query == "query of i:2")
    await bench.give(*(play(f"i:{number}") for number in range(5, 8)))
    async with running(bench.work("another")):
        await bench.done()
    assert await bench.logged() == [f"i:{number}" for number in range(8)]
    pending = await bench.redis.xpending(keys.jobs(SHARD), keys.JOB_GROUP)
    assert pending["pending"] == 0


async def test_a_job_that_was_committed_but_is_delivered_again_changes_nothing(bench: Bench) -> None:
    job = play("i:1", reply=REPLY)
    await bench.give(job)
    async with running(bench.work()):
        await bench.done()
    said = await bench.redis.hget(keys.record(SHARD, "i:1"), "answer")
    await bench.redis.xadd(keys.jobs(SHARD), {"j": encode(job)})
    await bench.redis.xreadgroup(keys.JOB_GROUP, "dead", {keys.jobs(SHARD): ">"})
    asked = len(bench.world.asked)
    bench.actors = {}
    async with running(bench.work()):
        await bench.done()
    assert len(bench.world.asked) == asked
    assert await bench.logged() == ["i:1"]
    assert await bench.redis.hget(keys.record(SHARD, "i:1"), "answer") == said
    assert decode_answer(said).lasting


async def test_the_view_follows_what_was_done_before(bench: Bench) -> None:
    await bench.give(play("i:1"), make_job("i:2", Stop()), play("i:3"))
    async with running(bench.work()):
        await bench.done()
    view = await guilds.fetch_view(bench.redis, SHARD, GUILD)
    assert view.player.playing is not None
    assert view.player.playing.entry.user == USER
    assert (await bench.logged()) == ["i:1", "i:2", "i:3"]

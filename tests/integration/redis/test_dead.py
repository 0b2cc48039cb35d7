"""Dead letters on a real Valkey: written with the acknowledgement, without a token, and handed over again once."""

import asyncio

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.interactions.stub_node import StubNode, answer
from tonearm.errors import LeaseLost
from tonearm.jobs.errand import replayed
from tonearm.jobs.job import DeadLetter, Job, Reply, decode_job
from tonearm.music.actions import Play
from tonearm.redis import guilds, keys
from tonearm.redis.client import Client, now_ms
from tonearm.redis.dead import Kept, count_attempt, fetch_dead, replay
from tonearm.redis.handover import RECORD_MS, hand_over

GUILD = 5 << 22
JOB = Job("i:1", GUILD, 7, 9, Play("words"), 20_000, Reply(1, "a secret token", "reply:here"))


@pytest.fixture
async def node(redis_client: Client) -> StubNode:
    node = StubNode(redis_client)
    await node.own()
    return node


async def give_up(node: StubNode, entry: str, job: Job, *, token: str | None = None) -> guilds.Committed:
    letter = DeadLetter(job.id, job.guild, "why", 5, msgspec.structs.replace(job, reply=None))
    return await guilds.commit(
        node.redis,
        shard=0,
        guild=job.guild,
        token=token or node.token,
        id=job.id,
        now_ms=0,
        before=await guilds.fetch_view(node.redis, 0, job.guild),
        stream_entry=entry,
        user=job.user,
        answer=answer("sorry"),
        reply=job.reply,
        dead=letter,
    )


async def bury(node: StubNode, job: Job = JOB) -> Kept:
    await hand_over(node.redis, job, shard_count=1, window_ms=0)
    entry, taken = await node.take()
    await give_up(node, entry, taken)
    return (await fetch_dead(node.redis, 0))[-1]


async def test_it_is_written_with_the_acknowledgement_and_the_answer(node: StubNode) -> None:
    kept = await bury(node)
    assert kept.letter == DeadLetter("i:1", GUILD, "why", 5, msgspec.structs.replace(JOB, reply=None))
    assert await node.redis.xlen(keys.jobs(0)) == 0
    assert (await node.redis.xpending(keys.jobs(0), keys.JOB_GROUP))["pending"] == 0
    assert await node.redis.scard(keys.waiting(0, GUILD)) == 0
    assert await node.redis.hget(keys.record(0, "i:1"), "answer")


async def test_no_token_lies_with_it(node: StubNode) -> None:
    await bury(node)
    assert b"secret" not in repr(await node.redis.xrange(keys.dead(0))).encode()


async def test_who_lost_the_shard_writes_none(node: StubNode) -> None:
    await hand_over(node.redis, JOB, shard_count=1, window_ms=0)
    entry, job = await node.take()
    with pytest.raises(LeaseLost):
        await give_up(node, entry, job, token="another")
    assert await fetch_dead(node.redis, 0) == []
    assert await node.redis.xlen(keys.jobs(0)) == 1


async def test_given_up_twice_is_one_letter(node: StubNode) -> None:
    await hand_over(node.redis, JOB, shard_count=1, window_ms=0)
    entry, job = await node.take()
    assert not (await give_up(node, entry, job)).again
    assert (await give_up(node, entry, job)).again
    assert len(await fetch_dead(node.redis, 0)) == 1


async def test_only_so_many_are_kept(node: StubNode, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guilds, "KEPT_DEAD", 3)
    for number in range(5):
        await bury(node, msgspec.structs.replace(JOB, id=f"i:{number}"))
    assert [kept.letter.id for kept in await fetch_dead(node.redis, 0)] == ["i:2", "i:3", "i:4"]


# Again.


async def test_it_is_handed_over_again_under_a_name_of_its_own(node: StubNode) -> None:
    kept = await bury(node)
    await node.redis.hset(keys.player(0, GUILD), "play", "abc")
    assert await replay(node.redis, kept) == "queued"
    assert await fetch_dead(node.redis, 0) == []
    ((entry, fields),) = await node.redis.xrange(keys.jobs(0))
    job = decode_job(fields[b"j"])
    assert job == msgspec.structs.replace(JOB, id="i:1:r1", reply=None)
    assert fields[b"p"] == b"abc"
    assert await node.redis.smembers(keys.waiting(0, GUILD)) == {b"i:1:r1"}
    assert abs(int(entry.split(b"-")[0]) - await now_ms(node.redis)) < 5_000  # its time begins anew
    assert 0 < await node.redis.pttl(keys.record(0, "i:1:r1")) <= RECORD_MS


async def test_twenty_at_once_hand_it_over_once(node: StubNode) -> None:
    kept = await bury(node)
    said = await asyncio.gather(*(replay(node.redis, kept) for _ in range(20)))
    assert sorted(said) == ["gone"] * 19 + ["queued"]
    assert await node.redis.xlen(keys.jobs(0)) == 1


async def test_a_letter_that_was_written_twice_is_handed_over_once(node: StubNode) -> None:
    """As when a store was set back to an older copy: the name of the job tells."""
    kept = await bury(node)
    await replay(node.redis, kept)
    await node.redis.xadd(keys.dead(0), {"d": msgspec.json.encode(kept.letter)})
    (again,) = await fetch_dead(node.redis, 0)
    assert await replay(node.redis, again) == "queued"
    assert await fetch_dead(node.redis, 0) == []
    assert await node.redis.xlen(keys.jobs(0)) == 1


async def test_while_nobody_would_do_it_it_is_kept(node: StubNode) -> None:
    kept = await bury(node)
    await node.redis.delete(keys.lease(0))
    assert await replay(node.redis, kept) == "ownerless"
    assert await fetch_dead(node.redis, 0) == [kept]
    assert await node.redis.xlen(keys.jobs(0)) == 0


async def test_what_could_not_be_read_can_not_be_handed_over(node: StubNode) -> None:
    letter = DeadLetter("x:1-0", 0, "can't be read", 5)
    await node.redis.xadd(keys.dead(0), {"d": msgspec.json.encode(letter)})
    (kept,) = await fetch_dead(node.redis, 0)
    assert await replay(node.redis, kept) == "unreadable"
    assert await fetch_dead(node.redis, 0) == [kept]


@given(st.text(), st.integers(1, 30))
def test_each_time_has_the_next_name(name: str, times: int) -> None:
    job = msgspec.structs.replace(JOB, id=name)
    names = [name]
    for _ in range(times):
        job = replayed(job)
        assert job.reply is None
        names.append(job.id)
    assert len(set(names)) == len(names)
    assert replayed(msgspec.structs.replace(JOB, id=name)).id == names[1]


# Attempts.


async def test_attempts_are_counted_and_forgotten(node: StubNode) -> None:
    await hand_over(node.redis, JOB, shard_count=1, window_ms=0)
    assert await count_attempt(node.redis, 0, "i:1", node.token) == (1, False)
    assert await count_attempt(node.redis, 0, "i:1", node.token) == (2, False)
    entry, job = await node.take()
    await node.commit(entry, job, answer())
    assert await count_attempt(node.redis, 0, "i:1", node.token) == (3, True)
    assert await count_attempt(node.redis, 0, "unheard of", node.token) == (1, False)
    assert 0 < await node.redis.pttl(keys.record(0, "unheard of")) <= RECORD_MS


async def test_who_lost_the_shard_counts_nothing(node: StubNode) -> None:
    await hand_over(node.redis, JOB, shard_count=1, window_ms=0)
    before = await node.redis.hgetall(keys.record(0, "i:1"))
    with pytest.raises(LeaseLost):
        await count_attempt(node.redis, 0, "i:1", str(int(node.token) - 1))
    assert await node.redis.hgetall(keys.record(0, "i:1")) == before

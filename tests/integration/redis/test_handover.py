"""Handing a job over, on a real Valkey: once, if all may be."""

import asyncio

import pytest

from tests.support.interactions.stub_node import StubNode, answer
from tonearm.errors import Refused
from tonearm.jobs.job import Job, Reply, decode_job
from tonearm.music.actions import Pause
from tonearm.redis import answers, handover, keys
from tonearm.redis.handover import HandedOver, Limit, hand_over
from tonearm.sentences import Sentence

GUILD, OTHER_GUILD, USER = 5 << 22, 6 << 22, 77
FREE = Limit(interval_ms=30_000, burst=1_000_000)
SLOW = 60_000


def job(number=1, *, guild=GUILD, user=USER, id=None):
    return Job(id or f"i:{number}", guild, user, 9, Pause(), 20_000, Reply(1, "token", "reply:here"))


@pytest.fixture
async def owner(redis_client):
    node = StubNode(redis_client)
    await node.own()
    return node


@pytest.fixture
def give(redis_client):
    async def give(job, *, window_ms=800, guild_limit=FREE, user_limit=FREE):
        return await hand_over(
            redis_client, job, shard_count=1, window_ms=window_ms, guild_limit=guild_limit, user_limit=user_limit
        )

    return give


async def everything(redis):
    """All that is in Redis, to compare."""
    found = {}
    for key in sorted(await redis.keys()):
        kind = (await redis.type(key)).decode()
        read = {
            "string": redis.get,
            "hash": redis.hgetall,
            "set": redis.smembers,
            "zset": lambda key: redis.zrange(key, 0, -1, withscores=True),
            "stream": redis.xrange,
        }[kind]
        found[key] = await read(key)
    return found


async def refused(giving):
    with pytest.raises(Refused) as caught:
        await giving
    return caught.value


async def test_a_job_is_appended_with_the_play_that_its_person_saw(give, owner, redis_client):
    await redis_client.hset(keys.player(0, GUILD), "play", "abc")
    assert await give(job()) == HandedOver()
    ((_, fields),) = await redis_client.xrange(keys.jobs(0))
    assert decode_job(fields[b"j"]) == job()
    assert fields[b"p"] == b"abc"
    assert await redis_client.smembers(keys.waiting(0, GUILD)) == {b"i:1"}


async def test_what_is_known_of_it_lives_as_long_as_a_token_and_names_the_end_of_its_window(give, owner, redis_client):
    await give(job(), window_ms=800)
    seconds, _ = await redis_client.time()
    record = await redis_client.hgetall(keys.record(0, "i:1"))
    assert record[b"deferred"] == b""
    assert 0 <= int(record[b"by"]) - seconds * 1000 <= 2_000
    for key in (keys.record(0, "i:1"), keys.waiting(0, GUILD)):
        assert handover.RECORD_MS - 5_000 < await redis_client.pttl(key) <= handover.RECORD_MS


async def test_without_a_window_it_is_deferred_from_the_start(give, owner, redis_client):
    await give(job(), window_ms=0)
    assert await redis_client.hget(keys.record(0, "i:1"), "deferred") == b"1"


async def test_a_second_delivery_leaves_a_mark_and_nothing_else(give, owner, redis_client):
    await give(job())
    before = await everything(redis_client)
    assert await give(job()) == HandedOver(again=True)
    before[keys.record(0, "i:1").encode()][b"again"] = b"1"
    assert await everything(redis_client) == before


async def test_a_second_delivery_is_known_even_when_limits_are_reached_or_nobody_owns_the_shard(
    give, owner, redis_client
):
    once = Limit(interval_ms=SLOW, burst=1)
    await give(job(), user_limit=once, guild_limit=once)
    await redis_client.delete(keys.lease(0))
    assert await give(job(), user_limit=once, guild_limit=once) == HandedOver(again=True)


async def test_a_second_delivery_brings_the_answer_of_the_first(give, owner):
    await give(job())
    await owner.do_one(answer("first"))
    handed = await give(job())
    assert (handed.again, handed.deferred) == (True, False)
    assert b"first" in handed.answer


async def test_a_second_delivery_is_told_that_the_first_was_deferred(give, owner):
    await give(job(), window_ms=0)
    assert await give(job()) == HandedOver(again=True, deferred=True)


async def test_of_a_hundred_deliveries_at_once_one_is_appended(give, owner, redis_client):
    handed = await asyncio.gather(*(give(job()) for _ in range(100)))
    assert sum(not each.again for each in handed) == 1
    assert await redis_client.xlen(keys.jobs(0)) == 1


async def test_a_user_has_a_burst_and_then_one_an_interval(give, owner):
    limit = Limit(interval_ms=SLOW, burst=3)
    for number in range(3):
        await give(job(number), user_limit=limit)
    refusal = await refused(give(job(4), user_limit=limit))
    assert refusal.sentence is Sentence.TOO_MANY_FROM_USER
    assert "Wait 60 s" in str(refusal)
    await give(job(5, user=USER + 1), user_limit=limit)
    await give(job(6, guild=OTHER_GUILD), user_limit=limit)


async def test_a_user_may_again_after_the_interval(give, owner, redis_client):
    limit = Limit(interval_ms=SLOW, burst=1)
    await give(job(1), user_limit=limit)
    key = keys.user_limit(0, GUILD, USER)
    # As if the interval had passed: the arrival time lies as far back as the clock would have gone on.
    await redis_client.set(key, int(await redis_client.get(key)) - SLOW, keepttl=True)
    await give(job(2), user_limit=limit)
    assert (await refused(give(job(3), user_limit=limit))).sentence is Sentence.TOO_MANY_FROM_USER


async def test_limits_forget_themselves(give, owner, redis_client):
    await give(job(), user_limit=Limit(2_000, 10), guild_limit=Limit(5_000, 40))
    assert 1_000 < await redis_client.pttl(keys.user_limit(0, GUILD, USER)) <= 2_000
    assert 4_000 < await redis_client.pttl(keys.guild_limit(0, GUILD)) <= 5_000


async def test_a_guild_has_its_own_limit(give, owner):
    limit = Limit(interval_ms=SLOW, burst=3)
    for number in range(3):
        await give(job(number, user=number), guild_limit=limit)
    refusal = await refused(give(job(4, user=4), guild_limit=limit))
    assert refusal.sentence is Sentence.TOO_MANY_FROM_GUILD
    await give(job(5, guild=OTHER_GUILD), guild_limit=limit)


@pytest.mark.parametrize("which", ["user", "guild", "waiting", "busy", "ownerless"])
async def test_a_refusal_changes_nothing(give, owner, redis_client, monkeypatch, which):
    limits = {f"{which}_limit": Limit(interval_ms=SLOW, burst=1)} if which in ("user", "guild") else {}
    await give(job(1), **limits)
    if which == "waiting":
        monkeypatch.setattr(handover, "MAX_WAITING", 1)
    elif which == "busy":
        monkeypatch.setattr(handover, "MAX_STREAM", 1)
    elif which == "ownerless":
        await redis_client.delete(keys.lease(0))
    before = await everything(redis_client)
    await refused(give(job(3), **limits))
    assert await everything(redis_client) == before


async def test_twenty_of_a_guild_may_wait(give, owner):
    for number in range(20):
        await give(job(number))
    refusal = await refused(give(job(20)))
    assert str(refusal) == "20 commands of this server are waiting. Wait a few seconds and try again."
    await give(job(21, guild=OTHER_GUILD))
    await owner.do_one()
    await give(job(20))


async def test_a_long_stream_takes_no_more(give, owner, redis_client, monkeypatch):
    monkeypatch.setattr(handover, "MAX_STREAM", 2)
    await give(job(1))
    await give(job(2, guild=OTHER_GUILD))
    assert (await refused(give(job(3)))).sentence is Sentence.TOO_BUSY


async def test_without_an_owner_nothing_is_taken(give):
    assert (await refused(give(job()))).sentence is Sentence.NO_PLAYER


async def test_confirming_forgets_the_token(give, owner, redis_client):
    await give(job())
    await owner.do_one()
    assert await redis_client.hexists(keys.record(0, "i:1"), "reply")
    await answers.confirm_response(redis_client, 0, "i:1")
    record = await redis_client.hgetall(keys.record(0, "i:1"))
    assert b"token" not in b"".join(record.values())
    assert await redis_client.zcard(keys.outbox(0)) == 0

"""Keys from the cache: no question to the database for each request, and no door open after a revoke."""

import asyncio
from datetime import timedelta
from unittest.mock import AsyncMock

import pytest

from tests.support.api.serving import NOW
from tests.support.voice_nodes import metric, running
from tonearm import keyring as module
from tonearm.keyring import AT_MOST, AWAY, FRESH, Keyring
from tonearm.postgres.api_keys import create_key, revoke_key
from tonearm.postgres.pool import FAILURES
from tonearm.redis import key_tier
from tonearm.redis.client import connect

AWAY_URL = "redis://127.0.0.1:1"


class Time:
    """A clock that tests move."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self):
        return self.now


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
async def key(pool):
    return (await create_key(pool, "test", ["music:read"], expires_at=NOW + timedelta(days=1), now=NOW)).key


@pytest.fixture
def asked(monkeypatch):
    """What PostgreSQL was asked; ``asked.side_effect = OSError()`` takes it away."""
    real = module.fetch_key
    asked = AsyncMock(wraps=real)
    monkeypatch.setattr(module, "fetch_key", asked)
    return asked


def ring(redis, pool, time, **options) -> Keyring:
    return Keyring(redis, pool, clock=time, **options)


async def test_the_database_is_asked_once_for_all_processes_as_long_as_that_is_fresh(
    redis_client, pool, time, key, asked
):
    here, there, frozen = (ring(redis_client, pool, time, local=local) for local in (True, True, False))
    before = metric("tonearm_api_key_lookups_total", tier="process")
    for each in (here, there, frozen) * 5:
        assert (await each.find(key.hash)).id == key.id
    assert asked.await_count == 1
    assert metric("tonearm_api_key_lookups_total", tier="process") == before + 8
    time.now += FRESH
    await here.find(key.hash)
    await there.find(key.hash)
    assert asked.await_count == 2


async def test_what_redis_gave_is_as_old_as_it_was_there(redis_client, pool, time, key, asked):
    here, there = (ring(redis_client, pool, time) for _ in range(2))
    await here.find(key.hash)
    time.now += FRESH - timedelta(seconds=1)
    await there.find(key.hash)
    time.now += timedelta(seconds=1)
    await there.find(key.hash)
    assert asked.await_count == 2


async def test_a_revoke_is_heard_everywhere_at_once(redis_client, pool, time, key):
    here, there, frozen = (ring(redis_client, pool, time, local=local) for local in (True, True, False))
    heard = asyncio.Event()
    there_heard = there._heard
    there._heard = lambda message: (there_heard(message), heard.set())
    began = asyncio.Event()
    there_doubts = there._doubt_all
    there._doubt_all = lambda: (there_doubts(), began.set())
    async with running(there.listen()), asyncio.timeout(10):
        await began.wait()
        for each in (here, there, frozen):
            assert await each.find(key.hash) is not None
        await revoke_key(pool, key.id, time.now)
        await here.forget(key.hash)
        await heard.wait()
    for each in (here, there, frozen):
        assert await each.find(key.hash) is None


@pytest.mark.parametrize("lost", ["message", "redis"])
async def test_a_revoke_that_was_not_heard_is_seen_when_what_is_known_is_not_fresh(redis_client, pool, time, key, lost):
    async with connect(AWAY_URL) as away:
        there = ring(away if lost == "redis" else redis_client, pool, time)
        await there.find(key.hash)
        await revoke_key(pool, key.id, time.now)
        assert await there.find(key.hash) is not None
        time.now += FRESH
        assert await there.find(key.hash) is None


async def test_who_may_have_missed_a_revoke_asks_again(redis_client, pool, time, key):
    there = ring(redis_client, pool, time)
    await there.find(key.hash)
    await revoke_key(pool, key.id, time.now)
    await ring(redis_client, pool, time).forget(key.hash)
    assert await there.find(key.hash) is not None, "it listens to nothing"
    there._doubt_all()
    assert await there.find(key.hash) is None


async def test_what_was_read_before_a_revoke_is_not_believed_after_it(redis_client, pool, time, key, asked):
    here, other = (ring(redis_client, pool, time) for _ in range(2))
    real = asked._mock_wraps

    async def slow(*args, **named):
        found = await real(*args, **named)
        await revoke_key(pool, key.id, time.now)
        await other.forget(key.hash)
        return found

    asked.side_effect = slow
    assert await here.find(key.hash) is None
    assert await here.find(key.hash) is None
    assert await key_tier.fetch(redis_client, key.hash) == key_tier.REVOKED
    assert asked.await_count == 1, "Redis knows that it was revoked"


async def test_without_the_database_known_keys_go_on_for_a_bounded_time(redis_client, pool, time, key, asked):
    here, there = (ring(redis_client, pool, time) for _ in range(2))
    await here.find(key.hash)
    asked.side_effect = OSError("away")
    time.now += AT_MOST - timedelta(seconds=1)
    for each in (here, there):
        assert await each.find(key.hash) is not None
    time.now += timedelta(seconds=1)
    for each in (here, there):
        with pytest.raises(FAILURES):
            await each.find(key.hash)
    asked.side_effect = None
    time.now += AWAY
    assert await here.find(key.hash) is not None


async def test_without_the_database_nobody_is_let_in_who_is_not_known(redis_client, pool, time, key, asked):
    here = ring(redis_client, pool, time)
    asked.side_effect = TimeoutError()
    for _ in range(3):
        with pytest.raises(FAILURES):
            await here.find(key.hash)
    assert asked.await_count == 1, "who hangs is not asked by each request"


async def test_no_cache_outlives_the_end_of_a_key(redis_client, pool, time, key):
    here = ring(redis_client, pool, time)
    time.now = key.expires_at - timedelta(seconds=1)
    assert await here.find(key.hash) is not None
    time.now = key.expires_at
    assert await here.find(key.hash) is None


async def test_a_stranger_is_remembered_nowhere(redis_client, pool, time):
    here = ring(redis_client, pool, time)
    assert await here.find(b"x" * 32) is None
    assert await redis_client.keys("*api_key*") == []
    assert not here._known


async def test_its_last_use_is_noted(redis_client, pool, time, key, asked):
    here = ring(redis_client, pool, time)
    time.now += timedelta(minutes=5)
    await here.find(key.hash)
    time.now += FRESH
    assert (await here.find(key.hash)).last_used_at == NOW + timedelta(minutes=5)

"""A shard's lease on a real Valkey: one holder, and a token that only grows."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import redis.asyncio

from tonearm.redis import keys, lease
from tonearm.redis.client import connect, now_ms

SHARD = 3
Redis = redis.asyncio.Redis


@pytest.fixture
async def client(redis_url: str) -> "AsyncIterator[Redis[Any]]":
    async with connect(redis_url, timeout=5) as client:
        yield client


async def expired(client: "Redis[Any]") -> None:
    """Let the lease run out, and return when it has."""
    await client.pexpire(keys.lease(SHARD), 1)
    async with asyncio.timeout(5):
        while await client.exists(keys.lease(SHARD)):
            pass


async def test_one_holds_it(client: "Redis[Any]") -> None:
    takers = await asyncio.gather(*(lease.take(client, SHARD, f"node {n}") for n in range(20)))
    (token,) = [token for token in takers if token is not None]
    held = await client.hgetall(keys.lease(SHARD))
    assert held == {b"owner": f"node {takers.index(token)}".encode(), b"token": token.encode()}
    assert 0 < await client.pttl(keys.lease(SHARD)) <= lease.LEASE_MS
    assert await lease.take(client, SHARD + 1, "node 0") is not None


async def test_it_is_kept_by_its_holder_alone(client: "Redis[Any]") -> None:
    token = await lease.take(client, SHARD, "me", life_ms=2_000)
    assert token is not None
    assert await lease.renew(client, SHARD, token, life_ms=60_000)
    assert await client.pttl(keys.lease(SHARD)) > 50_000
    assert not await lease.renew(client, SHARD, str(int(token) - 1), life_ms=600_000)
    assert not await lease.renew(client, SHARD, "", life_ms=600_000)
    assert await client.pttl(keys.lease(SHARD)) <= 60_000


async def test_given_back_it_is_free_at_once(client: "Redis[Any]") -> None:
    token = await lease.take(client, SHARD, "me")
    assert token is not None
    assert await lease.release(client, SHARD, token)
    other = await lease.take(client, SHARD, "other")
    assert other is not None
    assert int(other) > int(token)


async def test_what_is_anothers_is_not_given_back(client: "Redis[Any]") -> None:
    old = await lease.take(client, SHARD, "me")
    assert old is not None
    await expired(client)
    token = await lease.take(client, SHARD, "other")
    assert not await lease.release(client, SHARD, old)
    assert await client.hget(keys.lease(SHARD), "token") == (token or "").encode()


async def test_run_out_it_can_be_taken_but_not_renewed(client: "Redis[Any]") -> None:
    old = await lease.take(client, SHARD, "me")
    assert old is not None
    await expired(client)
    assert not await lease.renew(client, SHARD, old)
    assert not await client.exists(keys.lease(SHARD))
    new = await lease.take(client, SHARD, "me")
    assert new is not None
    assert not await lease.renew(client, SHARD, old)
    assert await lease.renew(client, SHARD, new)


async def test_tokens_grow_quicker_than_time(client: "Redis[Any]") -> None:
    tokens = []
    for number in range(50):
        token = await lease.take(client, SHARD, f"node {number}")
        assert token is not None
        tokens.append(int(token))
        await lease.release(client, SHARD, token)
    assert tokens == sorted(set(tokens))


async def test_a_token_after_a_loss_of_all_data_is_later_than_those_before(client: "Redis[Any]") -> None:
    before = await lease.take(client, SHARD, "me")
    assert before is not None
    async with asyncio.timeout(5):
        while await now_ms(client) <= int(before):
            pass
    await client.flushall()
    after = await lease.take(client, SHARD, "me")
    assert after is not None
    assert int(after) > int(before)


async def test_a_clock_that_went_back_does_not_take_tokens_back(client: "Redis[Any]") -> None:
    ahead = 2**52
    await client.set(keys.token(SHARD), ahead)
    assert await lease.take(client, SHARD, "me") == str(ahead + 1)
    assert await client.get(keys.token(SHARD)) == str(ahead + 1).encode()
    assert await client.pttl(keys.token(SHARD)) == -1

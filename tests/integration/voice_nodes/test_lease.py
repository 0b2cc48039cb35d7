"""The lease on a real Valkey, by a clock that the tests set."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import redis.asyncio
from redis.exceptions import ConnectionError

from playground.stores.valkey import Valkey
from tests.support.metrics import counts
from tests.support.voice_nodes import SHARD, Called, Clock, metric, running
from tonearm.errors import LeaseLost
from tonearm.redis import client as redis_clients
from tonearm.redis import keys
from tonearm.redis import lease as leases
from voice_nodes import lease as module
from voice_nodes.lease import Lease

Redis = redis.asyncio.Redis


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RENEW_EVERY", 0.01)


@pytest.fixture
async def mortal() -> AsyncIterator[Valkey]:
    """A Valkey of one test's own, to be stopped."""
    async with Valkey() as server:
        yield server


async def take(client: Redis[Any], clock: Clock, owner: str = "me") -> Lease:
    lease = await Lease.attempt(client, SHARD, owner, clock=clock)
    assert lease is not None
    return lease


async def test_a_free_shard_is_taken_at_once(redis_client: Redis[Any], clock: Clock) -> None:
    taken = metric("tonearm_lease_changes_total", change="taken")
    lease = await take(redis_client, clock)
    assert await redis_client.hgetall(keys.lease(SHARD)) == {b"owner": b"me", b"token": lease.token.encode()}
    assert 0 < await redis_client.pttl(keys.lease(SHARD)) <= leases.LEASE_MS
    assert lease.held()
    assert metric("tonearm_lease_changes_total", change="taken") == taken + 1


async def test_a_held_shard_is_not_taken(redis_client: Redis[Any], clock: Clock) -> None:
    first = await take(redis_client, clock)
    assert await Lease.attempt(redis_client, SHARD, "other", clock=clock) is None
    await first.release()
    second = await take(redis_client, clock, "other")
    assert int(second.token) > int(first.token)
    assert await redis_client.hget(keys.lease(SHARD), "owner") == b"other"


async def test_nobody_takes_it_while_redis_is_away(mortal: Valkey, clock: Clock) -> None:
    await mortal.stop()
    async with redis_clients.connect(mortal.url) as client:
        with pytest.raises(ConnectionError):
            await Lease.attempt(client, SHARD, "me", clock=clock)
        await mortal.start()
        assert (await take(client, clock)).held()


async def test_a_lease_whose_clock_is_not_known_is_given_back(
    redis_client: Redis[Any], clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "now_ms", Called(module.now_ms, fails=(ConnectionError("away"),)))
    assert await Lease.attempt(redis_client, SHARD, "me", clock=clock) is None
    assert not await redis_client.exists(keys.lease(SHARD))


async def test_it_is_held_until_a_second_before_its_end(redis_client: Redis[Any], clock: Clock) -> None:
    lease = await take(redis_client, clock)
    clock.now += 6.99
    lease.check()
    clock.now += 0.02
    assert not lease.held()
    with pytest.raises(LeaseLost, match="shard 0 has run out"):
        lease.check()


@pytest.mark.usefixtures("quick")
async def test_keeping_it_moves_its_end(
    redis_client: Redis[Any], clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    lease = await take(redis_client, clock)
    read = Called(module.now_ms)
    monkeypatch.setattr(module, "now_ms", read)
    clock.now += 5
    async with running(lease.keep()):
        await read.times(2)
    clock.now += 6.9
    lease.check()


@pytest.mark.usefixtures("quick")
async def test_keeping_ends_when_another_has_it(redis_client: Redis[Any], clock: Clock) -> None:
    lease = await take(redis_client, clock)
    lost = metric("tonearm_lease_changes_total", change="lost")
    await redis_client.delete(keys.lease(SHARD))
    await leases.take(redis_client, SHARD, "other")
    with pytest.raises(LeaseLost, match="another owner"):
        await asyncio.wait_for(lease.keep(), 5)
    assert metric("tonearm_lease_changes_total", change="lost") == lost + 1


@pytest.fixture
async def returning() -> AsyncIterator[Valkey]:
    """A server that comes back with what it knew."""
    async with Valkey(aof=True, appendfsync="always") as server:
        yield server


@pytest.mark.usefixtures("quick")
async def test_a_lease_that_ran_out_while_redis_was_away_is_taken_again(
    returning: Valkey, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "JUMP", 100)  # the time passes, and this process does not stand still
    async with redis_clients.connect(returning.url) as client:
        lease = await take(client, clock)
        token = lease.token
        asked = Called(leases.renew)
        monkeypatch.setattr(leases, "renew", asked)
        async with running(lease.keep()) as keeping:
            await asked.times(1)
            await returning.kill()
            await asked.times(len(asked.results) + 2)
            lease.check()
            clock.now += 7
            with pytest.raises(LeaseLost, match="has run out"):
                lease.check()
            waiting = asyncio.create_task(lease.until_held())
            await asked.times(len(asked.results) + 2)
            assert not waiting.done()
            await returning.start()
            await client.delete(keys.lease(SHARD))  # as if it had run out there, too
            await asyncio.wait_for(waiting, 10)
            assert not keeping.done()
            lease.check()
            assert int(lease.token) > int(token)
            assert await client.hget(keys.lease(SHARD), "token") == lease.token.encode()
            assert not await leases.renew(client, SHARD, token)


@pytest.mark.usefixtures("quick")
async def test_what_waits_for_a_lease_that_another_has_ends(redis_client: Redis[Any], clock: Clock) -> None:
    lease = await take(redis_client, clock)
    clock.now += 60
    await redis_client.delete(keys.lease(SHARD))
    await leases.take(redis_client, SHARD, "other")
    async with running(lease.keep()) as keeping:
        await asyncio.sleep(0)  # that it is kept
        with pytest.raises(LeaseLost):
            await asyncio.wait_for(lease.until_held(), 5)
        with pytest.raises(LeaseLost, match="another owner"):
            await asyncio.wait_for(keeping, 5)


async def test_nobody_waits_for_a_lease_that_is_not_kept(redis_client: Redis[Any], clock: Clock) -> None:
    lease = await take(redis_client, clock)
    await lease.until_held()
    clock.now += 60
    with pytest.raises(LeaseLost, match="has run out"):
        await lease.until_held()


@pytest.mark.usefixtures("quick")
async def test_what_may_be_done_again_is_when_the_lease_is_back(
    redis_client: Redis[Any], clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "JUMP", 100)
    lease = await take(redis_client, clock)
    tries: list[bool] = []

    async def work() -> str:
        tries.append(lease.held())
        if len(tries) == 1:
            clock.now += 7  # it runs out in the midst of it
        lease.check()
        return "done"

    async with running(lease.keep()):
        assert await asyncio.wait_for(lease.persist(work), 10) == "done"
    assert tries == [True, True]


@pytest.mark.usefixtures("quick")
async def test_what_may_be_done_again_is_not_when_the_shard_is_anothers(redis_client: Redis[Any], clock: Clock) -> None:
    lease = await take(redis_client, clock)

    async def refused() -> None:
        raise LeaseLost("Redis says so")

    with pytest.raises(LeaseLost, match="Redis says so"):
        await lease.persist(refused)

    async def late() -> None:
        clock.now += 7
        lease.check()

    with pytest.raises(LeaseLost, match="has run out"):  # nobody keeps it
        await lease.persist(late)


async def test_it_is_not_taken_again_when_another_had_it_meanwhile_or_data_was_lost(redis_client: Redis[Any]) -> None:
    """Nor while somebody has it. But the question may be asked twice."""
    token = await leases.take(redis_client, SHARD, "me")
    assert token is not None
    assert await leases.retake(redis_client, SHARD, "other", token) is None
    await redis_client.delete(keys.lease(SHARD))
    mine = await leases.retake(redis_client, SHARD, "me", token)
    assert mine is not None
    await redis_client.pexpire(keys.lease(SHARD), 1_500)
    assert await leases.retake(redis_client, SHARD, "me", token) == mine
    assert await redis_client.pttl(keys.lease(SHARD)) > leases.LEASE_MS - 1_000, "who asks counts from then on"
    await redis_client.delete(keys.lease(SHARD))
    theirs = await leases.take(redis_client, SHARD, "other")
    assert theirs is not None
    await leases.release(redis_client, SHARD, theirs)
    assert await leases.retake(redis_client, SHARD, "me", mine) is None
    await redis_client.flushall()
    assert await leases.retake(redis_client, SHARD, "me", mine) is None


@pytest.mark.usefixtures("quick")
async def test_a_renewal_of_which_the_answer_was_lost_does_not_count(
    redis_client: Redis[Any], clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    lease = await take(redis_client, clock)
    clock.now += 6
    failing = Called(module.now_ms, fails=(ConnectionError("away"),) * 2)
    monkeypatch.setattr(module, "now_ms", failing)
    async with running(lease.keep()):
        await failing.times(2)
        clock.now += 1
        assert not lease.held()


async def test_its_time_is_redis_time(redis_client: Redis[Any], clock: Clock) -> None:
    lease = await take(redis_client, clock)
    assert abs(lease.now_ms() - await redis_clients.now_ms(redis_client)) < 1_000
    before = lease.now_ms()
    clock.now += 2.5
    assert lease.now_ms() == before + 2_500


async def test_releasing_gives_it_to_whoever_wants_it(redis_client: Redis[Any], clock: Clock) -> None:
    lease = await take(redis_client, clock)
    await lease.release()
    assert not lease.held()
    other = await take(redis_client, clock, "other")
    await lease.release()
    assert await redis_client.hget(keys.lease(SHARD), "token") == other.token.encode()


async def test_only_what_was_ours_counts_as_given_back(redis_client: Redis[Any], clock: Clock) -> None:
    lease = await take(redis_client, clock)
    with counts("tonearm_lease_changes_total", change="given back"):
        await lease.release()
    lease = await take(redis_client, clock)
    await redis_client.delete(keys.lease(SHARD))  # it ran out
    with (
        counts("tonearm_lease_changes_total", 0, change="given back"),
        counts("tonearm_lease_changes_total", change="lost"),
    ):
        await lease.release()


@pytest.mark.usefixtures("quick")
async def test_what_is_taken_again_just_as_keeping_ends_is_given_back(
    redis_client: Redis[Any], clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    lease = await take(redis_client, clock)
    await redis_client.delete(keys.lease(SHARD))  # it ran out
    retake = leases.retake
    taken, answered = asyncio.Event(), asyncio.Event()

    async def retake_and_wait(*args: Any) -> str | None:
        token = await retake(*args)
        taken.set()
        await answered.wait()
        return token

    monkeypatch.setattr(leases, "retake", retake_and_wait)
    async with running(lease.keep()) as keeping:
        await asyncio.wait_for(taken.wait(), 5)
        keeping.cancel()
        asyncio.get_running_loop().call_soon(answered.set)
        await asyncio.wait([keeping], timeout=5)
        assert keeping.cancelled()
    with counts("tonearm_lease_changes_total", change="given back"):
        await lease.release()
    assert not await redis_client.exists(keys.lease(SHARD))


async def test_releasing_while_redis_is_away_is_no_error(mortal: Valkey, clock: Clock) -> None:
    async with redis_clients.connect(mortal.url) as client:
        lease = await take(client, clock)
        await mortal.stop()
        await lease.release()
        assert not lease.held()

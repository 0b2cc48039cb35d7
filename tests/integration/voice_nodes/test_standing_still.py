"""A process that stands still and goes on: what it notices, in which order, and what it may not do any more."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator

import pytest

from tests.support.voice_nodes import SHARD, Called, Clock, metric, running
from tonearm.errors import LeaseLost
from tonearm.redis import lease as leases
from tonearm.redis.client import Client, connect
from voice_nodes import lease as module
from voice_nodes.lease import JUMP, TICK, Lease, uptime


@pytest.fixture(autouse=True)
def nothing_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test has a clock of its own, and its process has never stood still."""
    monkeypatch.setattr(module, "_noticed_at", -math.inf)


@pytest.fixture
async def client(redis_url: str) -> AsyncIterator[Client]:
    """As the voice node has it."""
    async with connect(redis_url, timeout=2.0) as client:
        yield client


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def lease(client: Client, clock: Clock) -> Lease:
    taken = await Lease.attempt(client, SHARD, "me", clock=clock)
    assert taken is not None
    return taken


async def kept(lease: Lease) -> None:
    """Let ``keep`` begin."""
    await asyncio.sleep(0)
    assert lease._seen is not None


def on_jump(lease: Lease) -> list[bool]:
    """What is called at a jump; it notes whether the lease was there."""
    calls: list[bool] = []
    lease.on_jump = lambda: calls.append(lease.held())
    return calls


async def test_after_a_jump_the_sockets_go_before_anything_is_checked(lease: Lease, clock: Clock) -> None:
    calls = on_jump(lease)
    jumps = metric("tonearm_clock_jumps_total")
    async with running(lease.keep()):
        await kept(lease)
        clock.now += TICK + JUMP + 0.01
        lease.check()  # a moment later the loop would have noticed by itself
        assert calls == [True]
        assert metric("tonearm_clock_jumps_total") == jumps + 1


async def test_a_jump_is_counted_once_however_many_shards_notice_it(lease: Lease, clock: Clock, client: Client) -> None:
    other = await Lease.attempt(client, SHARD + 1, "me", clock=clock)
    assert other is not None
    jumps = metric("tonearm_clock_jumps_total")
    async with running(lease.keep()), running(other.keep()):
        await kept(lease)
        await kept(other)
        for number in (1, 2):
            clock.now += TICK + JUMP + 0.01
            lease.check()
            clock.now += TICK
            other.check()
            assert metric("tonearm_clock_jumps_total") == jumps + number


async def test_a_slow_step_is_no_jump(lease: Lease, clock: Clock) -> None:
    calls = on_jump(lease)
    async with running(lease.keep()):
        await kept(lease)
        clock.now += TICK + JUMP - 0.01
        lease.check()
    assert calls == []


async def test_a_short_jump_asks_at_once_whether_the_shard_is_ours(
    lease: Lease, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RENEW_EVERY", 60.0)
    asked = Called(leases.renew)
    monkeypatch.setattr(leases, "renew", asked)
    calls = on_jump(lease)
    async with running(lease.keep()) as keeping:
        await kept(lease)
        clock.now += 3
        assert await asked.times(1, timeout=5) == [True]
        assert calls == [True]
        assert not keeping.done()


async def test_a_jump_beyond_the_end_loses_the_shard_without_a_question(
    lease: Lease, clock: Clock, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = Called(leases.renew)
    monkeypatch.setattr(leases, "renew", asked)
    calls = on_jump(lease)
    lost = metric("tonearm_lease_changes_total", change="lost")
    async with running(lease.keep()) as keeping:
        await kept(lease)
        clock.now += 9
        with pytest.raises(LeaseLost):
            lease.check()
        assert calls == [False]
        with pytest.raises(LeaseLost, match="has run out"):
            await asyncio.wait_for(keeping, 5)
    assert asked.results == []
    assert metric("tonearm_lease_changes_total", change="lost") == lost + 1


async def test_nobody_keeps_it_any_more_so_nothing_jumps(lease: Lease, clock: Clock) -> None:
    calls = on_jump(lease)
    async with running(lease.keep()):
        await kept(lease)
    clock.now += 5
    lease.check()
    assert calls == []


def test_the_clock_counts_also_while_the_machine_sleeps() -> None:
    with open("/proc/uptime") as file:
        assert abs(float(file.read().split()[0]) - uptime()) < 5

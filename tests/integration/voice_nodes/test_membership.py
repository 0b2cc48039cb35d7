"""Several voice nodes on a real Valkey, as far as who owns which shard."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from playground.stores.valkey import Valkey
from tests.support.voice_nodes import Called, Clock, metric, running
from tonearm.redis import keys, lease, members
from tonearm.redis.client import Client, connect
from tonearm.redis.members import Member
from voice_nodes import membership as module
from voice_nodes.lease import Lease
from voice_nodes.membership import Membership

NEVER = 60.0
"""Seconds between two looks where only a message can be the reason for one."""


class Node:
    """A voice node that does nothing but own shards."""

    def __init__(self, client: Client, name: str, shard_count: int, **options: Any) -> None:
        self.membership = Membership(client, name, shard_count, **options)
        self.leases: dict[int, Lease] = {}
        self._let_go = {shard: asyncio.Event() for shard in range(shard_count)}
        self._changed = asyncio.Condition()

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.membership.run(lambda shard: self._let_go[shard].set()))
            for shard in self._let_go:
                tasks.create_task(self._own(shard))

    async def _own(self, shard: int) -> None:
        while True:
            taken = await self.membership.acquire(shard)
            self._let_go[shard].clear()
            await self._note(shard, taken)
            await self._let_go[shard].wait()
            await self.release(shard)

    async def release(self, shard: int) -> None:
        await self.leases[shard].release()
        self.membership.dropped(shard)
        await self._note(shard, None)

    async def _note(self, shard: int, taken: Lease | None) -> None:
        async with self._changed:
            if taken is None:
                del self.leases[shard]
            else:
                self.leases[shard] = taken
            self._changed.notify_all()

    async def has(self, count: int, timeout: float = 5) -> None:
        """Wait until it owns so many shards."""
        async with asyncio.timeout(timeout), self._changed:
            await self._changed.wait_for(lambda: len(self.leases) == count)


@contextlib.asynccontextmanager
async def nodes(client: Client, *names: str, shards: int, **options: Any) -> AsyncIterator[list[Node]]:
    """Voice nodes, started one after the other; each is known to the others before the next one starts."""
    async with contextlib.AsyncExitStack() as stack:
        started = []
        for name in names:
            node = Node(client, name, shards, **options)
            looked = asyncio.create_task(node.membership.wait_look())
            await stack.enter_async_context(running(node.run()))
            await asyncio.wait_for(looked, 5)
            started.append(node)
            if len(started) == 1:
                await node.has(shards)
        yield started


@pytest.fixture
async def client(redis_url: str) -> AsyncIterator[Client]:
    """As the voice node has it."""
    async with connect(redis_url, timeout=2.0) as client:
        yield client


@pytest.fixture
async def mortal() -> AsyncIterator[Valkey]:
    """A Valkey of one test's own, to be stopped."""
    async with Valkey() as server:
        yield server


async def listening(client: Client, count: int) -> None:
    """Wait until so many nodes hear the messages."""
    async with asyncio.timeout(5):
        while await client.publish(keys.NODES, "a test") < count:
            pass


async def test_a_lone_node_takes_every_shard_and_says_so(client: Client) -> None:
    async with nodes(client, "a", shards=3) as (a,):
        await asyncio.wait_for(a.membership.wait_look(), 5)
        seen = {each.member.name: each.member for each in await members.beat(client, Member("observer", 1))}
        assert seen["a"].shards == (0, 1, 2)
        assert a.membership.standing_by()
        assert [await client.hget(keys.lease(shard), "owner") for shard in range(3)] == [b"a"] * 3
        assert metric("tonearm_voice_nodes", state="staying") >= 1


async def test_a_second_node_stands_by_until_a_shard_is_released(client: Client) -> None:
    async with nodes(client, "a", "b", shards=1, poll=NEVER) as (a, b):
        assert b.membership.standing_by()
        assert not b.leases
        await listening(client, 2)
        began = time.monotonic()
        await a.membership.leave()
        await a.leases[0].release()  # it has not had the time yet to say that it holds less
        await b.has(1)
        assert time.monotonic() - began < 1, "it heard of it: its next look is far away"


async def test_what_a_leaver_held_is_spread_over_those_who_stay(client: Client) -> None:
    async with nodes(client, "a", "b", "c", shards=4) as (a, b, c):
        await listening(client, 3)
        await a.membership.leave()
        for shard in range(4):
            await a.release(shard)
        await b.has(2)
        await c.has(2)


async def test_a_lease_that_runs_out_is_taken_at_its_end(client: Client) -> None:
    assert await lease.take(client, 0, "dead", life_ms=700)
    began = time.monotonic()
    node = Node(client, "a", 1, poll=NEVER)
    async with running(node.run()):
        await node.has(1)
        assert 0.6 < time.monotonic() - began < 1.2


async def test_a_release_that_nobody_heard_costs_a_look(client: Client) -> None:
    assert await lease.take(client, 0, "other", life_ms=60_000)
    node = Node(client, "a", 1, poll=0.05)
    async with running(node.run()):
        await asyncio.wait_for(node.membership.wait_look(), 5)
        assert not node.membership.standing_by()
        await client.delete(keys.lease(0))
        await node.has(1, timeout=2)


async def test_what_is_spread_unevenly_is_given_one_by_one(client: Client) -> None:
    given = metric("tonearm_shard_handovers_total")
    async with nodes(client, "a", "b", shards=5, settle=0.2) as (a, b):
        await b.has(2)
        await a.has(3)
        assert metric("tonearm_shard_handovers_total") == given + 2


async def test_who_gives_up_waiting_while_it_is_asked_for_keeps_no_lease(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    membership = Membership(client, "a", 1)
    take = lease.take
    waiting = asyncio.create_task(membership.acquire(0))

    async def take_late(*args: Any) -> str | None:
        token = await take(*args)
        waiting.cancel()
        return token

    late = Called(take_late)
    monkeypatch.setattr(lease, "take", late)
    released = Called(lease.release)
    monkeypatch.setattr(lease, "release", released)
    async with running(membership.run(lambda _: None)):
        await late.times(1)
        await released.times(1)
        assert not await client.exists(keys.lease(0))
        assert membership.held == frozenset()


async def test_a_leaver_takes_nothing_and_is_forgotten_when_it_has_gone(client: Client) -> None:
    membership = Membership(client, "a", 1, poll=0.02)
    await membership.leave()
    async with running(membership.run(lambda _: None)), running(membership.acquire(0)) as waiting:
        await asyncio.wait_for(membership.wait_look(), 5)
        await asyncio.wait_for(membership.wait_look(), 5)
        assert not waiting.done()
    await membership.go()
    assert not await client.exists(keys.BEATS, keys.ABOUT)


async def test_without_redis_it_does_not_stand_by_and_comes_back(mortal: Valkey) -> None:
    clock = Clock()
    async with connect(mortal.url, timeout=2.0) as client:
        node = Node(client, "a", 1, clock=clock, poll=0.05)
        async with running(node.run()):
            await node.has(1)
            assert node.membership.standing_by()
            await mortal.stop()
            clock.now += module.SILENT + 0.1
            assert not node.membership.standing_by()
            await mortal.start()
            await asyncio.wait_for(node.membership.wait_look(), 10)
            assert node.membership.standing_by()


async def test_after_redis_was_away_whoever_had_a_shard_comes_first(client: Client) -> None:
    clock = Clock()
    assert await lease.take(client, 0, "other", life_ms=60_000)
    node = Node(client, "a", 1, clock=clock, poll=0.02)
    async with running(node.run()):
        await asyncio.wait_for(node.membership.wait_look(), 5)
        clock.now += module.SILENT + 0.1  # as if no look had been answered for so long
        await asyncio.wait_for(node.membership.wait_look(), 5)
        await client.delete(keys.lease(0))
        for _ in range(3):
            await asyncio.wait_for(node.membership.wait_look(), 5)
        assert not node.leases
        clock.now += module.PATIENCE
        await node.has(1)


async def test_saying_good_bye_does_not_wait_for_redis(mortal: Valkey) -> None:
    async with connect(mortal.url, timeout=2.0) as client:
        await mortal.stop()
        async with asyncio.timeout(3):
            membership = Membership(client, "a", 1)
            await membership.leave()
            await membership.go()


async def test_the_silent_are_forgotten_and_the_new_are_announced(client: Client) -> None:
    async with client.pubsub() as heard:
        await heard.subscribe(keys.NODES)
        await heard.get_message(timeout=2)
        await members.beat(client, Member("old", 1), life_ms=0)
        await members.beat(client, Member("old", 1))
        await members.beat(client, Member("old", 1, leaving=True), tell=True)
        told = [(await heard.get_message(timeout=2))["data"] for _ in range(2)]
        assert told == [b"old", b"old"]
        async with asyncio.timeout(5):
            while len(seen := await members.beat(client, Member("new", 2), life_ms=5)) > 1:
                pass
        assert [each.member.name for each in seen] == ["new"]

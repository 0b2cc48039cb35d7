"""Several voice nodes in real processes: who owns which shard, who identifies when, and who sends after a stop.

The tests build on each other's nodes: each leaves at least two of them, and every shard with an owner.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
import redis.asyncio

from playground.system import System
from tonearm.child_logs import LogFolder
from tonearm.redis import keys
from tonearm.settings import PREFIX

if TYPE_CHECKING:
    from tests.e2e.conftest import OpenRoom, Room

SHARDS = 4
PACKETS_UNTIL_SAVED = 75
"""1.5 s of music."""
QUIET = 4
"""Seconds without a change among the nodes after which they spread shards evenly."""

Owners = dict[int, str]


class Nodes:
    """Voice nodes by the name that they have in the system, and what Redis says of them."""

    def __init__(self, system: System, store: redis.asyncio.Redis[Any]) -> None:
        self.system = system
        self.store = store
        self.urls: dict[str, str] = {}
        self._names = ["voice-node"]
        self._numbers = itertools.count(2)

    @property
    def names(self) -> list[str]:
        """Those that run."""
        return [*self._names]

    async def start(self) -> str:
        """Start another one; returns when it is ready or stands by."""
        name = f"voice-node-{next(self._numbers)}"
        self.urls[name] = (await self.system.start_voice_node(name))["url"]
        self._names.append(name)
        return name

    async def stop(self, name: str) -> None:
        """SIGTERM; returns when it is gone."""
        self._names.remove(name)
        await self.system.supervisor.stop(name)

    def pid(self, name: str) -> int:
        pid = self.system.supervisor.pid(name)
        assert pid is not None
        return pid

    @contextlib.asynccontextmanager
    async def standing_still(self, name: str) -> AsyncIterator[None]:
        """The process is stopped, with all it meant to say, and continued at the end."""
        pid = self.pid(name)
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    async def wait_metric(self, name: str, line: str, within: float) -> None:
        """Wait until a node's metrics have a line that begins so."""
        async with aiohttp.ClientSession() as http, asyncio.timeout(within):
            while True:
                async with http.get(f"{self.urls[name]}/metrics") as response:
                    if any(found.startswith(line) for found in (await response.text()).splitlines()):
                        return

    async def owners(self) -> Owners:
        """Who owns each shard that is owned."""
        names = {self.pid(name): name for name in self._names}
        found = {}
        for shard in range(SHARDS):
            owner = await self.store.hget(keys.lease(shard), "owner")
            if owner is not None:  # names in Redis end in the process id
                found[shard] = names.get(int(owner.decode().rpartition("-")[2]), "somebody who is gone")
        return found

    async def wait(self, wanted: Callable[[Owners], bool], within: float) -> Owners:
        """Wait until the shards have such owners, and return them."""
        async with self.changes() as changed:
            try:
                async with asyncio.timeout(within):
                    while not wanted(owners := await self.owners()):
                        await changed()
            except TimeoutError:
                raise AssertionError(f"after {within} s the owners are {await self.owners()}") from None
        return owners

    async def wait_spread(self, within: float = 15) -> Owners:
        """Wait until every shard has an owner, and no node has two more than another."""
        return await self.wait(lambda owners: spread(owners, len(self._names)), within)

    @contextlib.asynccontextmanager
    async def changes(self) -> AsyncIterator[Callable[[], Any]]:
        """``await changed()``: returns after the next change of a lease, or of the nodes."""
        await self.store.config_set("notify-keyspace-events", "Kghx")
        async with self.store.pubsub(ignore_subscribe_messages=True) as heard:
            await heard.psubscribe("__keyspace@0__:*:lease", keys.NODES)

            async def changed() -> None:
                while await heard.get_message(timeout=60) is None:
                    pass

            yield changed


def spread(owners: Owners, nodes: int) -> bool:
    counts = Counter(owners.values())
    return len(owners) == SHARDS and sorted(counts.values()) == sorted(
        SHARDS // nodes + (rank < SHARDS % nodes) for rank in range(nodes)
    )


@pytest.fixture(scope="module")
async def nodes(tmp_path_factory: pytest.TempPathFactory, tones: Path) -> AsyncIterator[Nodes]:
    """One voice node and all else; Discord lets two shards identify each five seconds, and says so."""
    folder = tmp_path_factory.mktemp("nodes")
    settings = {"SHARD_COUNT": str(SHARDS), "REBALANCE_AFTER": str(QUIET)}
    options = ("--max-concurrency", "2")
    with LogFolder(folder / "logs") as log:
        async with System(folder, library=tones, settings=settings, twin_options=options, log=log) as system:
            url = system.environ[f"{PREFIX}REDIS_URL"]
            async with redis.asyncio.from_url(url) as store:
                yield Nodes(system, store)


async def test_a_second_node_stands_by_and_then_gets_its_half_one_by_one(nodes: Nodes) -> None:
    assert set((await nodes.owners()).values()) == {"voice-node"}
    second = await nodes.start()
    assert set((await nodes.owners()).values()) == {"voice-node"}, "it is ready though it owns nothing yet"
    seen = []
    async with nodes.changes() as changed, asyncio.timeout(20):
        while not seen or not spread(seen[-1], 2):
            await changed()
            seen.append(await nodes.owners())
    assert Counter(seen[-1].values())[second] == 2
    assert min(len(owners) for owners in seen) >= SHARDS - 1, "one at a time"


async def test_two_nodes_identify_in_turn_and_discord_never_objects(nodes: Nodes) -> None:
    twin = nodes.system.twin
    since = await twin.mark()
    await twin.forget_session()
    for shard in range(SHARDS):
        await twin.wait_for("guilds_sent", since=since, timeout=20, shard=shard)
    assert len(await twin.log(since, name="identify")) == SHARDS
    assert await twin.log(name="identify_limited") == []


async def test_in_a_rollout_the_newcomer_gets_what_the_leaver_had(nodes: Nodes) -> None:
    before = await nodes.wait_spread()
    twin = nodes.system.twin
    since = await twin.mark()
    newcomer = await nodes.start()
    assert await nodes.owners() == before, "nothing moves before somebody leaves"
    await nodes.stop("voice-node")
    after = await nodes.wait(lambda owners: len(owners) == SHARDS, within=5)
    assert after == {shard: newcomer if owner == "voice-node" else owner for shard, owner in before.items()}
    for shard in (shard for shard, owner in after.items() if owner == newcomer):
        await twin.wait_for("session_resumed", since=since, timeout=5, shard=shard)
    assert await twin.log(since, name="identify") == []


async def controls(room: Room) -> None:
    """The shard's owner has the music in hand."""
    await room.ask("pause")
    await room.ear.hears_silence(for_ms=200)
    await room.ask("resume")
    await room.ear.hears(440)


async def test_nobody_hears_a_rollout_that_replaces_every_node(open_room: OpenRoom, nodes: Nodes) -> None:
    before = await nodes.wait_spread()
    rooms = [await open_room(shard=shard, where=nodes.system) for shard in range(SHARDS)]
    await asyncio.gather(*(room.ask("play", query="long 440") for room in rooms))
    await asyncio.gather(*(room.ear.hears(440) for room in rooms))
    # What another process needs is saved once a second.
    await asyncio.gather(*(room.ear.wait_packets(PACKETS_UNTIL_SAVED) for room in rooms))
    for room in rooms:
        await room.ear.mark()
    since = await nodes.system.twin.mark()
    old = nodes.names
    for name in old:
        await nodes.start()
        await nodes.stop(name)
        await nodes.wait(lambda owners: len(owners) == SHARDS, within=5)
    after = await nodes.owners()
    assert set(before.values()) == set(old)
    assert not set(after.values()) & {*old, "somebody who is gone"}, "all were replaced"
    for shard in range(SHARDS):
        await nodes.system.twin.wait_for("session_resumed", since=since, timeout=5, shard=shard)
    assert await nodes.system.twin.log(since, name="identify") == []
    for room in rooms:
        report = await room.ear.wait_packets((await room.ear.report()).packets + 50)
        assert report.socket_drops == 0
        assert (report.lost, report.breaks, report.silence_runs, report.ssrc_changes) == (0, 0, 0, 0), report
        assert (report.step_errors, report.restarts, report.bad, report.unheard) == (0, 0, 0, 0), report
    await asyncio.gather(*(controls(room) for room in rooms))


async def test_who_was_stopped_for_longer_than_its_lease_sends_nothing_more(open_room: OpenRoom, nodes: Nodes) -> None:
    owners = await nodes.wait_spread()
    shard, frozen = next(iter(owners.items()))
    room = await open_room(shard=shard, where=nodes.system)
    await room.ask("play", query="long 440")
    await room.ear.hears(440)
    twin = nodes.system.twin
    since = await twin.mark()
    async with nodes.standing_still(frozen):
        begun = time.monotonic()
        await nodes.wait(lambda owners: len(owners) == SHARDS and frozen not in owners.values(), within=10)
        assert time.monotonic() - begun < 8.5
        await twin.wait_for("session_resumed", since=since, timeout=5, shard=shard)
        await controls(room)
        await room.ear.mark()
    continued = time.monotonic()
    await nodes.wait_metric(frozen, "tonearm_leases 0.0", within=5)
    await nodes.wait_metric(frozen, 'tonearm_lease_changes_total{change="lost"}', within=5)
    await controls(room)
    assert time.monotonic() - continued < 5
    report = await room.ear.report()
    assert (report.ssrc_changes, report.step_errors) == (0, 0), "one stream"
    resumed = await twin.log(since, name="session_resumed")
    mine = [entry for entry in resumed if entry["data"]["shard"] == shard]
    assert len(mine) <= 2, "it was taken over once, and taken back at most once"
    assert await twin.log(since, name="identify") == []
    assert len(await twin.sessions()) == SHARDS
    assert frozen not in (await nodes.owners()).values()

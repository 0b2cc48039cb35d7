"""Redis dies and comes back, alone and as a cluster: music plays on, and all goes on by itself."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from playground.stores.valkey import Valkey
from playground.stores.valkey_cluster import ValkeyCluster
from playground.system import System
from tonearm.child_logs import LogFolder
from tonearm.redis import keys
from tonearm.redis.client import connect
from tonearm.redis.lease import LEASE_MS
from tonearm.sentences import Sentence

if TYPE_CHECKING:
    from tests.e2e.conftest import OpenRoom, Room

FRAMES_A_SECOND = 50
SESSIONS = ("session_ready", "session_resumed")
IN_TIME = 2.5


@pytest.fixture(scope="module")
async def store(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Valkey]:
    async with Valkey(tmp_path_factory.mktemp("store"), aof=True, appendfsync="always") as server:
        yield server


@pytest.fixture(scope="module")
async def system(tmp_path_factory: pytest.TempPathFactory, tones: Path, store: Valkey) -> AsyncIterator[System]:
    folder = tmp_path_factory.mktemp("on-aof")
    with LogFolder(folder / "logs") as log:
        async with System(folder, library=tones, settings={"REDIS_URL": store.url}, log=log) as running:
            yield running


@pytest.fixture(scope="module")
async def cluster(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ValkeyCluster]:
    async with ValkeyCluster(tmp_path_factory.mktemp("cluster"), aof=True, appendfsync="always") as cluster:
        yield cluster


@pytest.fixture(scope="module")
async def clustered(
    tmp_path_factory: pytest.TempPathFactory, tones: Path, cluster: ValkeyCluster
) -> AsyncIterator[System]:
    """Shards 0 and 1, both on the last master; 2 on the first, 3 on the second."""
    folder = tmp_path_factory.mktemp("on-cluster")
    settings = {"REDIS_URL": cluster.url, "SHARD_COUNT": "4"}
    with LogFolder(folder / "logs") as log:
        async with System(folder, library=tones, settings=settings, log=log) as running:
            yield running


async def sessions(room: Room, since: int) -> list[str]:
    """The gateway sessions that were begun or gone on with."""
    return [entry["name"] for entry in await room.twin.log(since) if entry["name"] in SESSIONS]


async def play_for(room: Room, seconds: float) -> None:
    """Hear so much more of the music, without a loss."""
    before = await room.ear.report()
    after = await room.ear.wait_packets(before.packets + int(seconds * FRAMES_A_SECOND), timeout=seconds + 5)
    assert (after.lost, after.step_errors, after.bad) == (before.lost, before.step_errors, before.bad)


async def test_a_restart_that_takes_longer_than_a_lease(open_room: OpenRoom, system: System, store: Valkey) -> None:
    room = await open_room(where=system)
    await room.ask("play", query="long 440")
    await room.ask("play", query="long 660")
    await room.ear.hears(440)
    since = await room.twin.mark()
    await store.kill()
    for name in ("pause", "queue"):
        answer = await (await room.say(name)).answer(timeout=IN_TIME)
        assert answer.text == Sentence.MEMORY_AWAY
    await play_for(room, LEASE_MS / 1000 + 1)
    await store.start()
    async with connect(store.url, timeout=5) as client:
        # The lease had run out, nobody else wanted it: the same node has it again, and nothing was torn down.
        async with client.pubsub() as pubsub:
            await pubsub.subscribe("nobody")
        answer = await room.ask("skip")
        while Sentence.MEMORY_AWAY in answer.text or Sentence.NO_PLAYER in answer.text:
            await play_for(room, 0.2)
            answer = await room.ask("skip")
        assert await client.exists(keys.lease(0))
    await room.ear.hears(660)
    await room.ask("pause")
    await room.ear.hears_silence()
    assert await sessions(room, since) == []


async def test_a_cluster_plays(open_room: OpenRoom, clustered: System) -> None:
    rooms = [await open_room(shard, where=clustered) for shard in (0, 2, 3)]
    for room, frequency in zip(rooms, (440, 550, 660), strict=True):
        await room.ask("play", query=f"long {frequency}")
        await room.ear.hears(frequency)
        await room.ask("queue")


async def test_a_master_dies_and_comes_back(open_room: OpenRoom, clustered: System, cluster: ValkeyCluster) -> None:
    hit = await open_room(3, where=clustered)
    spared = await open_room(0, where=clustered)
    for room, frequency in ((hit, 440), (spared, 550)):
        await room.ask("play", query=f"long {frequency}")
        await room.ear.hears(frequency)
    await cluster.masters[1].kill()
    answer = await (await hit.say("pause")).answer(timeout=IN_TIME)
    assert answer.text == Sentence.MEMORY_AWAY
    # The guilds of the other masters notice nothing.
    await spared.ask("pause")
    await spared.ear.hears_silence()
    await spared.ask("resume")
    await spared.ear.hears(550)
    await play_for(hit, 1)
    await cluster.restart(1)
    await hit.ask("pause")
    await hit.ear.hears_silence()
    await hit.ask("resume")
    await hit.ear.hears(440)

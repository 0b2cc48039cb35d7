"""Nobody hears a voice node go: measured against our model of Discord, whose sessions outlive a lost socket."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import redis.asyncio

from playground.system import System
from playground.twin.voice.counting import Report
from tonearm.child_logs import LogFolder
from tonearm.redis import keys
from tonearm.settings import PREFIX

if TYPE_CHECKING:
    from tests.e2e.conftest import OpenRoom, Room

FALLBACK_MS = 1_500
"""The longest gap where a session could not be resumed."""


class Nodes:
    """A system with one voice node that owns the shard, and one that stands by."""

    def __init__(self, system: System) -> None:
        self.system = system
        self._names = ["voice-node"]
        self._numbers = itertools.count(2)

    async def stand_by(self) -> None:
        """Start another node."""
        self._names.append(f"voice-node-{next(self._numbers)}")
        await self.system.start_voice_node(self._names[-1])

    async def identified_long_ago(self) -> None:
        """The next IDENTIFY has not to wait for its turn, as after the 5 s that follow each."""
        async with self._redis() as client:
            await client.delete(keys.identify(0))

    def _redis(self) -> redis.asyncio.Redis:
        return redis.asyncio.from_url(self.system.environ[f"{PREFIX}REDIS_URL"])

    async def owner(self) -> tuple[str, int]:
        """The name and the process id of the node that owns the shard; names in Redis end in the process id."""
        async with self._redis() as client:
            owner = await client.hget(keys.lease(0), "owner")
        pid = int(owner.decode().rpartition("-")[2])
        return next(name for name in self._names if self.system.supervisor.pid(name) == pid), pid

    async def stop_owner(self) -> None:
        """SIGTERM for the owner; another one is standing by."""
        name, _ = await self.owner()
        self._names.remove(name)
        await self.system.supervisor.stop(name)

    async def kill_owner(self) -> None:
        """SIGKILL for the owner. It is started again, and stands by."""
        os.kill((await self.owner())[1], signal.SIGKILL)

    @contextlib.asynccontextmanager
    async def owner_frozen(self) -> AsyncIterator[None]:
        """The owner stands still, with its sockets open; continued at the end."""
        _, pid = await self.owner()
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)


PACKETS_UNTIL_SAVED = 75
"""1.5 s of music."""


@pytest.fixture(scope="module")
async def nodes(tmp_path_factory: pytest.TempPathFactory, tones: Path) -> AsyncIterator[Nodes]:
    folder = tmp_path_factory.mktemp("handover")
    with LogFolder(folder / "logs") as log:
        async with System(folder, library=tones, log=log) as system:
            yield Nodes(system)


async def control_back(room: Room) -> float:
    """Seconds until a pause, asked for every 100 ms, is heard; afterwards it goes on."""
    begun = time.monotonic()
    silence = asyncio.ensure_future(room.ear.hears_silence(for_ms=200, within=20))
    while not silence.done():
        reply = asyncio.ensure_future(room.say("pause"))
        await asyncio.wait([silence], timeout=0.1)
        await reply
    took = (await silence) / 1e9 - begun
    await room.ask("resume")
    await room.ear.hears(440)
    return took


async def playing_rooms(open_room: OpenRoom, system: System, count: int) -> list[Room]:
    rooms = [await open_room(where=system) for _ in range(count)]
    await asyncio.gather(*(room.ask("play", query="long 440") for room in rooms))
    await asyncio.gather(*(room.ask("play", query="long 660") for room in rooms))
    await asyncio.gather(*(room.ear.hears(440) for room in rooms))
    # What another process needs is saved once a second: who began to play since is joined anew.
    await asyncio.gather(*(room.ear.wait_packets(PACKETS_UNTIL_SAVED) for room in rooms))
    for room in rooms:
        await room.ear.mark()
    return rooms


async def nothing_lost(rooms: list[Room]) -> None:
    for room in rooms:
        report = await room.ear.wait_packets(50)
        assert (report.lost, report.step_errors, report.silence_runs, report.ssrc_changes) == (0, 0, 0, 0), report
        assert report.breaks == 0, report
        assert (report.bad, report.unheard) == (0, 0), "all of it was heard"


async def go_on(room: Room) -> Report:
    """A second more of the music; what was heard since the mark."""
    heard = (await room.ear.report()).packets
    return await room.ear.wait_packets(heard + 50, timeout=10)


async def test_sigterm_is_not_heard_and_control_is_back_within_three_seconds(open_room: OpenRoom, nodes: Nodes) -> None:
    *others, one = await playing_rooms(open_room, nodes.system, 3)
    await nodes.stand_by()
    begun = time.monotonic()
    stopping = asyncio.ensure_future(nodes.stop_owner())
    took = await control_back(one)
    await stopping
    assert took < 3
    assert time.monotonic() - begun < 10
    await nothing_lost(others)
    await others[0].ask("skip")
    await others[0].ear.hears(660)
    assert "660 Hz" in (await others[1].ask("queue")).text


async def test_sigkill_is_not_heard_and_control_is_back_within_ten_seconds(open_room: OpenRoom, nodes: Nodes) -> None:
    *others, one = await playing_rooms(open_room, nodes.system, 3)
    await nodes.kill_owner()
    assert await control_back(one) < 10
    await nothing_lost(others)


async def test_buttons_of_before_still_work(open_room: OpenRoom, nodes: Nodes) -> None:
    (room,) = await playing_rooms(open_room, nodes.system, 1)
    message = await room.player("Skip")
    await nodes.stand_by()
    await nodes.stop_owner()
    await (await room.ada.click(message, "Skip")).answer(timeout=10)
    await room.ear.hears(660)
    assert len([found for found in await room.text.messages() if found.buttons]) == 1


async def test_a_refused_resume_is_a_short_gap(open_room: OpenRoom, nodes: Nodes) -> None:
    (room,) = await playing_rooms(open_room, nodes.system, 1)
    await nodes.identified_long_ago()
    await room.twin.configure(identify_interval=0)
    await room.twin.forget_session()
    since = await room.twin.mark()
    await room.twin.wait_for("session_ready", since=since, timeout=10)
    bot = (await room.twin.about())["bot_id"]
    await room.twin.wait_for(
        "voice_state_update", since=since, timeout=10, guild_id=room.guild.id, user_id=bot, channel_id=room.voice.id
    )
    report = await go_on(room)
    assert report.ssrc_changes == 1
    assert report.largest_gap_ms < FALLBACK_MS
    assert report.breaks == 0
    assert "660 Hz" in (await room.ask("queue")).text


async def test_a_session_that_plays_on_for_a_frozen_node_is_a_short_gap(open_room: OpenRoom, nodes: Nodes) -> None:
    """Lavalink resumes no session whose socket is open: its players are destroyed, and go on in another one."""
    (room,) = await playing_rooms(open_room, nodes.system, 1)
    await nodes.stand_by()
    since = await room.twin.mark()
    async with nodes.owner_frozen():
        await room.twin.wait_for("voice_closed", since=since, timeout=15, guild_id=room.guild.id)
        report = await go_on(room)
        assert report.largest_gap_ms < FALLBACK_MS
        assert report.breaks == 0
        await control_back(room)
    report = await go_on(room)
    assert report.ssrc_changes == 1, "one sender after the other, and none beside it"
    assert "660 Hz" in (await room.ask("queue")).text


async def test_a_track_that_ended_while_nobody_listened_is_followed_by_the_next(
    open_room: OpenRoom, nodes: Nodes
) -> None:
    room = await open_room(where=nodes.system)
    await room.ask("play", query="brief 440")
    await room.ask("play", query="long 660")
    await room.ear.hears(440)
    await nodes.kill_owner()
    await room.ear.hears(660, within=15)
    assert await room.ear.level() > -40

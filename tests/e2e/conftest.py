"""The whole of Tonearm in real processes, once for the run; every test gets a guild of its own in it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from playground.library import chirp, tone
from playground.system import System
from playground.twin.actors import TwinClient
from playground.twin.handles import Actor, Channel, Guild
from playground.twin.seen import Reply, SeenMessage
from playground.twin.voice.client import ListenerClient
from playground.twin.voice.listener import NotHeard
from tonearm.child_logs import LogFolder

TONES = (440, 550, 660, 880)
MANAGE_GUILD = 1 << 5
TIMEOUT = 150
"""Seconds for a test, and for the start of a system before the first of a module, on a busy machine."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of this folder have more time, unless they say how much."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent) and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(TIMEOUT))


@dataclass
class Room:
    """A guild with a person in a voice channel, and an ear in it."""

    twin: TwinClient
    guild: Guild
    shard: int
    text: Channel
    voice: Channel
    ada: Actor
    ear: ListenerClient

    async def say(self, name: str, **options: str | int) -> Reply:
        """Ada uses a command."""
        return await self.ada.command(self.guild, self.text, name, **options)

    async def ask(self, name: str, **options: str | int) -> SeenMessage:
        """Ada uses a command and reads the answer."""
        return await (await self.say(name, **options)).answer(timeout=10)

    async def make_ada_boss(self) -> None:
        """Ada may manage the server."""
        boss = await self.guild.create_role("boss", MANAGE_GUILD | 0x3FFFFFF)
        await self.guild.change_member(self.ada, roles=[boss.id])

    async def hears_place(self, seconds: float, within: float = 10) -> None:
        """A chirp is heard ``seconds`` from its beginning, or as much later as it took to get there."""
        loop = asyncio.get_running_loop()
        began, heard = loop.time(), None
        while loop.time() - began < within:
            await self.ear.wait_packets((await self.ear.report()).packets + 5)
            with suppress(NotHeard):
                heard = await self.ear.chirp_position()
                if seconds - 0.5 <= heard <= seconds + loop.time() - began + 2:
                    return
        raise AssertionError(f"heard the chirp at {heard} s, not at {seconds} s")

    async def player(self, label: str) -> SeenMessage:
        """The message with the buttons, once it has this one."""
        return await self.text.wait_message(lambda found: any(b.get("label") == label for b in found.buttons), 10)


@pytest.fixture(scope="session")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A music folder: long tones for the ear, short ones that end, and one that is no music."""
    folder = tmp_path_factory.mktemp("tones")
    for frequency in TONES:
        tone(folder / f"long {frequency}.webm", frequency, 60)
        tone(folder / f"brief {frequency}.opus", frequency, 1.5)
    chirp(folder / "climb.webm", 60)
    chirp(folder / "climb mp3.mp3", 60)
    tone(folder / "piece mp3.mp3", 500, 30)
    tone(folder / "piece flac.flac", 700, 30)
    (folder / "torn.mp3").write_bytes(b"ID3\x04" + bytes(range(256)) * 40)
    return folder


@pytest.fixture(scope="session")
async def system(tmp_path_factory: pytest.TempPathFactory, tones: Path) -> AsyncIterator[System]:
    """Every process of Tonearm, two shards."""
    folder = tmp_path_factory.mktemp("system")
    with LogFolder(folder / "logs") as log:
        async with System(folder, library=tones, settings={"SHARD_COUNT": "2"}, log=log) as running:
            yield running


OpenRoom = Callable[..., Awaitable[Room]]


@pytest.fixture
async def open_room(system: System) -> AsyncIterator[OpenRoom]:
    """``await open_room(shard=1)``: a new guild, and Ada in its first voice channel."""
    opened: list[Room] = []

    async def open_one(shard: int | None = None, name: str = "Room", where: System = system) -> Room:
        guild = await where.twin.create_guild(name=name, shard=shard)
        ada = await where.twin.create_user("Ada")
        await ada.join_guild(guild)
        voice = guild.voice_channels[0]
        await ada.join(voice)
        ear = await ada.listen(voice)
        room = Room(where.twin, guild, (int(guild.id) >> 22) % 2, guild.text_channels[0], voice, ada, ear)
        opened.append(room)
        return room

    yield open_one
    for room in opened:
        await room.guild.disconnect_bot()
    assert await system.twin.violations() == []


@pytest.fixture
async def room(open_room: OpenRoom) -> Room:
    """One such room."""
    return await open_room()

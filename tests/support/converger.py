"""A converger between doubles of Discord and Lavalink."""

from __future__ import annotations

import asyncio
from typing import Any
from unittest.mock import AsyncMock, MagicMock, create_autospec

import discord

from tests.support.scenes import NOW
from tests.support.voice_nodes import GUILD
from tonearm.music.events import Event
from tonearm.music.player import Player
from voice_nodes.converger import Converger
from voice_nodes.gateway import Gateway
from voice_nodes.lavalink import Sound, Wanted
from voice_nodes.voicelink import VoiceLink


class World:
    """A converger between doubles of Discord and Lavalink; ``calls`` is what it did, in order."""

    def __init__(self) -> None:
        self.calls: asyncio.Queue[tuple[str, Any]] = asyncio.Queue()
        self.events: asyncio.Queue[Event] = asyncio.Queue()
        self.fails: dict[str, list[Exception]] = {}
        self.link: Any = None
        self.known = True
        self.cut = False
        """Whether the gateway's connection is another one after each join."""
        self.running: asyncio.Task[None]
        self.gateway = create_autospec(Gateway, instance=True)
        self.gateway.ws = object()
        self.gateway.get_guild.return_value = create_autospec(discord.Guild, instance=True)
        self.gateway.caller_channel.return_value = None
        self.gateway.is_unavailable.return_value = False
        self.gateway.voice_channel.side_effect = lambda guild, channel: MagicMock(id=channel) if self.known else None
        self.sound = create_autospec(Sound, instance=True)
        self.sound.link.side_effect = lambda guild: self.link
        self.sound.join = AsyncMock(side_effect=self._join)
        self.sound.leave = AsyncMock(side_effect=lambda guild: self._note("leave", None))
        self.sound.drop = AsyncMock(side_effect=lambda guild: self._note("drop", None))
        self.sound.update = AsyncMock(side_effect=self._update)
        self.sound.reconnect_voice = AsyncMock(side_effect=lambda guild: self._note("reconnect", None))
        self.now = NOW
        self.converger = Converger(
            GUILD,
            gateway=self.gateway,
            sound=self.sound,
            now_ms=lambda: self.now,
            submit=self.events.put_nowait,
        )

    def _note(self, name: str, what: Any) -> None:
        self.calls.put_nowait((name, what))
        if self.fails.get(name):
            raise self.fails[name].pop(0)

    def _join(self, channel: Any) -> None:
        if self.cut:
            self.gateway.ws = object()
        self._note("join", channel.id)
        self.link = create_autospec(VoiceLink, instance=True)
        self.link.linked = asyncio.Event()
        self.link.linked.set()
        self.link.channel = channel

    def _update(self, guild: int, wanted: Wanted, *, new_track: bool, seek: bool = False) -> None:
        assert guild == GUILD
        self._note("seek" if seek else "update", (wanted, new_track))

    async def next(self) -> tuple[str, Any]:
        return await asyncio.wait_for(self.calls.get(), 5)

    async def names(self, number: int) -> list[str]:
        return [(await self.next())[0] for _ in range(number)]


async def playing(world: World, player: Player) -> None:
    """``player`` is what Lavalink does."""
    world.converger.show(player)
    assert await world.names(2) == ["join", "update"]


class Slowly:
    """An update that is not answered before ``told`` is set."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.told = asyncio.Event()
        world.sound.update.side_effect = self._update

    async def _update(self, guild: int, wanted: Wanted, **how: bool) -> None:
        self._world._update(guild, wanted, **how)
        await self.told.wait()

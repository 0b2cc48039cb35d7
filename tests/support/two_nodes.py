"""A shard's players on two real audio nodes, with a voice server that listens, and without a Discord."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock, create_autospec

import aiohttp
import discord

from tests.support.audio_node.node import PASSWORD
from tests.support.audio_node.voice_server import VoiceServer
from tests.support.voice_nodes import Tenured, running
from tonearm.redis.sessions import SavedGateway, SavedShard
from tonearm.settings import LavalinkNode
from voice_nodes.gateway import Gateway
from voice_nodes.identifying import Turns
from voice_nodes.lavalink import Sound
from voice_nodes.servers import Server
from voice_nodes.station import Station
from voice_nodes.voicelink import VoiceLink
from voice_nodes.wishes import Wanted

GUILD, VOICE, BOT = 7 << 22, 71, 4242
USER = {"id": str(BOT), "username": "b", "discriminator": "0", "avatar": None, "bot": True}
SNAPSHOT = {
    "id": str(GUILD),
    "name": "G",
    "owner_id": "1",
    "member_count": 1,
    "roles": [{"id": str(GUILD), "name": "", "permissions": "0", "position": 0}],
    "channels": [
        {
            "id": str(VOICE),
            "type": 2,
            "name": "V",
            "position": 0,
            "bitrate": 64000,
            "user_limit": 0,
            "permission_overwrites": [],
        }
    ],
    "members": [{"user": USER, "roles": [], "joined_at": None, "flags": 0, "communication_disabled_until": None}],
    "voice_states": [],
}


async def until(true: Callable[[], bool]) -> None:
    """What has no event of its own."""
    async with asyncio.timeout(10):
        while not true():  # noqa: ASYNC110
            await asyncio.sleep(0.02)


class Discord(Gateway):
    """A gateway without a Discord: op 4 is answered at once, with ``endpoint``."""

    def __init__(self) -> None:
        super().__init__(
            shard=0,
            shard_count=1,
            listener=MagicMock(),
            servers=MagicMock(),
            turns=create_autospec(Turns),
            lease=Tenured(),
        )
        self.endpoint = ""
        self.heard: asyncio.Queue[tuple[str, Any]] = asyncio.Queue()
        self._joins = 0
        self._answers: set[asyncio.Task[None]] = set()

    def dispatch(self, event: str, /, *args: Any, **kwargs: Any) -> None:
        self.heard.put_nowait((event, args))

    async def next(self, wanted: str) -> Any:
        async with asyncio.timeout(20):
            while True:
                name, values = await self.heard.get()
                if name == wanted:
                    return values[0]

    async def send_voice_state(self, guild: discord.Guild, channel: discord.abc.Snowflake | None) -> None:
        link = guild.voice_client
        if channel is None or not isinstance(link, VoiceLink):
            return
        self._joins += 1
        await link.on_voice_state_update({"channel_id": str(channel.id), "session_id": f"voice{self._joins}"})
        answer = asyncio.create_task(link.on_voice_server_update({"token": "t", "endpoint": self.endpoint}))
        self._answers.add(answer)
        answer.add_done_callback(self._answers.discard)

    async def end(self) -> None:
        for answer in tuple(self._answers):
            answer.cancel()
        await self.http.close()


class World:
    """Two audio nodes, a voice server that listens, and a Sound on the nodes."""

    def __init__(self, urls: list[str], http: aiohttp.ClientSession, voice: VoiceServer, library: Path) -> None:
        self.urls = urls
        self.http = http
        self.voice = voice
        self.library = library
        self.drained: frozenset[str] = frozenset()
        self.left: list[int] = []
        self.lost: asyncio.Queue[int] = asyncio.Queue()
        self.client = Discord()
        self.lease = Tenured()
        self.nodes = tuple(LavalinkNode(url, PASSWORD) for url in urls)
        self.sound = self.make_sound()

    def make_sound(self, saved: SavedShard | None = None) -> Sound:
        async def report(_: object) -> frozenset[str]:
            return self.drained

        return Sound(
            self.nodes,
            shard=0,
            api_url="http://127.0.0.1/api",
            lease=self.lease,
            saved=saved,
            on_voice_lost=self.lost.put_nowait,
            on_leave=self._leave,
            report=report,
            every=0.2,
        )

    def _leave(self, guild: int) -> None:
        self.left.append(guild)
        self._moving = asyncio.create_task(self.sound.move(guild, self.wanted))

    @property
    def channel(self) -> discord.VoiceChannel:
        channel = self.client.voice_channel(GUILD, VOICE)
        assert isinstance(channel, discord.VoiceChannel)
        return channel

    @contextlib.asynccontextmanager
    async def playing(self, servers: int = 2, *, dies: bool = False) -> AsyncIterator[World]:
        """The sessions are open. Who ``dies`` leaves them behind."""
        await self.client.restore(SavedGateway("s", 1, "ws://x", USER), [SNAPSHOT])
        self.client.endpoint = self.voice.endpoint
        try:
            async with running(self.sound.run(self.client)):
                for _ in range(servers):
                    event = await self.client.next("wavelink_node_ready")
                    self.sound.began(event.node)
                try:
                    yield self
                finally:
                    for station in () if dies else self.sound._fleet.stations.values():
                        await station.close_session()
        finally:
            await self.client.end()

    async def play(self, seconds: int = 0) -> Station:
        """Join and play; the server that does."""
        path = self.library / "a.webm"
        async with self.http.get(f"{self.urls[0]}/v4/loadtracks", params={"identifier": str(path)}) as answer:
            encoded = (await answer.json())["data"]["encoded"]
        await self.sound.join(self.channel)
        self.wanted = Wanted("p", encoded, seconds * 1000, False, 100)
        await self.sound.update(GUILD, self.wanted, new_track=True)
        return await self.sound.require_alive(GUILD)

    async def inherit(self) -> Station:
        """What one that died at its play left behind: all is the next one's, which has not begun."""
        async with self.playing(dies=True):
            station = await self.play()
            link = self.sound.link(GUILD)
            voice = link.saved() if link is not None else None
            assert voice is not None
            sessions = {name: str(each.node.session_id) for name, each in self.sound._fleet.stations.items()}
        self.client = Discord()
        self.sound = self.make_sound(SavedShard(lavalink=sessions, voices={GUILD: voice}))
        return station

    async def players(self) -> list[int]:
        found = []
        for url in self.urls:
            async with self.http.get(f"{url}/v4/stats") as answer:
                found.append((await answer.json())["players"])
        return found

    def number(self, station: Station) -> int:
        return self.urls.index(station.server.url)


class Names:
    """A name that stands for ``there``, once it was looked up ``late`` times for nothing."""

    def __init__(self, there: list[Server]) -> None:
        self.there = there
        self.late = 0

    async def find(self, _: LavalinkNode) -> list[Server]:
        if self.late:
            self.late -= 1
            raise OSError("no such name")
        return list(self.there)

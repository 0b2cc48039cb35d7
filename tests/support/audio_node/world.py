"""A node, a voice server, and a client of the node."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import aiohttp

from tests.support.audio_node.node import Client
from tests.support.audio_node.voice_server import Voice, VoiceServer

guilds = itertools.count(1000)


class World:
    """A node, a voice server and a client with a player that has joined it."""

    def __init__(self, url: str, server: VoiceServer, http: aiohttp.ClientSession, tones: Path) -> None:
        self.url, self.server, self.http, self.tones = url, server, http, tones
        self.guild = next(guilds)
        self.client = Client(http, url)

    def tone(self, name: str) -> str:
        return str(self.tones / name)

    async def join(self) -> Voice:
        known = len(self.server.voices.entries)
        answer = await self.client.join(self.guild, self.server.endpoint, f"voice-{self.guild}")
        assert answer["state"]["connected"] is True
        return await self.server.voices.until(lambda _voice: True, start=known)

    async def play(self, name: str, **more: Any) -> dict[str, Any]:
        track = {"identifier": self.tone(name), **more.pop("track", {})}
        return await self.client.patch(self.guild, {"track": track, **more})

    async def another_client(self, session_id: str | None = None) -> Client:
        client = Client(self.http, self.url)
        await client.connect(session_id)
        return client

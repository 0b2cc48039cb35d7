"""Lavalink as one shard hears it: its sound, and a gateway that only hears what it says."""

from __future__ import annotations

import asyncio
from typing import Any
from unittest.mock import MagicMock, create_autospec

from tests.support.voice_nodes import Tenured
from tonearm.settings import LavalinkNode
from voice_nodes.gateway import Gateway
from voice_nodes.lavalink import Sound

LOOPBACK_API = "http://127.0.0.1:1/api/v10"


class Heard:
    """A gateway that only hears what wavelink says."""

    def __init__(self) -> None:
        self.events: asyncio.Queue[tuple[str, Any]] = asyncio.Queue()
        self.client = create_autospec(Gateway, instance=True)
        self.client.user = MagicMock(id=1)
        self.client.dispatch = lambda name, *values: self.events.put_nowait((name, values))

    async def next(self, wanted: str) -> Any:
        async with asyncio.timeout(10):
            while True:
                name, values = await self.events.get()
                if name == wanted:
                    return values


def sound_of(*nodes: LavalinkNode, api_url: str = LOOPBACK_API, lease: Tenured | None = None) -> Sound:
    return Sound(nodes, shard=0, api_url=api_url, lease=lease or Tenured())

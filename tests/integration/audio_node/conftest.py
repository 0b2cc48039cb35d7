"""An audio node as a process, its tones, and for each test a voice server and a client."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.support.audio_node.node import running_node
from tests.support.audio_node.tones import write_tone
from tests.support.audio_node.voice_server import VoiceServer, make_ca
from tests.support.audio_node.world import World


@pytest.fixture(scope="session")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tones")
    for suffix in ("opus", "webm", "mp3", "flac"):
        write_tone(folder / f"tone.{suffix}", [(440, 20)], title="Tone", artist="Lab")
    write_tone(folder / "two.webm", [(440, 10), (880, 10)], title="Two Tones", artist="Lab")
    write_tone(folder / "short.opus", [(440, 1)], title="Short")
    return folder


@pytest.fixture(scope="session")
async def node(tmp_path_factory: pytest.TempPathFactory, tones: Path) -> AsyncIterator[tuple[str, Any]]:
    ca, tls = make_ca(tmp_path_factory.mktemp("ca"))
    async with running_node(ca, tones) as url:
        yield url, tls


@pytest.fixture
async def world(node: tuple[str, Any], tones: Path) -> AsyncIterator[World]:
    url, tls = node
    server = VoiceServer()
    await server.start(tls)
    async with aiohttp.ClientSession() as http:
        world = World(url, server, http, tones)
        await world.client.connect()
        yield world
        await world.client.close()
        await server.close()

"""Two audio nodes as processes, and for each test a shard that plays on them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from playground.library import tone
from tests.support.audio_node.node import PASSWORD, running_node
from tests.support.audio_node.voice_server import VoiceServer, make_ca
from tests.support.two_nodes import Names, World
from tonearm.settings import LavalinkNode
from voice_nodes import fleet
from voice_nodes.servers import find_servers


@pytest.fixture(scope="module")
async def urls(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[list[str], VoiceServer, Path]]:
    folder = tmp_path_factory.mktemp("lavalink")
    ca, tls = make_ca(folder)
    tone(folder / "a.webm", 440, 30)
    voice = VoiceServer()
    await voice.start(tls)
    async with running_node(ca, folder) as one, running_node(ca, folder) as other:
        yield [one, other], voice, folder
    await voice.close()


@pytest.fixture
async def world(urls: tuple[list[str], VoiceServer, Path]) -> AsyncIterator[World]:
    addresses, voice, library = urls
    voice.answers, voice.refuse_with = True, None
    async with aiohttp.ClientSession(headers={"Authorization": PASSWORD}) as http:
        world = World(addresses, http, voice, library)
        yield world
        for url in addresses:  # Whatever a test left there.
            async with http.get(f"{url}/v4/stats") as answer:
                assert answer.status == 200


@pytest.fixture
async def names(world: World, monkeypatch: pytest.MonkeyPatch) -> Names:
    """Both audio nodes are addresses of one name."""
    names = Names([server for node in world.nodes for server in await find_servers(node)])
    monkeypatch.setattr(fleet, "find_servers", names.find)
    world.nodes = (LavalinkNode("dns+http://lavalink:2333", PASSWORD),)
    world.sound = world.make_sound()
    return names

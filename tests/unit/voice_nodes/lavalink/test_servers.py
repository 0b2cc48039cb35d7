"""Several Lavalinks: a name that stands for some of them, and the one that is taken for a channel."""

from __future__ import annotations

import asyncio
import socket
from typing import Any
from unittest.mock import MagicMock

import msgspec
import pytest

from tests.support.lavalink import PASSWORD, Lavalink
from tests.support.sound import LOOPBACK_API, Heard, sound_of
from tests.support.voice_nodes import GUILD, Tenured, running
from tonearm import addresses
from tonearm.settings import LavalinkNode
from voice_nodes import servers
from voice_nodes.lavalink import Sound
from voice_nodes.placement import region_of
from voice_nodes.voicelink import VoiceLink


async def test_each_address_of_a_name_gets_a_session(monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = Lavalink(), Lavalink()
    async with one.serving(), two.serving("127.0.0.2", one.port):
        asked: list[str] = []

        async def resolve(url: str) -> tuple[str, ...]:
            asked.append(url)
            if len(asked) < 3:
                raise OSError("not yet")
            return ("127.0.0.1", "127.0.0.2")

        monkeypatch.setattr(servers, "addresses_of", resolve)
        url = f"http://lavalink.example:{one.port}"
        sound, heard = sound_of(LavalinkNode(f"dns+{url}", PASSWORD)), Heard()
        async with running(sound.run(heard.client)):
            for _ in range(2):
                await heard.next("wavelink_node_ready")
            names = {node.identifier for node in sound.connected()}
        assert asked == [url] * 3
        assert len(names) == 2
        assert (len(one.sockets), len(two.sockets)) == (1, 1)


async def test_a_name_with_two_addresses_is_two_servers_and_one_that_vanishes_is_emptied_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The name is looked up for real, as far as the system's resolver, which knows it from the test."""
    one, two = Lavalink(), Lavalink()
    async with one.serving(), two.serving("127.0.0.2", one.port):
        there = ["127.0.0.1", "127.0.0.2"]

        async def getaddrinfo(host: str, port: int, **_: Any) -> list[Any]:
            assert (host, port) == ("lavalink.example", one.port)
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in reversed(there)]

        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
        heard, happened = Heard(), []
        node = LavalinkNode(f"dns+http://lavalink.example:{one.port}", PASSWORD)

        def leave(guild: int) -> None:
            happened.append((guild, list(two.patched)))
            del leaving.node._players[guild]
            sound._moves.gone(guild, elsewhere=True)

        sound = Sound((node,), shard=0, api_url=LOOPBACK_API, lease=Tenured(), on_leave=leave, every=0.05)
        async with running(sound.run(heard.client)):
            for _ in range(2):
                await heard.next("wavelink_node_ready")
            names = [f"{address}#lavalink.example:{one.port}" for address in there]
            assert sorted(sound._fleet.stations) == names
            leaving = sound._fleet.stations[names[1]]
            leaving.node._players[GUILD] = MagicMock(spec=VoiceLink)
            there.remove("127.0.0.2")
            await asyncio.wait_for(two.gone.wait(), 10)
            assert happened == [(GUILD, [])], "its player left, once, and before its session was ended"
            assert two.patched == [{"resuming": False}]
            assert list(sound._fleet.stations) == names[:1]
            there.append("127.0.0.2")
            assert (await asyncio.wait_for(two.opened.get(), 5), await asyncio.wait_for(two.opened.get(), 5)) == (
                "",
                "",
            )
        assert one.patched == []


async def test_a_server_of_the_voice_regions_of_the_channel_is_taken(server: Lavalink) -> None:
    async with Lavalink().serving() as far, Lavalink().serving() as anywhere:
        near = msgspec.structs.replace(server.node, regions=("rotterdam", "frankfurt"))
        nodes = (msgspec.structs.replace(far.node, regions=("us-east",)), anywhere.node, near)
        sound, heard = sound_of(*nodes), Heard()
        async with running(sound.run(heard.client)):
            for _ in nodes:
                await heard.next("wavelink_node_ready")

            async def taken(region: str) -> str:
                return (await sound.require_alive(GUILD, region_of(region))).server.url

            assert await taken("rotterdam1234.discord.media:443") == near.url
            assert await taken("us-east77.discord.media:443") == nodes[0].url
            assert await taken("japan5.discord.media:443") == anywhere.node.url
            server.hangs = True
            for station in sound._fleet.stations.values():
                if station.server.url == near.url:
                    station._heard_at = 0.0  # its last sign of life is old
            assert await taken("frankfurt9.discord.media:443") == anywhere.node.url


async def test_addresses_are_looked_up() -> None:
    assert "127.0.0.1" in await addresses.addresses_of("http://localhost:2333")
    with pytest.raises(OSError, match=r"."):
        await addresses.addresses_of("http://nobody.invalid:2333")

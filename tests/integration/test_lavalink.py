"""Several Lavalinks: voice that hangs, servers that are left or lost, and what the owner before left there.

Two audio nodes as processes, and for each test a shard that plays on them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import wavelink

from playground.library import tone
from tests.support.audio_node.node import PASSWORD, running_node
from tests.support.audio_node.voice_server import VoiceServer, make_ca
from tests.support.two_nodes import GUILD, Names, World, until
from tests.support.voice_nodes import metric
from tonearm.errors import LavalinkAway, TonearmError
from tonearm.settings import LavalinkNode
from voice_nodes import fleet
from voice_nodes.servers import find_servers
from voice_nodes.station import Station
from voice_nodes.voicelink import JOIN_TIMEOUT, VoiceLink


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


MOVES = "tonearm_lavalink_moves_total"


async def test_a_voice_endpoint_that_hangs_holds_up_nobody_for_good(world: World) -> None:
    async with world.playing():
        world.voice.answers = False
        begun = time.monotonic()
        with pytest.raises(LavalinkAway):
            await world.sound.join(world.channel)
        assert time.monotonic() - begun < JOIN_TIMEOUT + 2
        assert sum(await world.players()) == 0
        assert all(station.usable for station in world.sound._fleet.stations.values())
        world.voice.answers = True
        await world.play()
        await world.voice.voices.entries[-1].sounds(10, start=0)
        await world.sound.leave(world.channel.guild)


async def test_a_player_is_dropped_though_its_guild_is_unknown(world: World) -> None:
    async with world.playing():
        await world.play()
        world.client._connection._remove_guild(world.channel.guild)
        await world.sound.drop(GUILD)
        assert world.sound.link(GUILD) is None
        assert sum(await world.players()) == 0


async def test_a_channel_is_joined_in_no_other_way(world: World) -> None:
    async with world.playing():
        with pytest.raises(TonearmError, match=r"Sound\.join"):
            await world.channel.connect(
                cls=lambda client, channel: VoiceLink(client, channel, world.sound.connected()[0])
            )
        assert sum(await world.players()) == 0


async def test_a_voice_endpoint_that_refuses_is_told_at_once(world: World) -> None:
    async with world.playing():
        world.voice.refuse_with = 4006
        begun = time.monotonic()
        with pytest.raises(LavalinkAway):
            await world.sound.join(world.channel)
        assert time.monotonic() - begun < 2
        assert sum(await world.players()) == 0
        world.voice.refuse_with = None
        await world.play()
        await world.sound.leave(world.channel.guild)
        assert sum(await world.players()) == 0


async def test_a_new_endpoint_that_refuses_in_the_midst_of_a_track_is_told(world: World) -> None:
    async with world.playing():
        await world.play()
        link = world.sound.link(GUILD)
        assert link is not None
        world.voice.refuse_with = 4006
        await link.on_voice_server_update({"token": "new", "endpoint": world.voice.endpoint})
        assert await asyncio.wait_for(world.lost.get(), 5) == GUILD
        assert not link.linked.is_set()
        await world.sound.leave(world.channel.guild)
        assert sum(await world.players()) == 0


async def test_a_server_that_is_drained_is_left_with_the_same_voice_connection(world: World) -> None:
    async with world.playing():
        station = await world.play(5)
        before = {cause: metric(MOVES, cause=cause) for cause in ("drain", "failover")}
        world.drained = frozenset({station.name})
        await until(lambda: world.left == [GUILD])
        assert await world._moving
        assert metric(MOVES, cause="drain") == before["drain"] + 1
        assert metric(MOVES, cause="failover") == before["failover"], "nobody's server has failed"
        now = await world.sound.require_alive(GUILD)
        assert now is not station
        assert (await world.players())[world.number(station)] == 0
        actual = (await world.sound.fetch_actual(now.node))[GUILD]
        assert (actual.play, actual.connected) == ("p", True)
        # The position is told of once the first frame was taken.
        async with asyncio.timeout(5):
            while actual.position_ms < 5000:
                actual = (await world.sound.fetch_actual(now.node))[GUILD]
        one, other = world.voice.voices.entries[-2:]
        assert one.session_id == other.session_id
        await asyncio.wait_for(one.closed.wait(), 5)
        await world.sound.leave(world.channel.guild)


async def test_without_another_server_a_drained_one_plays_on(world: World) -> None:
    async with world.playing():
        station = await world.play()
        world.drained = frozenset(world.sound._fleet.stations)
        await until(lambda: all(each.draining for each in world.sound._fleet.stations.values()))
        await world.voice.voices.entries[-1].sounds(20)
        assert (await world.sound.require_alive(GUILD)) is station
        assert world.left == []
        await world.sound.leave(world.channel.guild)


@pytest.mark.parametrize("waits", [True, False], ids=["without a client", "with a client"])
async def test_a_session_that_was_not_resumed_is_ended(world: World, waits: bool) -> None:
    async with world.playing():
        station = await world.play()
        old = station.node.session_id
        assert old is not None
        if waits:
            station.node._session_id = station.session = None
            assert station.node._websocket is not None
            await station.node._websocket.socket.close()  # type: ignore[union-attr]
            event = await world.client.next("wavelink_node_ready")
            assert not event.resumed
            assert sum(await world.players()) == 1
        await world.sound.end_session(station.node, old)
        assert sum(await world.players()) == 0


async def test_an_address_that_is_gone_from_its_name_is_left(world: World, names: Names) -> None:
    async with world.playing():
        station = await world.play()
        names.there.remove(station.server)
        await until(lambda: station.name not in world.sound._fleet.stations)
        assert sum(await world.players()) == 1
        assert (await world.players())[world.number(station)] == 0
        names.there.append(station.server)
        event = await world.client.next("wavelink_node_ready")
        assert event.node.uri == station.server.url
        await world.sound.leave(world.channel.guild)


async def turned_up(world: World, station: Station) -> Any:
    """The session at a server whose address is there from now on."""
    event = await world.client.next("wavelink_node_ready")
    assert event.node.uri == station.server.url
    return event


def plays_only_elsewhere(world: World, node: wavelink.Node) -> bool:
    """Discord's voice client is the one link, and it is not at ``node``."""
    link = world.sound.link(GUILD)
    return link is not None and link.node is not node and not node.players and world.channel.guild.voice_client is link


async def test_a_name_that_resolves_late_gives_back_the_session_with_its_players(world: World, names: Names) -> None:
    before = await world.inherit()
    voice = world.voice.voices.entries[-1]
    names.late = 3
    async with world.playing():
        station, link = world.sound._fleet.stations[before.name], world.sound.link(GUILD)
        assert station.node.session_id == before.node.session_id
        assert link is not None
        assert (link.node, link.linked.is_set()) == (station.node, True)
        actual = (await world.sound.fetch_actual(station.node))[GUILD]
        assert (actual.play, actual.connected) == ("p", True)
        await voice.sounds(10)
        assert world.voice.voices.entries[-1] is voice, "no new voice connection"
        await world.sound.leave(world.channel.guild)


async def test_a_server_that_leaves_its_name_and_comes_back_gets_nothing_twice(world: World, names: Names) -> None:
    before = await world.inherit()
    async with world.playing():
        names.there.remove(before.server)
        await until(lambda: before.name not in world.sound._fleet.stations)
        names.there.append(before.server)
        event = await turned_up(world, before)
        assert not event.resumed
        assert plays_only_elsewhere(world, event.node)
        await world.sound.leave(world.channel.guild)


@pytest.mark.parametrize("how", ["moved", "joined"])
async def test_who_went_on_elsewhere_is_not_for_a_server_that_resolves_too_late(
    world: World, names: Names, how: str
) -> None:
    before = await world.inherit()
    names.there.remove(before.server)
    async with world.playing(servers=1):
        if how == "moved":
            assert await world.sound.move(GUILD, world.wanted)
        else:
            await world.sound.join(world.channel)
        names.there.append(before.server)
        event = await turned_up(world, before)
        assert event.resumed, "so that the players that are there can be destroyed"
        assert plays_only_elsewhere(world, event.node)
        await world.sound.leave(world.channel.guild)


async def test_who_is_about_to_join_elsewhere_is_not_for_a_server_that_resolves_meanwhile(
    world: World, names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = await world.inherit()
    names.there.remove(before.server)
    asked, answered = asyncio.Event(), asyncio.Event()

    async def slowly() -> None:
        asked.set()
        await answered.wait()

    async with world.playing(servers=1):
        (here,) = world.sound._fleet.stations.values()
        monkeypatch.setattr(here, "show_alive", slowly)
        joining = asyncio.create_task(world.sound.join(world.channel))
        await asyncio.wait_for(asked.wait(), 5)
        names.there.append(before.server)
        event = await turned_up(world, before)
        answered.set()
        await joining
        assert plays_only_elsewhere(world, event.node)
        await world.sound.leave(world.channel.guild)


async def test_a_session_that_was_never_open_is_resumed_once_its_server_is_back(
    world: World, names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = await world.inherit()
    away, keep = True, Station.keep

    async def keep_unless_away(self: Station, api_url: str, *, required: bool) -> None:
        if away and self.name == before.name:
            await asyncio.Event().wait()
        await keep(self, api_url, required=required)

    monkeypatch.setattr(Station, "keep", keep_unless_away)
    async with world.playing(servers=1):
        names.there.remove(before.server)
        await until(lambda: before.name not in world.sound._fleet.stations)
        away = False
        names.there.append(before.server)
        event = await turned_up(world, before)
        assert event.resumed, "so that the players that are there can be destroyed"
        assert plays_only_elsewhere(world, event.node)
        await world.sound.leave(world.channel.guild)

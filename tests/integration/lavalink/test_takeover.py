"""What a shard takes over at Lavalink from an owner that died, whenever the servers' name resolves, and what not."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import wavelink

from tests.support.two_nodes import GUILD, Names, World, until
from voice_nodes.station import Station


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

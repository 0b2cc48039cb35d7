"""A shard's players on two real audio nodes: voice that hangs or refuses, sessions and servers that are left."""

from __future__ import annotations

import asyncio
import time

import pytest

from tests.support.two_nodes import GUILD, Names, World, until
from tests.support.voice_nodes import metric
from tonearm.errors import LavalinkAway, TonearmError
from voice_nodes.voicelink import JOIN_TIMEOUT, VoiceLink

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

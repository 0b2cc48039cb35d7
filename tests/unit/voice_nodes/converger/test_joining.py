"""When a voice channel is joined, joined again, and left."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from unittest.mock import AsyncMock, MagicMock

import msgspec
import pytest

from tests.support.converger import World, playing
from tests.support.scenes import HERE, NOW, busy, idle
from tests.support.voice_nodes import Clock, metric, running
from tonearm.backoff import Backoff
from tonearm.errors import DiscordAway, LavalinkAway, LavalinkGone
from tonearm.music.events import Disconnected
from tonearm.music.player import Player
from voice_nodes import converger as module
from voice_nodes.converger import JOIN_FAILED
from voice_nodes.listener import Report


async def test_who_was_removed_from_the_guild_leaves_no_player_behind(world: World) -> None:
    await playing(world, busy())
    world.gateway.get_guild.return_value = None
    world.converger.show(Player())
    assert await world.names(1) == ["drop"]


async def test_a_join_that_fails_is_told(world: World) -> None:
    world.fails["join"] = [LavalinkAway("x")]
    world.converger.show(busy())
    event = await asyncio.wait_for(world.events.get(), 5)
    assert event == Disconnected(HERE, f"{JOIN_FAILED}:{HERE}:{NOW}")


async def test_a_join_that_may_have_been_lost_with_the_gateway_s_connection_is_done_again(world: World) -> None:
    world.fails["join"] = [LavalinkAway("no voice connection")]
    world.cut = True
    world.converger.show(busy())
    assert await world.names(3) == ["join", "join", "update"]
    assert world.events.empty()


@pytest.mark.parametrize("error", [LavalinkGone, DiscordAway])
async def test_what_went_away_during_the_join_is_waited_for(world: World, error: type[Exception]) -> None:
    world.fails["join"] = [error("x"), error("x")]
    world.converger.show(busy())
    assert await world.names(4) == ["join", "join", "join", "update"]
    assert world.events.empty()


async def test_a_new_gateway_session_is_not_waited_for_any_longer(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "Backoff", lambda: Backoff(60.0, 60.0))
    world.fails["join"] = [DiscordAway("x")]
    async with running(world.converger.run()):
        world.running.cancel()
        world.converger.show(busy())
        assert await world.names(1) == ["join"]
        world.converger.gateway_lost()
        assert await world.names(2) == ["join", "update"]


async def test_without_any_server_nothing_has_failed(world: World) -> None:
    world.sound.require_alive = AsyncMock(side_effect=[LavalinkGone("none"), LavalinkGone("none"), MagicMock()])
    world.converger.show(busy())
    assert await world.names(2) == ["join", "update"]
    assert world.events.empty()


async def test_a_channel_that_is_gone_is_told(world: World) -> None:
    world.known = False
    world.converger.show(busy())
    event = await asyncio.wait_for(world.events.get(), 5)
    assert event == Disconnected(HERE, f"gone:{HERE}:{NOW}")


async def test_a_new_lavalink_session_gets_voice_and_the_track_at_its_position(world: World) -> None:
    await playing(world, busy())
    world.now += 5_000
    world.converger.session_lost()
    assert await world.names(1) == ["reconnect"]
    _, (wanted, new_track) = await world.next()
    assert (wanted.position_ms, new_track) == (15_000, True)


async def test_a_new_gateway_session_joins_again(world: World) -> None:
    await playing(world, busy())
    link, world.link = world.link, None
    world.sound.link.side_effect = [link, None, None]
    world.converger.gateway_lost()
    link.forget.assert_called_once_with()
    world.sound.link.side_effect = lambda guild: world.link
    assert await world.names(2) == ["join", "update"]


async def test_an_outage_that_cost_the_voice_state_joins_again(world: World) -> None:
    await playing(world, busy())
    world.gateway.get_guild.return_value.me.voice = None
    link, world.link.forget.side_effect = world.link, lambda: setattr(world, "link", None)
    world.converger.guild_available()
    assert await world.names(2) == ["join", "update"]
    link.forget.assert_called_once()


async def test_who_is_joining_when_an_outage_ends_goes_on_joining(world: World) -> None:
    await playing(world, busy())
    world.gateway.get_guild.return_value.me.voice = None
    link = world.link
    link.linked.clear()
    world.converger.guild_available()
    assert await world.names(3) == ["leave", "join", "update"]
    link.forget.assert_not_called()


@pytest.mark.parametrize("code", [4006, 4009])
async def test_a_voice_session_that_ended_is_joined_again(world: World, code: int) -> None:
    await playing(world, busy())
    world.converger.voice_closed(code)
    assert await world.names(3) == ["leave", "join", "update"]


async def test_after_another_voice_close_the_gateway_is_waited_for(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SETTLE_SECONDS", 0.01)
    await playing(world, busy())
    world.converger.voice_closed(4014)
    assert not world.link.linked.is_set()
    assert await world.names(3) == ["leave", "join", "update"]


# The watchdog.

REJOINS = "tonearm_voice_rejoins_total"
PAUSED = msgspec.structs.replace(busy(), paused=True)
WELL, STILL, UNCONNECTED, SILENT = "well", "stands still", "unconnected", "no ping"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=clock))
    return clock


def tell(world: World, clock: Clock, how: str, seconds: float) -> None:
    """Lavalink reports every five seconds, for so long."""
    for passed in range(0, int(seconds) + 1, 5):
        position = 10_000 if how == STILL else 10_000 + passed * 1000
        world.converger.reported(Report(position, how != UNCONNECTED, -1 if how == SILENT else 20))
        clock.now += 5


@pytest.mark.parametrize("how", [STILL, UNCONNECTED, SILENT])
async def test_a_player_that_is_not_heard_is_joined_again(world: World, clock: Clock, how: str) -> None:
    await playing(world, busy())
    before = metric(REJOINS, reason="stands still")
    tell(world, clock, how, 15)
    assert await world.names(3) == ["leave", "join", "update"]
    assert metric(REJOINS, reason="stands still") == before + 1


@pytest.mark.parametrize(
    ("how", "seconds", "player"),
    [(WELL, 60, busy()), (STILL, 10, busy()), (STILL, 60, PAUSED), (STILL, 60, idle())],
    ids=["it plays", "not yet", "it is paused", "nothing plays"],
)
async def test_a_player_that_does_what_it_should_is_left_alone(
    world: World, clock: Clock, how: str, seconds: float, player: Player
) -> None:
    world.converger.show(player)
    assert (await world.next())[0] == "join"
    before = metric(REJOINS, reason="stands still")
    tell(world, clock, how, seconds)
    assert metric(REJOINS, reason="stands still") == before


async def test_a_stop_that_ends_by_itself_begins_anew(world: World, clock: Clock) -> None:
    await playing(world, busy())
    before = metric(REJOINS, reason="stands still")
    for how in (SILENT, WELL, SILENT):
        tell(world, clock, how, 5)
    assert metric(REJOINS, reason="stands still") == before

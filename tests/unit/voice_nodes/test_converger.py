"""What the converger does for what the state says and what was done before."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any
from unittest.mock import AsyncMock, MagicMock, create_autospec

import discord
import msgspec
import pytest

from tests.support.scenes import HERE, NOW, busy, idle
from tests.support.voice_nodes import GUILD, Clock, metric, running
from tonearm.backoff import Backoff
from tonearm.errors import DiscordAway, LavalinkAway, LavalinkGone, LeaseLost
from tonearm.music.events import Disconnected, Event
from tonearm.music.player import Player
from voice_nodes import converger as module
from voice_nodes.converger import JOIN_FAILED, Converger
from voice_nodes.gateway import Gateway
from voice_nodes.lavalink import Sound, Wanted
from voice_nodes.listener import Report
from voice_nodes.voicelink import VoiceLink
from voice_nodes.wishes import Actual


class World:
    """A converger between doubles of Discord and Lavalink; ``calls`` is what it did, in order."""

    def __init__(self) -> None:
        self.calls: asyncio.Queue[tuple[str, Any]] = asyncio.Queue()
        self.events: asyncio.Queue[Event] = asyncio.Queue()
        self.fails: dict[str, list[Exception]] = {}
        self.link: Any = None
        self.known = True
        self.cut = False
        """Whether the gateway's connection is another one after each join."""
        self.running: asyncio.Task[None]
        self.gateway = create_autospec(Gateway, instance=True)
        self.gateway.ws = object()
        self.gateway.get_guild.return_value = create_autospec(discord.Guild, instance=True)
        self.gateway.caller_channel.return_value = None
        self.gateway.is_unavailable.return_value = False
        self.gateway.voice_channel.side_effect = lambda guild, channel: MagicMock(id=channel) if self.known else None
        self.sound = create_autospec(Sound, instance=True)
        self.sound.link.side_effect = lambda guild: self.link
        self.sound.join = AsyncMock(side_effect=self._join)
        self.sound.leave = AsyncMock(side_effect=lambda guild: self._note("leave", None))
        self.sound.drop = AsyncMock(side_effect=lambda guild: self._note("drop", None))
        self.sound.update = AsyncMock(side_effect=self._update)
        self.sound.reconnect_voice = AsyncMock(side_effect=lambda guild: self._note("reconnect", None))
        self.now = NOW
        self.converger = Converger(
            GUILD,
            gateway=self.gateway,
            sound=self.sound,
            now_ms=lambda: self.now,
            submit=self.events.put_nowait,
        )

    def _note(self, name: str, what: Any) -> None:
        self.calls.put_nowait((name, what))
        if self.fails.get(name):
            raise self.fails[name].pop(0)

    def _join(self, channel: Any) -> None:
        if self.cut:
            self.gateway.ws = object()
        self._note("join", channel.id)
        self.link = create_autospec(VoiceLink, instance=True)
        self.link.linked = asyncio.Event()
        self.link.linked.set()
        self.link.channel = channel

    def _update(self, guild: int, wanted: Wanted, *, new_track: bool, seek: bool = False) -> None:
        assert guild == GUILD
        self._note("seek" if seek else "update", (wanted, new_track))

    async def next(self) -> tuple[str, Any]:
        return await asyncio.wait_for(self.calls.get(), 5)

    async def names(self, number: int) -> list[str]:
        return [(await self.next())[0] for _ in range(number)]


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    monkeypatch.setattr(module, "Backoff", lambda: Backoff(0.001, 0.01))
    world = World()
    async with running(world.converger.run()) as world.running:
        yield world


async def playing(world: World, player: Player) -> None:
    """``player`` is what Lavalink does."""
    world.converger.show(player)
    assert await world.names(2) == ["join", "update"]


async def test_who_should_be_somewhere_joins_and_then_plays(world: World) -> None:
    player = busy()
    world.converger.show(player)
    assert await world.next() == ("join", HERE)
    name, (wanted, new_track) = await world.next()
    assert (name, new_track) == ("update", True)
    assert player.playing is not None
    assert wanted == Wanted(player.playing.play, player.playing.entry.track.encoded, 10_000, False, 100)


async def test_what_was_started_just_now_is_heard_from_its_beginning(world: World) -> None:
    player = busy()
    assert player.playing is not None
    world.converger.begins(player.playing.play)
    world.converger.show(player)
    assert await world.next() == ("join", HERE)
    assert (await world.next())[1][0].position_ms == 0
    world.converger.session_lost()
    assert await world.names(1) == ["reconnect"]
    assert (await world.next())[1][0].position_ms == 10_000


class Slowly:
    """An update that is not answered before ``told`` is set."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.told = asyncio.Event()
        world.sound.update.side_effect = self._update

    async def _update(self, guild: int, wanted: Wanted, **how: bool) -> None:
        self._world._update(guild, wanted, **how)
        await self.told.wait()


async def test_what_is_started_while_another_thing_is_told_is_heard_from_its_beginning(world: World) -> None:
    await playing(world, busy())
    slow = Slowly(world)
    world.converger.show(busy(volume=30))
    assert await world.names(1) == ["update"]
    after = skipped(busy(volume=30))
    world.converger.begins("next")
    world.converger.show(after)
    slow.told.set()
    wanted, new_track = (await world.next())[1]
    assert (wanted.play, wanted.position_ms, new_track) == ("next", 0, True)


async def test_a_session_that_is_lost_while_it_is_told_something_is_told_all(world: World) -> None:
    await playing(world, busy())
    slow = Slowly(world)
    world.converger.show(busy(volume=30))
    assert await world.names(1) == ["update"]
    world.converger.session_lost()
    slow.told.set()
    assert await world.names(1) == ["reconnect"]
    wanted, new_track = (await world.next())[1]
    assert (wanted.volume, new_track) == (30, True)


async def test_a_start_that_fails_before_it_is_answered_is_tried_again_by_seeking(world: World) -> None:
    slow = Slowly(world)
    player = busy()
    assert player.playing is not None
    world.sound.start_and_seek = AsyncMock(side_effect=lambda guild, wanted: world._note("sought", wanted))
    await playing(world, player)
    assert world.converger.start_again(player.playing.play)
    slow.told.set()
    assert await world.names(1) == ["sought"]


async def test_what_was_seen_while_something_is_done_is_of_the_past(world: World) -> None:
    await playing(world, busy())
    slow = Slowly(world)
    world.converger.show(busy(volume=30))
    assert await world.names(1) == ["update"]
    world.converger.observe(None, world.converger.steps)
    slow.told.set()
    world.converger.show(busy(volume=40))
    wanted, new_track = (await world.next())[1]
    assert (wanted.volume, new_track) == (40, False)


async def test_who_is_silent_only_joins(world: World) -> None:
    world.converger.show(idle())
    assert await world.next() == ("join", HERE)
    world.converger.show(busy())
    assert await world.names(1) == ["update"]


async def test_pause_and_volume_do_not_begin_the_track_again(world: World) -> None:
    await playing(world, busy())
    world.converger.show(busy(paused=False, volume=30))
    _, (wanted, new_track) = await world.next()
    assert (wanted.volume, new_track) == (30, False)


def skipped(player: Player) -> Player:
    """With the next track, of which the state says that it began 10 s ago."""
    assert player.playing is not None
    return msgspec.structs.replace(player, playing=msgspec.structs.replace(player.playing, play="next"))


def sought(player: Player, position_ms: int) -> Player:
    assert player.playing is not None
    playing = msgspec.structs.replace(player.playing, position_ms=position_ms, seeks=player.playing.seeks + 1)
    return msgspec.structs.replace(player, playing=playing)


async def test_each_seek_is_done_once_and_the_track_is_not_begun_again(world: World) -> None:
    once = sought(busy(), 70_000)
    await playing(world, busy())
    for player in (once, sought(once, 70_000)):
        world.converger.show(player)
        name, (wanted, new_track) = await world.next()
        assert (name, wanted.position_ms, new_track) == ("seek", player.position_ms(NOW), False)
        world.converger.show(player)
    world.converger.show(msgspec.structs.replace(player, volume=30))
    assert await world.names(1) == ["update"]


@pytest.mark.parametrize(("there_ms", "done"), [(69_000, []), (12_000, ["seek"])])
async def test_a_seek_that_was_lost_with_its_node_is_done_by_the_next(
    world: World, there_ms: int, done: list[str]
) -> None:
    player = sought(busy(), 70_000)
    assert player.playing is not None
    world.link = create_autospec(VoiceLink, instance=True)
    world.link.linked = asyncio.Event()
    world.link.linked.set()
    world.link.channel = MagicMock(id=HERE)
    world.converger.hold()
    world.converger.show(player)
    world.now = player.playing.at_ms
    world.converger.observe(Actual(player.playing.play, there_ms, False, player.volume, True), 0)
    if not done:
        world.converger.show(msgspec.structs.replace(player, volume=30))
        done = ["update"]
    assert await world.names(1) == done


async def test_the_end_of_the_music_is_told_to_lavalink(world: World) -> None:
    await playing(world, busy())
    world.converger.show(idle())
    _, (wanted, new_track) = await world.next()
    assert (wanted.encoded, new_track) == (None, True)


async def test_what_is_so_already_is_not_done_again(world: World) -> None:
    await playing(world, busy())
    world.converger.show(busy())
    world.converger.show(busy(volume=50))
    assert (await world.next())[1][0].volume == 50
    assert world.calls.empty()


async def test_who_should_be_nowhere_leaves(world: World) -> None:
    await playing(world, busy())
    world.converger.show(Player())
    assert await world.names(1) == ["leave"]


async def test_lavalink_away_is_tried_again(world: World) -> None:
    world.fails["update"] = [LavalinkAway("x"), LavalinkAway("x"), RuntimeError("a bug")]
    world.converger.show(busy())
    assert await world.names(5) == ["join", "update", "update", "update", "update"]
    assert world.events.empty()


async def test_what_a_lease_that_ran_out_left_undone_is_done_when_it_is_run_again(world: World) -> None:
    world.fails["update"] = [LeaseLost("run out")]
    world.converger.show(busy())
    assert await world.names(2) == ["join", "update"]
    with pytest.raises(LeaseLost):
        await asyncio.wait_for(world.running, 5)
    async with running(world.converger.run()):
        assert await world.names(1) == ["update"]
    assert world.events.empty()


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

"""What is told to Lavalink, for what the state says and what was told before."""

from __future__ import annotations

import asyncio
from unittest.mock import AsyncMock, MagicMock, create_autospec

import msgspec
import pytest

from tests.support.converger import Slowly, World, playing
from tests.support.scenes import HERE, NOW, busy, idle
from tests.support.voice_nodes import running
from tonearm.errors import LavalinkAway, LavalinkSilent, LeaseLost
from tonearm.music.player import Player
from voice_nodes.lavalink import Wanted
from voice_nodes.voicelink import VoiceLink
from voice_nodes.wishes import Actual


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


async def test_a_start_that_was_not_answered_may_have_been_heard(world: World) -> None:
    player = busy()
    assert player.playing is not None
    world.converger.begins(player.playing.play)
    world.fails["update"] = [LavalinkSilent("x")]
    world.converger.show(player)
    assert await world.next() == ("join", HERE)
    assert [(await world.next())[1][0].position_ms for _ in range(2)] == [0, 10_000]


async def test_a_start_that_never_came_to_the_server_is_made_from_the_beginning(world: World) -> None:
    player = busy()
    assert player.playing is not None
    world.converger.begins(player.playing.play)
    world.fails["update"] = [LavalinkAway("x")]
    world.converger.show(player)
    assert await world.next() == ("join", HERE)
    assert [(await world.next())[1][0].position_ms for _ in range(2)] == [0, 0]

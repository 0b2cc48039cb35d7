"""What a person does, and what the others in the channel hear."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.e2e.conftest import Room

HALF = 6.02
"""dB."""


async def test_440_hz_played_is_440_hz_heard(room: Room) -> None:
    answer = await room.ask("play", query="long 440")
    assert "440 Hz" in answer.text
    assert not answer.ephemeral
    await room.ear.hears(440)
    report = await room.ear.wait_packets((await room.ear.report()).packets + 50)
    assert (report.lost, report.step_errors, report.bad) == (0, 0, 0)


@pytest.mark.parametrize(("query", "frequency"), [("piece mp3", 500), ("piece flac", 700)])
async def test_what_is_not_opus_is_heard_too(room: Room, query: str, frequency: int) -> None:
    await room.ask("play", query=query)
    await room.ear.hears(frequency)


async def test_skip_brings_the_next_track(room: Room) -> None:
    await room.ask("play", query="long 440")
    await room.ask("play", query="long 660")
    await room.ear.hears(440)
    answer = await room.ask("skip")
    assert "440 Hz" in answer.text
    await room.ear.hears(660)


async def test_a_track_that_ends_is_followed_by_the_next(room: Room) -> None:
    await room.ask("play", query="brief 440")
    await room.ask("play", query="long 660")
    await room.ear.hears(440)
    await room.ear.hears(660)


async def test_next_goes_before_what_waits_and_now_before_what_plays(room: Room) -> None:
    await room.ask("play", query="long 440")
    await room.ask("play", query="long 660")
    await room.ask("play", query="long 880", where="next")
    await room.ask("play", query="long 550", where="now")
    await room.ear.hears(550)
    await room.ask("skip")
    await room.ear.hears(880)
    await room.ask("skip")
    await room.ear.hears(660)


async def test_pause_is_silence_and_resume_goes_on(room: Room) -> None:
    await room.ask("play", query="long 440")
    await room.ear.hears(440)
    await room.ask("pause")
    await room.ear.hears_silence()
    await room.ask("resume")
    await room.ear.hears(440)


@pytest.mark.parametrize("query", ["climb webm", "climb mp3"])
async def test_seek_goes_forth_and_back(room: Room, query: str) -> None:
    await room.ask("play", query=query)
    await room.hears_place(0)
    answer = await room.ask("seek", to="0:40")
    assert "at 0:40 of 1:00" in answer.text
    await room.hears_place(40)
    await room.ask("seek", to="10")
    await room.hears_place(10)


async def test_seek_while_paused_is_heard_when_it_goes_on(room: Room) -> None:
    await room.ask("play", query="climb mp3")
    await room.hears_place(0)
    await room.ask("pause")
    await room.ear.hears_silence()
    await room.ask("seek", to="0:30")
    await room.ask("resume")
    await room.hears_place(30)


async def test_half_the_volume_is_six_decibels_less(room: Room) -> None:
    await room.ask("play", query="long 440")
    await room.ear.hears(440)
    await room.ear.wait_packets((await room.ear.report()).packets + 20)
    before = await room.ear.level()
    await room.ask("volume", percent=50)
    async with asyncio.timeout(10):
        while abs(before - (await room.ear.level()) - HALF) > 0.5:
            await room.ear.wait_packets((await room.ear.report()).packets + 5)


async def test_stop_empties_the_queue(room: Room) -> None:
    await room.ask("play", query="long 440")
    await room.ask("play", query="long 660")
    await room.ear.hears(440)
    await room.ask("stop")
    await room.ear.hears_silence()
    assert "660 Hz" not in (await room.ask("queue")).text


async def test_leave_keeps_the_queue(room: Room) -> None:
    await room.ask("play", query="long 440")
    await room.ask("play", query="long 660")
    await room.ear.hears(440)
    await room.ask("leave")
    await room.guild.wait_bot_in(None)
    assert "660 Hz" in (await room.ask("queue")).text


async def test_the_buttons_do_what_they_say(room: Room) -> None:
    await room.ask("play", query="long 440")
    await room.ask("play", query="long 660")
    await room.ear.hears(440)
    message = await room.player("Pause")
    await (await room.ada.click(message, "Pause")).answer(timeout=5)
    await room.ear.hears_silence()
    message = await room.player("Resume")
    await (await room.ada.click(message, "Resume")).answer(timeout=5)
    await room.ear.hears(440)
    await (await room.ada.click(message, "Skip")).answer(timeout=5)
    await room.ear.hears(660)


async def test_two_clicks_on_skip_skip_one_track(room: Room) -> None:
    for query in ("long 440", "long 660", "long 880"):
        await room.ask("play", query=query)
    message = await room.player("Skip")
    clicks = await room.ada.double_click(message, "Skip")
    answers = [await click.answer(timeout=5) for click in clicks]
    late = [answer for answer in answers if "already ended" in answer.text]
    assert [answer.ephemeral for answer in late] == [True]
    await room.ear.hears(660)
    assert "880 Hz" in (await room.ask("queue")).text


async def test_now_playing_and_the_queue_tell_what_is(room: Room) -> None:
    await room.ask("play", query="long 440")
    await room.ask("play", query="long 660")
    playing = await room.ask("nowplaying")
    assert "440 Hz" in playing.text
    waiting = await room.ask("queue")
    assert "660 Hz" in waiting.text
    assert waiting.ephemeral


async def test_a_dropped_gateway_socket_is_resumed_without_a_gap(room: Room) -> None:
    await room.ask("play", query="long 440")
    await room.ear.hears(440)
    await room.ear.mark()
    since = await room.twin.mark()
    await room.twin.drop_gateway(room.shard)
    await room.twin.wait_for("session_resumed", since=since, timeout=10)
    report = await room.ear.wait_packets(100)
    assert (report.lost, report.step_errors, report.silence_runs) == (0, 0, 0)
    assert "440 Hz" in (await room.ask("nowplaying")).text


async def test_disconnected_by_hand_stops_and_keeps_the_queue(room: Room) -> None:
    await room.ask("play", query="long 440")
    await room.ask("play", query="long 660")
    await room.ear.hears(440)
    await room.guild.disconnect_bot()
    await room.ear.hears_silence()
    assert "660 Hz" in (await room.ask("queue")).text
    await room.ask("play", query="long 880", where="now")
    await room.ear.hears(880)


async def test_moved_by_an_admin_it_plays_on_there(room: Room) -> None:
    await room.ask("play", query="long 440")
    await room.ear.hears(440)
    await room.guild.move_bot(room.guild.voice_channels[1])
    await room.ada.move(room.guild.voice_channels[1])
    await room.ear.wait_first_packet(after_ns=await room.ear.mark())
    await room.ear.hears(440)
    await room.ask("pause")
    await room.ear.hears_silence()


@pytest.mark.parametrize("seed", range(12))
async def test_a_skip_at_the_natural_end_advances_by_exactly_one(room: Room, seed: int) -> None:
    """Lavalink says that a track is over 400 ms before it is heard: both moments are natural ends."""
    chance = random.Random(seed)
    started = await room.say("play", query="brief 440")
    await room.ask("play", query="long 660")
    await room.ask("play", query="long 880")
    first = await room.ear.wait_first_packet(after_ns=started.written_at_ns)
    end = first / 1e9 + 1.5 - chance.choice([0.4, 0.0]) + chance.uniform(-0.02, 0.02)
    loop = asyncio.get_running_loop()
    due = loop.create_future()
    loop.call_at(end, due.set_result, None)
    await due
    await room.say("skip")
    await room.ear.hears(660)
    assert "660 Hz" in (await room.ask("nowplaying")).text
    assert "880 Hz" in (await room.ask("queue")).text
    await room.ear.wait_packets((await room.ear.report()).packets + 15)
    starts = [round(start.frequency) for start in await room.ear.starts()]
    assert starts == [440, 660]

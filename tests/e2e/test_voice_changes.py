"""What Discord does to a voice connection, and what becomes of the music."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import aiohttp
import pytest
import redis.asyncio

from playground.system import PASSWORD
from tonearm.redis import keys
from tonearm.sentences import Sentence
from tonearm.settings import PREFIX

if TYPE_CHECKING:
    from playground.system import System
    from tests.e2e.conftest import OpenRoom, Room

SOON = 7.0
"""Seconds. The watchdog takes nine at least: what is so before was not left to it."""

WATCHED = 30.0
"""Seconds. The watchdog takes 20 at most, as a player is reported each five."""

STOOD_STILL = 'tonearm_voice_rejoins_total{reason="stands still"}'


async def goes_on(room: Room) -> None:
    """A second of music is heard from now on; packets of a session that is over are none."""
    await room.ear.mark()
    heard = taken = 0
    async with asyncio.timeout(SOON):
        while heard < 50:
            report = await room.ear.wait_packets(taken + 10, timeout=SOON)
            heard, taken = report.packets, report.packets + report.bad + report.unheard
    await room.ear.hears(440)


async def test_a_new_voice_server_goes_on(room: Room) -> None:
    await room.ask("play", query="long 440")
    await room.ear.hears(440)
    await room.guild.change_voice_server()
    await goes_on(room)


async def test_a_voice_server_that_goes_away_and_comes_back(room: Room) -> None:
    await room.ask("play", query="long 440")
    await room.ear.hears(440)
    await room.guild.change_voice_server(outage=True)
    await room.guild.change_voice_server()
    await goes_on(room)


async def test_an_outage_of_the_guild_keeps_the_queue_and_the_music_comes_back(room: Room) -> None:
    await room.ask("play", query="long 440")
    await room.ask("play", query="long 660")
    await room.ear.hears(440)
    await room.guild.set_unavailable()
    await room.guild.set_unavailable(False)
    await goes_on(room)
    assert "660 Hz" in (await room.ask("queue")).text


async def test_a_guild_that_removes_the_bot_and_invites_it_again_has_its_queue(room: Room) -> None:
    await room.ask("play", query="long 440")
    await room.ask("play", query="long 660")
    await room.ear.hears(440)
    since = await room.twin.mark()
    await room.guild.remove_bot()
    await room.twin.wait_for("guild_delete", since=since)
    await room.guild.add_bot()
    await room.ada.join(room.voice)
    assert "660 Hz" in (await room.ask("queue")).text
    await room.ask("play", query="long 880", where="now")
    await room.ear.hears(880, within=10)


async def test_one_broken_guild_does_not_stop_the_others(open_room: OpenRoom, system: System) -> None:
    broken, whole = await open_room(shard=0), await open_room(shard=0)
    await asyncio.gather(broken.ask("play", query="long 440"), whole.ask("play", query="long 660"))
    await whole.ear.hears(660)
    await broken.voice.delete()
    await whole.ask("pause")
    await whole.ear.hears_silence()
    await whole.ask("resume")
    await whole.ear.hears(660)
    second = broken.guild.voice_channels[1]
    await broken.ada.join(second)
    await broken.ask("play", query="long 880", where="now")
    await broken.ear.hears(880, within=10)


@pytest.mark.parametrize("code", [4006, 4009, 4015])
async def test_a_voice_connection_that_is_closed_goes_on(room: Room, code: int) -> None:
    await room.ask("play", query="long 440")
    await room.ear.hears(440)
    await room.guild.close_voice(code)
    await goes_on(room)


@pytest.mark.parametrize("code", [4014, 4021, 4022])
async def test_who_is_taken_out_of_the_channel_stops_and_keeps_the_queue(room: Room, code: int) -> None:
    await room.ask("play", query="long 440")
    await room.ask("play", query="long 660")
    await room.ear.hears(440)
    await room.guild.close_voice(code)
    await room.ear.hears_silence()
    assert "660 Hz" in (await room.ask("queue")).text
    await room.ask("play", query="long 880", where="now")
    await room.ear.hears(880)


async def test_where_end_to_end_encryption_is_demanded_it_is_told(room: Room) -> None:
    """4017; the audio node has none."""
    await room.ask("play", query="long 440")
    await room.ask("play", query="long 660")
    await room.ear.hears(440)
    await room.guild.require_dave()
    told = Sentence.JOIN_FAILED.format(channel=int(room.voice.id))
    await room.text.wait_message(lambda found: told in found.text, SOON)
    assert "660 Hz" in (await room.ask("queue")).text
    await room.guild.require_dave(False)
    await room.ask("play", query="long 880", where="now")
    await room.ear.hears(880)


async def stand_still(room: Room, system: System, http: aiohttp.ClientSession) -> None:
    """Pause at the audio node, behind Tonearm's back: it reports each five seconds that it is where it was."""
    (url,) = system.audio_urls.values()
    async with redis.asyncio.from_url(system.environ[f"{PREFIX}REDIS_URL"]) as store:
        session = await store.hget(keys.sessions(room.shard), urlsplit(url).netloc)
    path = f"v4/sessions/{session.decode()}/players/{room.guild.id}"
    headers = {"Authorization": PASSWORD}
    async with http.patch(f"{url}/{path}", json={"paused": True}, headers=headers) as answer:
        assert answer.status == 200


async def rejoins(system: System, http: aiohttp.ClientSession) -> float:
    """How often voice was joined again as a player stood still."""
    async with http.get(f"{system.voice_url}/metrics") as answer:
        lines = (await answer.text()).splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith(STOOD_STILL))


async def test_a_player_that_stands_still_is_joined_again(room: Room, system: System) -> None:
    await room.ask("play", query="long 440")
    await room.ear.hears(440)
    async with aiohttp.ClientSession() as http:
        before = await rejoins(system, http)
        for _ in range(2):  # The look of each minute mends it too; within 45 s there is not another one.
            await stand_still(room, system, http)
            await room.ear.hears_silence()
            await room.ear.hears(440, within=WATCHED)
            if await rejoins(system, http) > before:
                break
        assert await rejoins(system, http) == before + 1

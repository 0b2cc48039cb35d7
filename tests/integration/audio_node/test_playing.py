"""The audio node as its clients hear and read it: real process, real sockets, real Opus."""

from __future__ import annotations

import asyncio
import time

import pytest
from aiohttp import web

from tests.support.audio_node.tones import loudness, pitch
from tests.support.audio_node.voice_server import gaps
from tests.support.audio_node.world import World
from tests.support.serving import serving


@pytest.mark.parametrize("name", ["tone.opus", "tone.webm", "tone.mp3", "tone.flac"])
async def test_a_tone_is_heard_as_contiguous_encrypted_rtp(world: World, name: str) -> None:
    voice = await world.join()
    await world.play(name)
    packets = await voice.sounds(60, start=0)
    assert gaps(packets) == []
    assert {packet.ssrc for packet in packets} == {voice.ssrc}
    assert abs(pitch([packet.opus for packet in packets[10:]]) - 440) < 5
    took = packets[-1].at - packets[10].at
    assert 0.8 < took < 1.3  # 49 frames of 20 ms, in real time
    update = await world.client.messages.until(
        lambda message: message["op"] == "playerUpdate" and message["state"]["connected"]
    )
    assert update["guildId"] == str(world.guild)


async def test_pause_sends_five_silence_frames_and_going_on_has_no_gap(world: World) -> None:
    voice = await world.join()
    await world.play("tone.opus")
    await voice.sounds(20)
    answer = await world.client.patch(world.guild, {"paused": True})
    assert answer["paused"] is True
    mark = len(voice.packets.entries)
    await voice.ops.until(lambda body: body["op"] == 5 and body["d"]["speaking"] == 0)
    silent = [packet for packet in voice.packets.entries[mark - 1 :] if not packet.sound]
    assert len(silent) == 5
    assert not voice.packets.entries[-1].sound
    await world.client.patch(world.guild, {"paused": False})
    await voice.sounds(20)
    assert gaps(voice.packets.entries) == []


async def test_seek_is_heard_and_told(world: World) -> None:
    voice = await world.join()
    await world.play("two.webm")
    await voice.sounds(20)
    mark = len(world.client.messages.entries)
    await world.client.patch(world.guild, {"position": 12_000})
    await world.client.messages.until(lambda message: message["op"] == "playerUpdate", start=mark)
    packets = await voice.sounds(100)
    assert abs(pitch([packet.opus for packet in packets[-40:]]) - 880) < 5
    assert (await world.client.player(world.guild))["state"]["position"] >= 12_000


async def test_a_track_can_start_at_a_position_and_end_at_a_time(world: World) -> None:
    voice = await world.join()
    await world.play("two.webm", position=12_000, endTime=12_600)
    packets = await voice.sounds(25)
    assert abs(pitch([packet.opus for packet in packets]) - 880) < 5
    end = await world.client.event("TrackEndEvent", world.guild)
    assert end["reason"] == "stopped"
    assert 12_500 <= end["track"]["info"]["position"] <= 12_800


async def test_volume_and_equalizer_are_heard(world: World) -> None:
    voice = await world.join()
    await world.play("tone.opus")
    loud = loudness([packet.opus for packet in await voice.sounds(40)])
    assert (await world.client.patch(world.guild, {"volume": 50}))["volume"] == 50
    await voice.sounds(30)
    quiet = loudness([packet.opus for packet in await voice.sounds(40)])
    assert 0.4 < quiet / loud < 0.6
    answer = await world.client.patch(
        world.guild, {"volume": 100, "filters": {"equalizer": [{"band": 6, "gain": -0.25}]}}
    )
    assert answer["filters"] == {"equalizer": [{"band": 6, "gain": -0.25}]}
    await voice.sounds(40)
    bent = loudness([packet.opus for packet in await voice.sounds(40)])
    assert bent / loud < 0.85


async def test_filters_it_lacks_are_refused_by_name(world: World) -> None:
    path = world.client.player_path(world.guild)
    status, answer, _ = await world.client.request("PATCH", path, {"filters": {"timescale": {"speed": 1.2}}})
    assert status == 400
    assert "timescale" in answer["message"]


async def test_a_closed_session_resumes_without_a_gap_and_replays_its_events(world: World) -> None:
    voice = await world.join()
    client = world.client
    await client.request("PATCH", f"/v4/sessions/{client.session_id}", {"resuming": True, "timeout": 30})
    await world.play("short.opus", track={"userData": {"play_id": "p1"}})
    await voice.sounds(10)
    await client.close()
    # Nobody listens now; the second of music goes on to its end.
    await voice.packets.until(lambda packet: not packet.sound, start=len(voice.packets.entries))
    began = time.monotonic()
    back = await world.another_client(client.session_id)
    assert back.resumed is True
    assert back.headers["Session-Resumed"] == "true"
    assert back.session_id == client.session_id
    end = await back.event("TrackEndEvent", world.guild, timeout=1)
    assert (end["reason"], end["track"]["userData"]) == ("finished", {"play_id": "p1"})
    await back.messages.until(lambda message: message["op"] == "playerUpdate", timeout=1)
    assert time.monotonic() - began < 0.4
    kinds = [message["op"] for message in back.messages.entries]
    assert kinds[0] == "ready"
    assert kinds.index("event") < kinds.index("playerUpdate")
    assert gaps(voice.packets.entries) == []
    assert voice.socket is not None
    assert not voice.socket.closed
    await back.close()


async def test_an_open_session_is_not_resumed(world: World) -> None:
    await world.client.request("PATCH", f"/v4/sessions/{world.client.session_id}", {"resuming": True, "timeout": 1})
    other = await world.another_client(world.client.session_id)
    assert other.resumed is False
    assert other.headers["Session-Resumed"] == "false"
    assert other.session_id != world.client.session_id
    await other.close()


async def test_a_session_that_nobody_resumes_leaves_voice(world: World) -> None:
    client = world.client
    voice = await world.join()
    await world.play("tone.opus")
    await voice.sounds(5)
    await client.request("PATCH", f"/v4/sessions/{client.session_id}", {"resuming": True, "timeout": 1})
    await client.close()
    status, answer, _ = await client.request("GET", f"/v4/sessions/{client.session_id}/players")
    assert (status, answer["message"]) == (404, "Session not found")
    await asyncio.wait_for(voice.closed.wait(), 5)
    assert voice.socket is not None
    assert voice.socket.close_code == 1000
    late = await world.another_client(client.session_id)
    assert late.resumed is False
    await late.close()


async def test_user_data_is_echoed_everywhere(world: World) -> None:
    voice = await world.join()
    first, second = {"play_id": "a", "by": {"id": 1}}, {"play_id": "b"}
    answer = await world.play("tone.opus", track={"userData": first})
    assert answer["track"]["userData"] == first
    start = await world.client.event("TrackStartEvent", world.guild)
    assert start["track"]["userData"] == first
    await voice.sounds(5)
    await world.play("tone.mp3", track={"userData": second})
    end = await world.client.event("TrackEndEvent", world.guild)
    assert (end["reason"], end["track"]["userData"]) == ("replaced", first)
    assert (await world.client.player(world.guild))["track"]["userData"] == second
    kept = await world.client.patch(world.guild, {"track": {"userData": {"play_id": "c"}}})
    assert kept["track"]["userData"] == {"play_id": "c"}
    await world.client.patch(world.guild, {"track": {"encoded": None}})
    mark = world.client.messages.entries.index(end) + 1
    stopped = await world.client.event("TrackEndEvent", world.guild, start=mark)
    assert (stopped["reason"], stopped["track"]["userData"]) == ("stopped", {"play_id": "c"})


async def test_no_replace_leaves_the_playing_track_alone(world: World) -> None:
    await world.play("tone.opus")
    answer = await world.client.patch(
        world.guild, {"track": {"identifier": world.tone("tone.mp3")}}, query="?noReplace=true"
    )
    assert answer["track"]["info"]["uri"] == world.tone("tone.opus")


async def test_a_track_that_breaks_midway_says_so_and_ends_as_finished(world: World) -> None:
    whole = (world.tones / "tone.mp3").read_bytes()
    gone = False

    async def half(request: web.Request) -> web.StreamResponse:
        """A twentieth of the file under the promise of all of it; nothing to who comes back for the rest."""
        if gone or request.http_range.start:
            return web.Response(status=500)
        response = web.StreamResponse()
        response.content_type = "audio/mpeg"
        response.content_length = len(whole)
        await response.prepare(request)
        await response.write(whole[: len(whole) // 20])
        assert request.transport is not None
        request.transport.close()  # once what was written is sent; an abort might throw away all of it
        return response

    async with serving(half) as address:
        voice = await world.join()
        await world.client.patch(
            world.guild, {"track": {"identifier": f"{address}/half.mp3", "userData": {"play_id": "x"}}}
        )
        failed = await world.client.event("TrackExceptionEvent", world.guild)
        assert set(failed["exception"]) == {"message", "severity", "cause", "causeStackTrace"}
        assert failed["exception"]["severity"] in {"common", "suspicious", "fault"}
        end = await world.client.event("TrackEndEvent", world.guild)
        assert (end["reason"], end["track"]["userData"]) == ("finished", {"play_id": "x"})
        assert any(packet.sound for packet in voice.packets.entries)
        # And once it can't be had at all.
        gone = True
        mark = len(world.client.messages.entries)
        await world.client.patch(world.guild, {"track": {"encoded": end["track"]["encoded"]}})
        failed = await world.client.event("TrackExceptionEvent", world.guild, start=mark)
        end = await world.client.event("TrackEndEvent", world.guild, start=mark)
        assert end["reason"] == "loadFailed"


async def test_search_prefixes_look_in_the_library(world: World) -> None:
    for prefix in ("ytsearch:", "ytmsearch:", "scsearch:", "search:"):
        status, answer, _ = await world.client.request("GET", f"/v4/loadtracks?identifier={prefix}two lab")
        assert status == 200
        assert answer["loadType"] == "search"
        assert [track["info"]["title"] for track in answer["data"]] == ["Two Tones"]
    _status, answer, _ = await world.client.request("GET", "/v4/loadtracks?identifier=ytsearch:nothing like it")
    assert answer == {"loadType": "empty", "data": None}
    _status, answer, _ = await world.client.request("GET", f"/v4/loadtracks?identifier={world.tones}")
    assert answer["loadType"] == "playlist"
    assert len(answer["data"]["tracks"]) == 6


async def test_encoded_tracks_decode_to_themselves(world: World) -> None:
    _status, loaded, _ = await world.client.request(
        "GET", f"/v4/loadtracks?identifier=file://{world.tone('tone.flac')}"
    )
    track = loaded["data"]
    _status, decoded, _ = await world.client.request("POST", "/v4/decodetracks", [track["encoded"]])
    assert decoded == [track]
    status, answer, _ = await world.client.request("POST", "/v4/decodetracks", [])
    assert (status, answer["message"]) == (400, "No tracks to decode provided")

"""The audio node as its clients and a voice server see it: real process, real sockets, real Opus."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from tests.support.audio_node.node import Client, running_node
from tests.support.audio_node.tones import loudness, pitch, write_tone
from tests.support.audio_node.voice_server import XCHACHA, Voice, VoiceServer, gaps, make_ca
from tests.support.serving import serving

guilds = itertools.count(1000)


class World:
    """A node, a voice server and a client with a player that has joined it."""

    def __init__(self, url: str, server: VoiceServer, http: aiohttp.ClientSession, tones: Path) -> None:
        self.url, self.server, self.http, self.tones = url, server, http, tones
        self.guild = next(guilds)
        self.client = Client(http, url)

    def tone(self, name: str) -> str:
        return str(self.tones / name)

    async def join(self) -> Voice:
        known = len(self.server.voices.entries)
        answer = await self.client.join(self.guild, self.server.endpoint, f"voice-{self.guild}")
        assert answer["state"]["connected"] is True
        return await self.server.voices.until(lambda _voice: True, start=known)

    async def play(self, name: str, **more: Any) -> dict[str, Any]:
        track = {"identifier": self.tone(name), **more.pop("track", {})}
        return await self.client.patch(self.guild, {"track": track, **more})

    async def another_client(self, session_id: str | None = None) -> Client:
        client = Client(self.http, self.url)
        await client.connect(session_id)
        return client


@pytest.fixture(scope="session")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tones")
    for suffix in ("opus", "webm", "mp3", "flac"):
        write_tone(folder / f"tone.{suffix}", [(440, 20)], title="Tone", artist="Lab")
    write_tone(folder / "two.webm", [(440, 10), (880, 10)], title="Two Tones", artist="Lab")
    write_tone(folder / "short.opus", [(440, 1)], title="Short")
    return folder


@pytest.fixture(scope="session")
async def node(tmp_path_factory: pytest.TempPathFactory, tones: Path) -> AsyncIterator[tuple[str, Any]]:
    ca, tls = make_ca(tmp_path_factory.mktemp("ca"))
    async with running_node(ca, tones) as url:
        yield url, tls


@pytest.fixture
async def world(node: tuple[str, Any], tones: Path) -> AsyncIterator[World]:
    url, tls = node
    server = VoiceServer()
    await server.start(tls)
    async with aiohttp.ClientSession() as http:
        world = World(url, server, http, tones)
        await world.client.connect()
        yield world
        await world.client.close()
        await server.close()


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


async def test_the_gateway_sees_the_handshake_that_discord_documents(world: World) -> None:
    voice = await world.join()
    await world.play("tone.opus")
    await voice.ops.until(lambda body: body["op"] == 3, timeout=5)
    identify, select, speaking = voice.ops.entries[:3]
    assert identify["d"] == {
        "server_id": str(world.guild),
        "user_id": "4242",
        "session_id": f"voice-{world.guild}",
        "token": "token",
        "max_dave_protocol_version": 0,
    }
    assert select["d"]["protocol"] == "udp"
    assert select["d"]["data"]["address"] == "127.0.0.1"
    assert speaking == {"op": 5, "d": {"speaking": 1, "delay": 0, "ssrc": voice.ssrc}}
    assert (await world.client.player(world.guild))["state"]["ping"] >= 0


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


async def test_identical_voice_data_opens_no_new_connection(world: World) -> None:
    voice = await world.join()
    await world.play("tone.opus")
    await voice.sounds(10)
    await world.client.join(world.guild, world.server.endpoint, f"voice-{world.guild}")
    await voice.sounds(30)
    assert len(world.server.voices.entries) == 1
    assert gaps(voice.packets.entries) == []


async def test_a_new_token_opens_a_new_connection_and_the_track_goes_on(world: World) -> None:
    voice = await world.join()
    await world.play("tone.opus")
    await voice.sounds(10)
    await world.client.join(world.guild, world.server.endpoint, f"voice-{world.guild}", token="another")
    fresh = await world.server.voices.until(lambda other: other is not voice)
    await fresh.sounds(20)
    await asyncio.wait_for(voice.closed.wait(), 5)


@pytest.mark.parametrize("how", ["4015", "tcp"])
async def test_a_crashed_voice_gateway_is_resumed_without_a_gap(world: World, how: str) -> None:
    voice = await world.join()
    await world.play("tone.opus")
    await voice.sounds(10)
    assert voice.socket is not None
    if how == "4015":
        await voice.socket.close(code=4015)
    else:
        voice.transport.abort()
    resume = await voice.ops.until(lambda body: body["op"] == 7)
    assert resume["d"]["seq_ack"] > 0
    await voice.sounds(30)
    assert gaps(voice.packets.entries) == []
    assert not [message for message in world.client.messages.entries if message.get("type") == "WebSocketClosedEvent"]


async def test_a_refused_resume_is_told_and_the_sound_goes_on_into_the_void(world: World) -> None:
    voice = await world.join()
    await world.play("tone.opus")
    await voice.sounds(5)
    world.server.refuse_with = 4006
    voice.transport.abort()
    closed = await world.client.event("WebSocketClosedEvent", world.guild)
    assert (closed["code"], closed["byRemote"]) == (4006, True)
    await voice.sounds(10)
    assert (await world.client.player(world.guild))["state"]["connected"] is False


async def test_where_only_xchacha20_is_offered_it_is_used(world: World) -> None:
    world.server.modes = [XCHACHA]
    voice = await world.join()
    await world.play("tone.opus")
    packets = await voice.sounds(40)
    assert voice.mode == XCHACHA
    assert gaps(packets) == []
    assert abs(pitch([packet.opus for packet in packets[10:]]) - 440) < 5


async def test_a_server_without_a_mode_that_it_knows_is_an_error(world: World) -> None:
    world.server.modes = ["xsalsa20_poly1305"]
    voice = {"token": "t", "endpoint": world.server.endpoint, "sessionId": "s", "channelId": "7"}
    status, answer, _ = await world.client.request("PATCH", world.client.player_path(world.guild), {"voice": voice})
    assert status == 500
    assert "xsalsa20_poly1305" in answer["message"]


@pytest.mark.parametrize("code", [4006, 4009, 4014, 4017, 4021, 4022])
async def test_a_final_voice_close_is_an_event_and_no_reconnect(world: World, code: int) -> None:
    voice = await world.join()
    await world.play("tone.opus")
    await voice.sounds(5)
    assert voice.socket is not None
    await voice.socket.close(code=code, message=b"gone")
    closed = await world.client.event("WebSocketClosedEvent", world.guild)
    assert (closed["code"], closed["reason"], closed["byRemote"]) == (code, "gone", True)
    await world.client.messages.until(
        lambda message: message["op"] == "playerUpdate" and not message["state"]["connected"],
        start=world.client.messages.entries.index(closed),
    )
    assert (await world.client.player(world.guild))["state"]["connected"] is False
    assert len(world.server.voices.entries) == 1
    # As the real one, it sends on into the void until it is told otherwise.
    await voice.sounds(10)
    # Joining again, with the same data even, goes on with the track.
    again = await world.join()
    await again.sounds(10)
    status, _, _ = await world.client.request("DELETE", world.client.player_path(world.guild))
    assert status == 204
    await asyncio.wait_for(again.closed.wait(), 5)


async def test_a_refusing_voice_endpoint_is_an_error_and_not_a_hang(world: World) -> None:
    voice = {"token": "t", "endpoint": "localhost:1", "sessionId": "s", "channelId": "7"}
    path = world.client.player_path(world.guild)
    async with asyncio.timeout(10):
        status, answer, _ = await world.client.request("PATCH", path, {"voice": voice})
    assert status == 500
    assert "voice endpoint" in answer["message"]
    world.server.refuse_with = 4006
    async with asyncio.timeout(10):
        status, answer, _ = await world.client.request(
            "PATCH", path, {"voice": {**voice, "endpoint": world.server.endpoint}}
        )
    assert status == 500
    assert "4006" in answer["message"]
    closed = await world.client.event("WebSocketClosedEvent", world.guild)
    assert closed["code"] == 4006
    world.server.refuse_with = None
    await world.join()


async def test_a_silent_voice_endpoint_can_be_left_for_another(world: World) -> None:
    world.server.answers = False
    voice = {"token": "t", "endpoint": world.server.endpoint, "sessionId": "s", "channelId": "7"}
    path = world.client.player_path(world.guild)
    hanging = asyncio.create_task(world.client.request("PATCH", path, {"voice": voice}))
    async with asyncio.timeout(5):
        while (await world.client.request("GET", path))[0] == 404:
            pass
    world.server.answers = True
    await world.join()
    status, _answer, _ = await asyncio.wait_for(hanging, 5)
    assert status == 500


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

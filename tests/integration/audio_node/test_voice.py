"""The audio node as a voice server sees it, which it joins, loses, leaves and returns to."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.audio_node.tones import pitch
from tests.support.audio_node.voice_server import XCHACHA, gaps
from tests.support.audio_node.world import World


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

"""Every message of the twin's voice gateway, against Discord's published payload types."""

import asyncio
import json
import os
import ssl
from pathlib import Path
from typing import Any

import aiohttp
import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from playground.twin.voice import protocol
from playground.twin.voice.server import VoiceServer

FOLDER = os.environ.get("TONEARM_GROUND_TRUTH")
pytestmark = pytest.mark.skipif(FOLDER is None, reason="TONEARM_GROUND_TRUTH names no folder with Discord's schemas")

RECEIVED = {
    2: "VoiceReady",
    4: "VoiceSessionDescription",
    6: "VoiceHeartbeatAck",
    8: "VoiceHello",
    9: "VoiceResumed",
    11: "VoiceClientsConnect",
    13: "VoiceClientDisconnect",
}
SENT = {0: "VoiceIdentify", 1: "VoiceSelectProtocol", 3: "VoiceHeartbeat", 5: "VoiceSpeakingSend", 7: "VoiceResume"}


@pytest.fixture(scope="session")
def definitions() -> dict[str, Any]:
    assert FOLDER is not None
    schema = json.loads((Path(FOLDER) / "discord-payloads.schema.json").read_text())
    found: dict[str, Any] = schema["definitions"]
    return found


@pytest.fixture(scope="session")
def validators(definitions: dict[str, Any]) -> dict[str, Any]:
    """One compiled root for each message: what a union complains about says nothing."""
    roots = {*RECEIVED.values(), *SENT.values(), "VoiceReceive", "VoiceSend"}
    return {
        root: jsonschema_rs.Draft7Validator({"$ref": f"#/definitions/{root}", "definitions": definitions})
        for root in roots
    }


async def conversation() -> list[dict[str, Any]]:
    """Bring the server to send every message it has, and return them all."""
    heard: list[dict[str, Any]] = []
    server = VoiceServer()
    await server.start()
    trust = ssl.create_default_context(cafile=str(server.ca_path))
    url = f"wss://{server.endpoint}/?v=8"

    async def hear(ws: aiohttp.ClientWebSocketResponse, *ops: int) -> None:
        for op in ops:
            message = await ws.receive_json(timeout=5)
            assert message["op"] == op
            heard.append(message)

    who = {"server_id": "1", "session_id": "session", "token": "token"}
    address = {"address": "127.0.0.1", "port": 50_000, "mode": protocol.AES_GCM}
    server.expect(1, 2, 3, "session", "token")
    server.expect(1, 2, 4, "session", "token")
    try:
        async with aiohttp.ClientSession() as http:
            async with http.ws_connect(url, ssl=trust) as first:
                await first.send_json({"op": 0, "d": {**who, "user_id": "3", "max_dave_protocol_version": 1}})
                await hear(first, 8, 2)
                await first.send_json({"op": 1, "d": {"protocol": "udp", "data": address}})
                await hear(first, 4)
                async with http.ws_connect(url, ssl=trust) as second:
                    await second.send_json({"op": 0, "d": {**who, "user_id": "4"}})
                    await hear(second, 8, 2, 11)
                    await hear(first, 11)
                await hear(first, 13)
                await first.send_json({"op": 3, "d": {"t": 1, "seq_ack": 4}})
                await hear(first, 6)
                await asyncio.wait_for(first.close(code=4000), 5)
            async with http.ws_connect(url, ssl=trust) as again:
                await again.send_json({"op": 7, "d": {**who, "seq_ack": 2}})
                await hear(again, 8, 9, 11, 13)
    finally:
        await server.close()
    return heard


async def test_what_the_server_sends_is_what_discord_sends(validators: dict[str, Any]) -> None:
    messages = await conversation()
    assert {message["op"] for message in messages} == set(RECEIVED)
    for message in messages:
        validators[RECEIVED[message["op"]]].validate(message)
        validators["VoiceReceive"].validate(message)
        numbered = message["op"] in {2, 4, 11, 13}
        assert ("seq" in message) is numbered


GOOD: dict[int, dict[str, Any]] = {
    0: {
        "server_id": "1",
        "user_id": "2",
        "session_id": "session",
        "token": "token",
        "max_dave_protocol_version": 1,
    },
    1: {"protocol": "udp", "data": {"address": "127.0.0.1", "port": 50_000, "mode": protocol.AES_GCM}},
    3: {"t": 1_501_184_119_561, "seq_ack": -1},
    5: {"speaking": 1, "delay": 0, "ssrc": 1},
    7: {"server_id": "1", "session_id": "session", "token": "token", "seq_ack": 10},
}


@pytest.mark.parametrize("op", SENT)
def test_what_discord_takes_is_taken(op: int, validators: dict[str, Any]) -> None:
    message = {"op": op, "d": GOOD[op]}
    validators[SENT[op]].validate(message)
    assert protocol.decode(json.dumps(message)) is not None


values = (
    st.none()
    | st.booleans()
    | st.integers(-2, 5_000)
    | st.sampled_from(["", "7", "udp", "?"])
    | st.just([])
    | st.just({})
)


@given(op=st.sampled_from(sorted(SENT)), data=st.data())
def test_what_is_taken_is_what_discord_takes(op: int, data: st.DataObject, validators: dict[str, Any]) -> None:
    """Break or remove any field: a message that still gets through must still be valid."""
    said = json.loads(json.dumps(GOOD[op]))
    place = data.draw(st.sampled_from([said, *(v for v in said.values() if isinstance(v, dict))]))
    field = data.draw(st.sampled_from(sorted(place)))
    if data.draw(st.booleans()):
        place[field] = data.draw(values)
    else:
        del place[field]
    message = {"op": op, "d": said}
    try:
        protocol.decode(json.dumps(message))
    except protocol.Refused:
        return
    if op == 1:  # an unknown mode is read, and refused with a code of its own
        mode = said["data"]["mode"]
        said["data"]["mode"] = mode if mode in protocol.MODES else protocol.AES_GCM
    validators[SENT[op]].validate(message)
    validators["VoiceSend"].validate(message)

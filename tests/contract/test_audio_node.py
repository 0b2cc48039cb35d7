"""The audio node against the recorded answers of a real Lavalink, field by field.

The same requests go to a running node in the same order. Values are compared but for those that can't be the same
twice (times, memory, what depends on the encoder of the tone): of those the type. Every difference must stand in
`playground/audio_node/differences.json` with its reason, and every one that stands there must occur.
"""

from __future__ import annotations

import json
import os
import re
from base64 import b64decode
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

import playground.audio_node
from tests.support.audio_node.node import Client, running_node
from tests.support.audio_node.tones import write_tone
from tests.support.audio_node.voice_server import VoiceServer, make_ca

GROUND_TRUTH = os.environ.get("TONEARM_GROUND_TRUTH", "")
DIFFERENCES = Path(playground.audio_node.__file__).with_name("differences.json")
RECORDED_WEB, RECORDED_VOICE = "http://127.0.0.1:8090", "localhost:8443"
MASKED = frozenset(
    {"timestamp", "time", "position", "uptime", "length", "encoded", "jvm", "causeStackTrace", "ping", "gain"}
    | {"free", "used", "allocated", "reservable", "cores", "systemLoad", "lavalinkLoad", "buildTime"}
)
"""Fields whose values differ from run to run; their types may not."""

pytestmark = pytest.mark.skipif(not GROUND_TRUTH, reason="TONEARM_GROUND_TRUTH names no folder with recorded answers")


@pytest.fixture(scope="module")
def recording() -> dict[str, Any]:
    recorded: dict[str, Any] = json.loads((Path(GROUND_TRUTH) / "lavalink-4.2.2-recorded.json").read_text())
    return recorded


class Replay:
    """What the node answered and sent, with the addresses of the recording in it."""

    def __init__(self) -> None:
        self.answers: list[dict[str, Any]] = []
        self.messages: list[dict[str, Any]] = []


@pytest.fixture(scope="module")
async def replay(recording: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Replay]:
    folder = tmp_path_factory.mktemp("replay")
    write_tone(folder / "tone.mp3", [(440, 30)], title="Tone", artist="Lab")
    write_tone(folder / "tone.webm", [(440, 30)])
    (folder / "bad.mp3").write_bytes(bytes(range(7, 250)) * 40)
    ca, tls = make_ca(folder)
    app = web.Application()
    app.router.add_static("/", folder)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server = VoiceServer()
    await server.start(tls)
    ours = (f"http://127.0.0.1:{runner.addresses[0][1]}", server.endpoint)
    async with aiohttp.ClientSession() as http, running_node(ca, folder) as url:
        client = Client(http, url)
        await client.connect()
        yield await _replay(recording, client, ours)
        await client.close()
    await server.close()
    await runner.cleanup()


async def _replay(recording: dict[str, Any], client: Client, ours: tuple[str, str]) -> Replay:
    replay = Replay()
    for recorded in recording["rest"]:
        method, path, body = json.loads(_translate(json.dumps(recorded["req"]), client, ours))
        password = {401: None, 403: "wrong"}.get(recorded["status"], "right")
        secret = {} if password == "right" else {"password": password}
        status, answer, headers = await client.request(method, path, body, **secret)  # type: ignore[arg-type]
        plain = json.loads(_translate(json.dumps(answer), client, ours, back=True))
        replay.answers.append(
            {
                "status": status,
                "ctype": headers.get("Content-Type"),
                "hdr": {name: value for name, value in headers.items() if name == "Lavalink-Api-Version"},
                "body": plain,
            }
        )
    await client.messages.until(lambda message: message["op"] == "playerUpdate" and not message["state"]["connected"])
    entries = _translate(json.dumps(client.messages.entries), client, ours, back=True)
    replay.messages = json.loads(entries)
    return replay


def _translate(text: str, client: Client, ours: tuple[str, str], *, back: bool = False) -> str:
    """Put our addresses and session id in the place of the recorded ones, or the other way round."""
    pairs = [(RECORDED_WEB, ours[0]), (RECORDED_VOICE, ours[1]), ("SESSION", client.session_id)]
    for recorded, own in pairs:
        text = text.replace(own, recorded) if back else text.replace(recorded, own)
    return text


def _differences(where: str, real: Any, ours: Any) -> Iterator[str]:
    """One line for each field that differs."""
    if isinstance(real, dict) and isinstance(ours, dict):
        for name in sorted(real.keys() | ours.keys()):
            field = f"{where}.{name}"
            if name not in ours:
                yield f"{field}: missing"
            elif name not in real:
                yield f"{field}: extra"
            elif name in MASKED:
                if _kind(real[name]) != _kind(ours[name]):
                    yield f"{field}: {_kind(ours[name])} instead of {_kind(real[name])}"
            else:
                yield from _differences(field, real[name], ours[name])
    elif isinstance(real, list) and isinstance(ours, list) and len(real) == len(ours):
        for number, (one, other) in enumerate(zip(real, ours, strict=True)):
            yield from _differences(f"{where}[{number}]", one, other)
    elif type(real) is not type(ours) or real != ours:
        yield f"{where}: {json.dumps(ours)} instead of {json.dumps(real)}"


def _kind(value: Any) -> str:
    return {bool: "boolean", int: "integer", float: "number", str: "string", type(None): "null"}.get(
        type(value), type(value).__name__
    )


def _found(recording: dict[str, Any], replay: Replay) -> list[str]:
    found: list[str] = []
    for recorded, answer in zip(recording["rest"], replay.answers, strict=True):
        method, path, body = recorded["req"]
        request = f"{method} {path}" + ("" if body is None else f" {json.dumps(body)}")
        if recorded["status"] in (401, 403):
            request += f" [{recorded['status']}]"
        if recorded["body"] == answer["body"] == "":
            answer["ctype"] = recorded["ctype"]  # of nothing
        # Another status has another body; to list its fields would only bury the difference.
        parts = ("status", "ctype", "hdr", "body") if recorded["status"] == answer["status"] else ("status",)
        for part in parts:
            found += _differences(f"{request} -> {part}", recorded[part], answer[part])
    return found + _found_in_messages(recording["ws"], replay.messages)


def _found_in_messages(recorded: list[dict[str, Any]], sent: list[dict[str, Any]]) -> list[str]:
    """Each kind of message by its fields, and the order of the events."""
    found: list[str] = []

    def name(message: dict[str, Any]) -> str:
        return str(message.get("type", message["op"]))

    real = {name(message): message for message in recorded}
    ours = {name(message): message for message in sent}
    for kind in sorted(real.keys() | ours.keys()):
        if kind not in ours or kind not in real:
            found.append(f"message {kind}: {'missing' if kind in real else 'extra'}")
        else:
            found += _differences(f"message {kind}", real[kind], ours[kind])
    orders = [[name(message) for message in messages if message["op"] == "event"] for messages in (recorded, sent)]
    return found + list(_differences("order of events", *orders))


def test_every_difference_is_listed_with_a_reason_and_occurs(recording: dict[str, Any], replay: Replay) -> None:
    listed = {entry["difference"]: entry["reason"] for entry in json.loads(DIFFERENCES.read_text())["recorded"]}
    found = _found(recording, replay)
    unlisted = [difference for difference in found if difference not in listed]
    assert unlisted == [], "not listed:\n" + "\n".join(unlisted)
    gone = [difference for difference in listed if difference not in found]
    assert gone == [], "listed, but it no longer occurs:\n" + "\n".join(gone)
    assert all(len(reason) > 20 for reason in listed.values())


def test_an_encoded_track_is_the_real_one_byte_for_byte(recording: dict[str, Any], replay: Replay) -> None:
    """But for the two bytes of the length, which is the encoder's business, and the address of the web server."""
    compared = 0
    for recorded, answer in zip(recording["rest"], replay.answers, strict=True):
        if "/tone.mp3" not in recorded["req"][1] or recorded["status"] != 200:
            continue
        real, ours = recorded["body"]["data"]["encoded"], answer["body"]["data"]["encoded"]
        shape = re.compile(rb"\x00.http://127\.0\.0\.1:\d+", re.DOTALL)
        length = (30048).to_bytes(8, "big")
        own_length = answer["body"]["data"]["info"]["length"].to_bytes(8, "big")
        own = shape.sub(b"URL", b64decode(ours).replace(own_length, length))[4:]
        assert own == shape.sub(b"URL", b64decode(real))[4:]
        compared += 1
    assert compared == 1

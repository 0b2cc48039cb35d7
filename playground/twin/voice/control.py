"""The listeners over HTTP, for tests and the demo in other processes: JSON, loopback only, long polls.

A wait that fails is answered 200 with `{"not_heard": "<what was heard instead>"}`; `client.py` makes it an
exception again.
"""

import asyncio
import ipaddress
import math
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import msgspec
from aiohttp import web

from playground.twin.voice.listener import KEEP_S, Listener, NotHeard
from playground.twin.voice.server import VoiceServer

PREFIX: Final = "/control/voice"
LONGEST_WAIT_S: Final = 600.0


class Hears(msgspec.Struct, frozen=True):
    """Wait for this frequency (Hz)."""

    frequency: float
    within: float
    tolerance: float = 5.0


class HearsSilence(msgspec.Struct, frozen=True):
    """Wait for so much silence."""

    for_ms: float
    within: float


class FirstPacket(msgspec.Struct, frozen=True):
    """Wait for the first packet after this moment (CLOCK_MONOTONIC, ns)."""

    after_ns: int
    timeout: float


class Packets(msgspec.Struct, frozen=True):
    """Wait for so many packets."""

    count: int
    timeout: float


class Listen(msgspec.Struct, frozen=True):
    """Open an ear that keeps so many seconds; `null` for everything."""

    keep: float | None = KEEP_S


T = TypeVar("T")
Answer = Callable[[Listener, bytes], Awaitable[object]]


def routes(server: VoiceServer, prefix: str = PREFIX) -> list[web.RouteDef]:
    """Return the routes, `POST {prefix}/{guild}/{question}` and one GET, whose paths begin with `prefix`.

    The answers: 400 for a broken body, 403 for callers that are not on this machine.
    """

    def question(answer: Answer) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def handle(request: web.Request) -> web.StreamResponse:
            _only_loopback(request)
            listener = server.listen(int(request.match_info["guild"]))
            body = await request.read()
            try:
                said = await answer(listener, body)
            except NotHeard as not_heard:
                said = {"not_heard": str(not_heard)}
            except msgspec.DecodeError as error:
                return web.Response(status=400, text=f"{error}\n")
            if isinstance(said, bytes):
                return web.Response(body=said, content_type="audio/wav")
            return web.Response(body=msgspec.json.encode(said), content_type="application/json")

        return handle

    async def overview(request: web.Request) -> web.Response:
        _only_loopback(request)
        said = {
            "endpoint": server.endpoint,
            "ca_path": str(server.ca_path),
            "connected": [{"guild_id": str(g), "user_id": str(u)} for g, u in server.connected],
            "stray": server.stray,
            "drops": server.drops,
        }
        return web.Response(body=msgspec.json.encode(said), content_type="application/json")

    asked = [web.post(f"{prefix}/{{guild:\\d+}}/{name}", question(answer)) for name, answer in _QUESTIONS.items()]
    return [web.get(prefix, overview), *asked]


def _only_loopback(request: web.Request) -> None:
    if request.remote is None or not ipaddress.ip_address(request.remote).is_loopback:
        raise web.HTTPForbidden(text="Only from this machine.\n")


def _patience(seconds: float) -> float:
    return min(max(0.0, seconds), LONGEST_WAIT_S)


async def _listen(listener: Listener, body: bytes) -> object:
    keep = msgspec.json.decode(body, type=Listen).keep
    listener.keep(math.inf if keep is None else keep)
    return None


async def _hears(listener: Listener, body: bytes) -> object:
    asked = msgspec.json.decode(body, type=Hears)
    return await listener.hears(asked.frequency, _patience(asked.within), asked.tolerance)


async def _hears_silence(listener: Listener, body: bytes) -> object:
    asked = msgspec.json.decode(body, type=HearsSilence)
    return {"since_ns": await listener.hears_silence(asked.for_ms, _patience(asked.within))}


async def _first_packet(listener: Listener, body: bytes) -> object:
    asked = msgspec.json.decode(body, type=FirstPacket)
    return {"arrival_ns": await listener.wait_first_packet(asked.after_ns, _patience(asked.timeout))}


async def _packets(listener: Listener, body: bytes) -> object:
    asked = msgspec.json.decode(body, type=Packets)
    return await listener.wait_packets(asked.count, _patience(asked.timeout))


async def _wav(listener: Listener, _: bytes) -> object:
    return await asyncio.to_thread(listener.wav())


def _now(ask: Callable[[Listener], object]) -> Answer:
    async def answer(listener: Listener, _: bytes) -> object:
        return ask(listener)

    return answer


_QUESTIONS: Final[dict[str, Answer]] = {
    "listen": _listen,
    "hears": _hears,
    "hears-silence": _hears_silence,
    "first-packet": _first_packet,
    "packets": _packets,
    "wav": _wav,
    "sound": _now(Listener.sound),
    "report": _now(Listener.report),
    "mark": _now(lambda listener: {"since_ns": listener.mark()}),
    "starts": _now(Listener.starts),
    "follow": _now(Listener.follow),
    "record": _now(Listener.record),
    "chirp-position": _now(lambda listener: {"seconds": listener.chirp_position()}),
}

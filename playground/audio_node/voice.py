"""A client of Discord's voice gateway, version 8: connects, keeps alive, resumes, and hands out an RtpLink.

https://discord.com/developers/docs/topics/voice-connections, close codes at
https://discord.com/developers/docs/topics/opcodes-and-status-codes#voice. It announces DAVE version 0: it has none.

A connection lost over TCP, or closed with 4015, is resumed while RTP goes on. Any other close from the far side is
final: the owner is told the code. The stream stays open until `close`, as the real server goes on sending.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import socket
import ssl
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import aiohttp

from playground.audio_node import rtp

CONNECT_TIMEOUT = 8.0
RESUME_TIMEOUT = 5.0
CLOSE_TIMEOUT = 1.0
SEND_TIMEOUT = 5.0
RESUME_DELAYS = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0)
CRASHED = 4015
ABNORMAL = 1006

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class VoiceInfo:
    """What Discord told the bot about a voice connection. Two equal ones are the same connection."""

    token: str = ""
    endpoint: str = ""
    session_id: str = ""
    channel_id: str | None = None

    def same_connection(self, other: VoiceInfo) -> bool:
        """Whether both lead to the same connection: all but the channel, which the gateway is not told."""
        return (self.token, self.endpoint, self.session_id) == (other.token, other.endpoint, other.session_id)


@dataclass(frozen=True, slots=True)
class Closed:
    """How a voice gateway connection ended. Code 1006: without a close frame."""

    code: int
    reason: str
    by_remote: bool = True

    @property
    def resumable(self) -> bool:
        """Whether the session may still be alive behind it."""
        return self.code == CRASHED or (self.code < 4000 and self.code != 1000)


class VoiceError(Exception):
    """The connection could not be made; the message is a sentence for the client."""


class VoiceConnection:
    """One voice session. `open` it once, `close` it at the end; `on_link` gets the stream, `on_closed` the end."""

    def __init__(
        self,
        info: VoiceInfo,
        guild_id: int,
        user_id: int,
        http: aiohttp.ClientSession,
        tls: ssl.SSLContext,
        on_link: Callable[[rtp.RtpLink], None],
        on_closed: Callable[[VoiceConnection, Closed], None],
    ) -> None:
        self.info = info
        self.ping = 0
        self._guild_id = guild_id
        self._user_id = user_id
        self._http = http
        self._tls = tls
        self._on_link = on_link
        self._on_closed = on_closed
        self._task: asyncio.Task[None] | None = None
        self._ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._ws: aiohttp.ClientWebSocketResponse | None = None
        self._socket: socket.socket | None = None
        self._ssrc = 0
        self._sequence = -1
        self._closing = False
        self._established = False
        self._resumed = False
        self._speaking = True
        self._sends: set[asyncio.Task[None]] = set()

    @property
    def alive(self) -> bool:
        """Whether it is connecting, connected or resuming."""
        return self._task is not None and not self._task.done()

    @property
    def connected(self) -> bool:
        """Whether the gateway's socket is open and the session established."""
        return self._established and self._ws is not None and not self._ws.closed

    async def open(self) -> None:
        """Connect, or wait for the connecting that is under way. Raises VoiceError after 8 s at the latest."""
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name=f"voice {self._guild_id}")
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                await asyncio.shield(self._ready)
        except TimeoutError:
            await self.close()
            raise VoiceError(f"The voice endpoint did not answer within {CONNECT_TIMEOUT:.0f} s.") from None

    async def close(self) -> None:
        """Close with 1000 and end everything. Safe to call twice."""
        self._closing = True
        ws = self._ws
        if ws is not None and not ws.closed:
            # Before the receiving task is cancelled: aiohttp would then not wait for the answer to the close.
            await _quietly(ws.close(code=1000))
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task], timeout=CLOSE_TIMEOUT)
        self._settle(VoiceError("The voice connection was closed before it was established."))
        for send in list(self._sends):
            send.cancel()
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def set_speaking(self, speaking: bool) -> None:
        """Tell the gateway that sound begins or ends (op 5); does not wait."""
        self._speaking = speaking
        if self.connected:
            send = asyncio.create_task(self._tell_speaking())
            self._sends.add(send)
            send.add_done_callback(self._sends.discard)

    async def _tell_speaking(self) -> None:
        """On a socket that is being lost it is not told; whoever resumes says it again."""
        with contextlib.suppress(aiohttp.ClientError, OSError, TimeoutError):
            await self._send(5, self._speaking_data())

    async def _run(self) -> None:
        resumes = 0
        while True:
            had_session = self._established
            try:
                closed = await self._session(resume=had_session)
            except Exception as error:  # a broken network or a server that says nonsense: both end this connection
                if not self._established:
                    self._settle(VoiceError(f"Connecting to the voice endpoint failed: {_describe(error)}"))
                    return
                log.info("guild %s: voice was lost: %s", self._guild_id, _describe(error))
                closed = Closed(ABNORMAL, _describe(error))
            if self._closing:
                return
            if not self._established:
                self._settle(VoiceError(f"The voice endpoint closed with {closed.code} {closed.reason}".rstrip()))
                self._on_closed(self, closed)
                return
            if self._resumed or not had_session:
                resumes = 0
            if not closed.resumable or resumes >= len(RESUME_DELAYS):
                log.info("guild %s: voice closed with %s %s", self._guild_id, closed.code, closed.reason)
                self._on_closed(self, closed)
                return
            await asyncio.sleep(RESUME_DELAYS[resumes])
            resumes += 1

    async def _session(self, *, resume: bool) -> Closed:
        """One gateway connection from its opening to its end."""
        self._resumed = False
        async with asyncio.timeout(RESUME_TIMEOUT):
            ws = self._ws = await self._http.ws_connect(
                f"wss://{self.info.endpoint}/?v=8", ssl=self._tls, autoping=True, max_msg_size=0
            )
        beat: asyncio.Task[None] | None = None
        try:
            await self._greet(resume=resume)
            limit = RESUME_TIMEOUT
            while True:
                message = await ws.receive(timeout=limit)
                if message.type is aiohttp.WSMsgType.CLOSE:
                    return Closed(message.data or ABNORMAL, message.extra or "")
                if message.type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.CLOSING, aiohttp.WSMsgType.ERROR):
                    return Closed(ws.close_code or ABNORMAL, "")
                if message.type is not aiohttp.WSMsgType.TEXT:
                    continue
                body: dict[str, Any] = json.loads(message.data)
                self._sequence = body.get("seq", self._sequence)
                if body["op"] == 8 and beat is None:
                    interval = float(body["d"]["heartbeat_interval"]) / 1000
                    beat = asyncio.create_task(self._beat(interval))
                    limit = max(2 * interval, RESUME_TIMEOUT)
                else:
                    await self._handle(body["op"], body.get("d") or {})
        finally:
            if beat is not None:
                beat.cancel()
                await asyncio.wait([beat], timeout=CLOSE_TIMEOUT)
            if not ws.closed:
                await _quietly(ws.close(code=4000))

    async def _greet(self, *, resume: bool) -> None:
        session = {
            "server_id": str(self._guild_id),
            "session_id": self.info.session_id,
            "token": self.info.token,
        }
        if resume:
            await self._send(7, {**session, "seq_ack": self._sequence})
        else:
            await self._send(0, {**session, "user_id": str(self._user_id), "max_dave_protocol_version": 0})

    async def _handle(self, op: int, data: dict[str, Any]) -> None:
        if op == 2:
            await self._select(data)
        elif op == 4:
            self._establish(data)
            await self._send(5, self._speaking_data())
            self._settle(None)
        elif op == 6:
            self.ping = max(0, _now_ms() - int(data["t"]))
        elif op == 9:
            self._resumed = True
            log.info("guild %s: voice resumed", self._guild_id)

    async def _select(self, ready: dict[str, Any]) -> None:
        mode = rtp.choose_mode(ready["modes"])
        if mode is None:
            raise ValueError(f"the voice server offers no encryption that we know, but {', '.join(ready['modes'])}")
        self._ssrc = int(ready["ssrc"])
        address, port = await self._discover(str(ready["ip"]), int(ready["port"]))
        data = {"address": address, "port": port, "mode": mode}
        await self._send(1, {"protocol": "udp", "data": data})

    async def _discover(self, ip: str, port: int) -> tuple[str, int]:
        """Open the UDP socket and learn our address as the server sees it. A lost datagram is sent again."""
        family = socket.AF_INET6 if ":" in ip else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_DGRAM)
        sock.setblocking(False)
        sock.connect((ip, port))
        if self._socket is not None:
            self._socket.close()
        self._socket = sock
        loop = asyncio.get_running_loop()
        for _attempt in range(3):
            await loop.sock_sendall(sock, rtp.discovery_request(self._ssrc))
            with contextlib.suppress(TimeoutError, rtp.DiscoveryError):
                async with asyncio.timeout(1.0):
                    return rtp.discovery_response(await loop.sock_recv(sock, 2048))
        raise ValueError("the voice server did not answer IP discovery")

    def _establish(self, description: dict[str, Any]) -> None:
        mode = description["mode"]
        if mode not in (rtp.AES_GCM, rtp.XCHACHA) or self._socket is None:
            raise ValueError(f"the voice server chose {mode}")
        self._established = True
        self._on_link(rtp.RtpLink(self._socket, self._ssrc, bytes(description["secret_key"]), mode))

    async def _beat(self, interval: float) -> None:
        """Send a heartbeat each interval (seconds). A dead socket ends the receiving side, not this one."""
        with contextlib.suppress(aiohttp.ClientError, OSError, TimeoutError):
            while True:
                await asyncio.sleep(interval)
                await self._send(3, {"t": _now_ms(), "seq_ack": self._sequence})

    async def _send(self, op: int, data: dict[str, Any]) -> None:
        if self._ws is None:
            return
        async with asyncio.timeout(SEND_TIMEOUT):
            await self._ws.send_str(json.dumps({"op": op, "d": data}))

    def _speaking_data(self) -> dict[str, Any]:
        return {"speaking": int(self._speaking), "delay": 0, "ssrc": self._ssrc}

    def _settle(self, error: VoiceError | None) -> None:
        if self._ready.done():
            return
        if error is None:
            self._ready.set_result(None)
        else:
            self._ready.set_exception(error)
            self._ready.exception()  # also fine if nobody waits any more


async def _quietly(closing: Awaitable[object]) -> None:
    """Close something within a second, whatever its far side does."""
    with contextlib.suppress(TimeoutError, aiohttp.ClientError, OSError):
        async with asyncio.timeout(CLOSE_TIMEOUT):
            await closing


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _describe(error: BaseException) -> str:
    return str(error) or type(error).__name__

"""One WebSocket connection to the gateway: opcodes in, frames out."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from typing import TYPE_CHECKING, Any

import msgspec
from aiohttp import WSMsgType, web

from playground.twin.gateway.packing import Pack
from playground.twin.model import Json

if TYPE_CHECKING:
    from playground.twin.gateway.hub import GatewayHub
    from playground.twin.gateway.session import Session

MAX_PAYLOAD = 4096
"""Bytes a client may send at once (Discord documentation, "Sending Events")."""

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode

_Outgoing = bytes | int
"""A payload, or a code to close with."""


class GatewaySocket:
    """A connection, with at most one session on it."""

    def __init__(self, hub: GatewayHub, request: web.Request, ws: web.WebSocketResponse, pack: Pack | None) -> None:
        self.session: Session | None = None
        self._hub = hub
        self._request = request
        self._ws = ws
        self._pack = pack
        self._outgoing: asyncio.Queue[_Outgoing] = asyncio.Queue()
        self._received: deque[float] = deque(maxlen=hub.settings.sends)
        self._closing: int | None = None
        self.client_code: int | None = None
        """The close code the client sent; None when the connection just ended, or when the twin closed it."""

    def send(self, payload: bytes) -> None:
        """Queue a payload."""
        self._outgoing.put_nowait(payload)

    def send_op(self, op: int, data: Any = None) -> None:
        """Queue a payload that is not a dispatch."""
        self.send(_encode({"op": op, "d": data, "s": None, "t": None}))

    def close(self, code: int) -> None:
        """Close with a code once everything queued is out."""
        if self._closing is None:
            self._closing = code
            self._outgoing.put_nowait(code)
            self._hub.journal.add("gateway", "closing", {"code": code, **self._who()})

    def abort(self) -> None:
        """Drop the TCP connection without a close frame."""
        if self._request.transport is not None:
            self._request.transport.abort()

    def _who(self) -> Json:
        return {"session": self.session.id, "shard": self.session.shard} if self.session else {}

    async def run(self) -> None:
        """Serve the connection until it ends."""
        writer = asyncio.create_task(self._write(), name="gateway writer")
        try:
            self.send_op(10, {"heartbeat_interval": self._hub.settings.heartbeat_interval_ms, "_trace": ["twin"]})
            await self._read()
        finally:
            if self._closing is not None:
                with contextlib.suppress(Exception):
                    async with asyncio.timeout(2):
                        await writer
            writer.cancel()
            await asyncio.gather(writer, return_exceptions=True)

    async def _write(self) -> None:
        while True:
            item = await self._outgoing.get()
            try:
                if isinstance(item, int):
                    await self._ws.close(code=item)
                    return
                if self._pack is None:
                    await self._ws.send_str(item.decode())
                else:
                    await self._ws.send_bytes(self._pack(item))
            except ConnectionError:
                return

    async def _read(self) -> None:
        patience = self._hub.settings.heartbeat_interval_ms * 1.5 / 1000
        loop = asyncio.get_running_loop()
        deadline = loop.time() + patience
        while True:
            try:
                message = await self._ws.receive(timeout=max(0.001, deadline - loop.time()))
            except TimeoutError:
                self.close(4009)
                return
            if message.type is WSMsgType.CLOSE:
                self.client_code = message.data if self._closing is None else None
                return
            if message.type not in (WSMsgType.TEXT, WSMsgType.BINARY):
                return
            if self._closing is not None:
                continue
            payload = self._parsed(message.data)
            if payload is None:
                continue
            if payload["op"] == 1:
                deadline = loop.time() + patience
                self.send_op(11)
            else:
                self._hub.received(self, payload["op"], payload.get("d"))

    def _parsed(self, data: str | bytes) -> Json | None:
        """Return a payload that keeps to the rules; otherwise close and return None."""
        now = asyncio.get_running_loop().time()
        settings = self._hub.settings
        if len(self._received) == settings.sends and now - self._received[0] < settings.sends_window:
            self._hub.journal.violation("gateway_rate_limit", "more than 120 payloads in 60 s", **self._who())
            self.close(4008)
            return None
        self._received.append(now)
        raw = data.encode() if isinstance(data, str) else data
        try:
            payload = _decode(raw)
        except msgspec.DecodeError:
            payload = None
        if len(raw) > MAX_PAYLOAD or not isinstance(payload, dict) or not isinstance(payload.get("op"), int):
            self._hub.journal.violation("gateway_payload", "not a payload, or too long", **self._who())
            self.close(4002)
            return None
        return payload

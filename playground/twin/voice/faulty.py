"""Voice endpoints that don't work: what VOICE_SERVER_UPDATE may name when Discord has a bad day."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from enum import StrEnum

from aiohttp import web


class Fault(StrEnum):
    """How an endpoint fails those who connect."""

    REFUSING = "refusing"
    """The port is closed."""
    SILENT = "silent"
    """TCP is accepted, and no byte ever comes: TLS can't begin."""
    MUTE = "mute"
    """TLS and the WebSocket open, and no HELLO comes."""


class FaultyEndpoints:
    """One of each kind, opened when first asked for, on an IPv4 address that clients reach as ``localhost``."""

    def __init__(self, host: str) -> None:
        self._host = host
        self._ports: dict[Fault, int] = {}
        self._held: socket.socket | None = None
        self._silent: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._mute: web.AppRunner | None = None
        self._lock = asyncio.Lock()

    async def open(self, fault: Fault, tls: ssl.SSLContext) -> str:
        """Return host and port of an endpoint that fails like this. Raises ``OSError`` if there is no such address."""
        async with self._lock:
            if fault not in self._ports:
                match fault:
                    case Fault.REFUSING:
                        self._ports[fault] = self._refuse()
                    case Fault.SILENT:
                        self._ports[fault] = await self._be_silent()
                    case Fault.MUTE:
                        self._ports[fault] = await self._be_mute(tls)
            return f"localhost:{self._ports[fault]}"

    async def close(self) -> None:
        """Close all of them, and who is connected."""
        if self._held is not None:
            self._held.close()
        if self._silent is not None:
            self._silent.close()
            for writer in self._writers:
                writer.transport.abort()
        if self._mute is not None:
            await self._mute.cleanup()
        self._ports.clear()

    def _refuse(self) -> int:
        """Hold a port without listening, so that nobody else comes to answer there."""
        self._held = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._held.bind((self._host, 0))
        port: int = self._held.getsockname()[1]
        return port

    async def _be_silent(self) -> int:
        async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self._writers.add(writer)
            with contextlib.suppress(ConnectionError):
                while await reader.read(4096):
                    pass
            self._writers.discard(writer)
            writer.close()

        self._silent = await asyncio.start_server(swallow, self._host, 0)
        port: int = self._silent.sockets[0].getsockname()[1]
        return port

    async def _be_mute(self, tls: ssl.SSLContext) -> int:
        async def say_nothing(request: web.Request) -> web.WebSocketResponse:
            ws = web.WebSocketResponse(timeout=0.5)
            await ws.prepare(request)
            async for _ in ws:
                pass
            return ws

        app = web.Application()
        app.router.add_get("/{path:.*}", say_nothing)
        self._mute = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._mute.setup()
        await web.TCPSite(self._mute, self._host, 0, ssl_context=tls).start()
        port: int = self._mute.addresses[0][1]
        return port

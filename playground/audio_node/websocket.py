"""The WebSocket: https://lavalink.dev/api/websocket.html. One socket, one session; clients only listen."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import Callable
from typing import Any

import aiohttp
from aiohttp import web

from playground.audio_node.player import Player
from playground.audio_node.sessions import Outbox, Sessions

SEND_TIMEOUT = 30.0
CLOSE_TIMEOUT = 0.5

log = logging.getLogger(__name__)


class Gateway:
    """The handler of /v4/websocket, and the sockets it has open."""

    def __init__(self, sessions: Sessions[Player], stats: Callable[[], dict[str, Any]], stats_seconds: float) -> None:
        self._sessions = sessions
        self._stats = stats
        self._stats_seconds = stats_seconds
        self._sockets: set[web.WebSocketResponse] = set()
        self._ticker: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start sending stats to everyone, again and again."""
        self._ticker = asyncio.create_task(self._tick(), name="stats")

    async def close(self) -> None:
        """Close all sockets as a server that goes away (1001)."""
        if self._ticker is not None:
            self._ticker.cancel()
            await asyncio.wait([self._ticker])
        sockets = list(self._sockets)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_TIMEOUT):
                await asyncio.gather(*(ws.close(code=1001) for ws in sockets), return_exceptions=True)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """GET /v4/websocket: a new session, or the waiting one whose id is presented."""
        user_id = request.headers.get("User-Id", "")
        if not user_id.isascii() or not user_id.isdigit() or int(user_id) == 0:
            return web.Response(status=400)
        wanted = request.headers.get("Session-Id")
        ws = web.WebSocketResponse(timeout=CLOSE_TIMEOUT, compress=False)
        ws.headers["Session-Resumed"] = str(self._sessions.can_resume(wanted)).lower()
        ws.headers["Lavalink-Api-Version"] = "4"
        await ws.prepare(request)
        session, resumed = self._sessions.enter(wanted, int(user_id), request.headers.get("Client-Name", ""))
        log.info("session %s %s for %s", session.id, "resumed" if resumed else "opened", session.name or "a client")
        outbox = session.attach(resumed=resumed)
        session.send(self._stats())
        self._sockets.add(ws)
        writer = asyncio.create_task(self._write(request, ws, outbox), name=f"write {session.id}")
        try:
            async for message in ws:  # a client has nothing to say; this ends when its socket does
                if message.type is aiohttp.WSMsgType.ERROR:
                    break
        finally:
            writer.cancel()
            await asyncio.wait([writer])
            self._sockets.discard(ws)
            self._sessions.leave(session)
        return ws

    @staticmethod
    async def _write(request: web.Request, ws: web.WebSocketResponse, outbox: Outbox) -> None:
        """Write messages in order. A client that takes none for 30 s, or is gone, loses its socket."""
        try:
            while True:
                message = await outbox.take()
                async with asyncio.timeout(SEND_TIMEOUT):
                    await ws.send_str(json.dumps(message))
                outbox.taken()
        except (TimeoutError, OSError, aiohttp.ClientError):
            if request.transport is not None:
                request.transport.abort()

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(self._stats_seconds)
            message = self._stats()
            for session in self._sessions:
                session.send(message)

"""A Lavalink server that answers, hangs and closes as a test tells it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from tonearm.settings import LavalinkNode

PASSWORD = "pw"


class Lavalink:
    """A server with one session. ``hangs``: nothing is answered; ``load`` is the answer to a look-up."""

    def __init__(self) -> None:
        self.info: Any = {"version": {"semver": "4.2.2"}, "sourceManagers": []}
        self.info_status = 200
        self.load: Any = {"loadType": "empty", "data": None}
        self.load_status = 200
        self.slow_load = False
        self.hangs = False
        self.stats: Any = {"players": 0, "cpu": {"systemLoad": 0.0}}
        self.asked_stats = asyncio.Event()
        self.patched: list[Any] = []
        """What was asked of a session besides that it be resumable."""
        self.gone = asyncio.Event()
        """Set when a socket was closed."""
        self.port = 0
        self.sockets: list[web.WebSocketResponse] = []
        self.opened: asyncio.Queue[str] = asyncio.Queue()
        self.identifiers: list[str] = []
        self._released = asyncio.Event()

    @property
    def node(self) -> LavalinkNode:
        return LavalinkNode(f"http://127.0.0.1:{self.port}", PASSWORD)

    @asynccontextmanager
    async def serving(self, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[Lavalink]:
        app = web.Application(middlewares=[self._guard])
        app.router.add_get("/version", self._version)
        app.router.add_get("/v4/info", self._info)
        app.router.add_get("/v4/websocket", self._socket)
        app.router.add_get("/v4/loadtracks", self._load)
        app.router.add_get("/v4/stats", self._stats)
        app.router.add_patch("/v4/sessions/{session}", self._session)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, host, port).start()
        self.port = runner.addresses[0][1]
        try:
            yield self
        finally:
            self._released.set()
            await runner.cleanup()

    @web.middleware
    async def _guard(self, request: web.Request, handler: Any) -> web.StreamResponse:
        if self.hangs:
            await self._released.wait()
        if request.headers.get("Authorization") != PASSWORD:
            return web.Response(status=401)
        found: web.StreamResponse = await handler(request)
        return found

    async def _version(self, _: web.Request) -> web.Response:
        return web.Response(text="4.2.2")

    async def _info(self, _: web.Request) -> web.Response:
        return web.json_response(self.info, status=self.info_status)

    async def _stats(self, _: web.Request) -> web.Response:
        self.asked_stats.set()
        return web.json_response(self.stats)

    async def _session(self, request: web.Request) -> web.Response:
        body = await request.json()
        if body != {"resuming": True, "timeout": 60}:
            self.patched.append(body)
        return web.json_response({"resuming": True, "timeout": 60})

    async def _socket(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.sockets.append(socket)
        await socket.send_json({"op": "ready", "resumed": False, "sessionId": f"s{len(self.sockets)}"})
        self.opened.put_nowait(request.headers.get("Session-Id", ""))
        async for _ in socket:
            pass
        self.gone.set()
        return socket

    async def _load(self, request: web.Request) -> web.Response:
        self.identifiers.append(request.query["identifier"])
        if self.slow_load:
            await self._released.wait()
        return web.json_response(self.load, status=self.load_status)

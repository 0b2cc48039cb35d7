"""The node put together, started and stopped."""

from __future__ import annotations

import asyncio
import logging
import ssl
import sys

import aiohttp
from aiohttp import web

from playground.audio_node.engine import Engine
from playground.audio_node.options import Options
from playground.audio_node.player import Player, World
from playground.audio_node.pump import SWITCH_INTERVAL, Pump
from playground.audio_node.rest import MAX_BODY, Api, middleware
from playground.audio_node.sessions import Sessions
from playground.audio_node.websocket import Gateway

log = logging.getLogger(__name__)

BACKLOG = 4096
"""Connections that may wait to be taken: one more, and the kernel resets it a while later."""


class AudioNode:
    """One node. The JVM allows one per process."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self.url = ""

    async def start(self) -> None:
        """Start the engine and listen; `url` then tells where. Raises RuntimeError or OSError where it can't."""
        options = self._options
        sys.setswitchinterval(SWITCH_INTERVAL)
        self._engine = await asyncio.to_thread(Engine, options.frame_buffer_ms, options.library)
        tls = ssl.create_default_context()
        if options.voice_ca is not None:
            tls.load_verify_locations(cafile=options.voice_ca)
        self._pump = Pump(*self._engine.frame())
        self._pump.start()
        self._http = aiohttp.ClientSession()
        self._sessions: Sessions[Player] = Sessions()
        self._api = Api(self._sessions, World(self._engine, self._pump, self._http, tls, options.stats_seconds))
        self._gateway = Gateway(self._sessions, self._api.stats_message, options.stats_seconds)
        app = web.Application(middlewares=[middleware(options.password)], client_max_size=MAX_BODY)
        app.add_routes([*self._api.routes(), web.get("/v4/websocket", self._gateway.handle)])
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        await self._runner.setup()
        site = web.TCPSite(self._runner, options.host, options.port, backlog=BACKLOG)
        await site.start()
        self._gateway.start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        log.info("%s listens on %s", options.name, self.url)

    async def close(self) -> None:
        """Close sockets, players, voice and the engine, in that order; within 2 s."""
        await self._gateway.close()
        await self._sessions.close()
        await self._runner.cleanup()
        await self._http.close()
        self._pump.stop()
        self._api.close()
        self._engine.close()
        log.info("%s is closed", self._options.name)

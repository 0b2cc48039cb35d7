"""The HTTP side as an ASGI application."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from interactions.commands import catalogue
from interactions.discord.endpoint import Endpoint
from interactions.discord.handling import CommandHandling
from interactions.discord.traced import TracedHandling
from interactions.discord.verify import Verifier
from interactions.memory import Memory, TracedMemory
from interactions.replies import Replies
from tonearm.errors import TonearmError
from tonearm.faults import keeping_faults
from tonearm.redis.client import Client
from tonearm.redis.shared import connect_shared
from tonearm.settings import Settings
from tonearm.telemetry.exposing import exposition

LOG = logging.getLogger("tonearm.interactions")

MEET_SECONDS = 1.0
"""So long the start waits for Redis; together with a cold start it has to fit into Discord's 3 s."""


def create_app(
    settings: Settings,
    *,
    redis: Client | None = None,
    clock: Callable[[], float] = time.time,
    on_fatal: Callable[[TonearmError], None] | None = None,
) -> Starlette:
    """The application. Nothing is connected before its lifespan begins, which waits for Redis up to
    :data:`MEET_SECONDS`, or the first request comes.

    ``redis`` stays the caller's to close. ``clock`` tells the time in seconds since 1970. ``on_fatal`` is told when the
    process should end, and why. Without a lifespan no answer is heard in time, so every job is deferred. The parts are
    in ``app.state``: ``memory``, ``replies``.
    """
    client = redis if redis is not None else connect_shared(settings.redis_url)
    memory = (TracedMemory if settings.traces else Memory)(client, settings.shard_count, on_fatal or _log_fatal)
    replies = Replies(client, memory)
    commands = CommandHandling(catalogue(), memory, replies, inline_reply_ms=settings.inline_reply_ms, clock=clock)
    handling = TracedHandling(commands) if settings.traces else commands
    endpoint = Endpoint(Verifier(lambda: settings.discord_public_key, clock), lambda: handling, clock)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        hearing = asyncio.create_task(replies.run(), name="replies")
        try:
            async with keeping_faults(client, "interactions"):
                await memory.meet(MEET_SECONDS)
                yield
        finally:
            hearing.cancel()
            await asyncio.gather(hearing, return_exceptions=True)
            if redis is None:
                await client.aclose()

    app = Starlette(
        routes=[
            Route("/interactions", endpoint, methods=["POST"]),
            Route("/healthz", _alive),
            Route("/readyz", _alive),
            Route("/metrics", _metrics),
        ],
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False
    app.state.memory = memory
    app.state.replies = replies
    return app


async def _alive(_: Request) -> Response:
    """This process alone: without Redis it answers with sentences, and a restart would not mend that."""
    return PlainTextResponse("ok\n")


async def _metrics(_: Request) -> Response:
    body, content_type = exposition()
    return Response(body, media_type=content_type)


def _log_fatal(error: TonearmError) -> None:
    LOG.critical("%s", error)

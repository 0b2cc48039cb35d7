"""The REST API as an ASGI application."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import cache
from importlib import import_module
from pkgutil import iter_modules

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from interactions.api import problems, resources, webhooks
from interactions.api.endpoint import Endpoint
from interactions.api.operation import Operation
from interactions.api.parts import Parts
from interactions.api.shell import Shell
from interactions.memory import Memory, TracedMemory
from interactions.replies import Replies
from interactions.reply_lists import ReplyLists
from tonearm.errors import Problem, TonearmError
from tonearm.faults import keeping_faults
from tonearm.postgres.pools import Pools
from tonearm.redis.client import Client
from tonearm.redis.shared import connect_shared
from tonearm.settings import Settings
from tonearm.telemetry.exposing import exposition

LOG = logging.getLogger("tonearm.api")

NEEDED = ("redis_url", "database_url")
"""Settings that must be there."""

STREAM_SECONDS = 300.0
"""How long a stream of events lasts; who listens on connects again, from where it was."""


def create_api(
    settings: Settings,
    *,
    redis: Client | None = None,
    pools: Pools | None = None,
    clock: Callable[[], float] = time.time,
    on_fatal: Callable[[TonearmError], None] | None = None,
    stream_seconds: float = STREAM_SECONDS,
) -> Starlette:
    """The application. Nothing is connected before its lifespan begins or the first request comes.

    ``redis`` and ``pools`` stay the caller's to close. ``clock`` tells the time in seconds since 1970. ``on_fatal`` is
    told when the process should end, and why. ``stream_seconds`` is how long a stream of events lasts at most; 0 where
    the process freezes between requests: there can be none, and a job's result is waited for on a list. Else, without a
    lifespan, no result is waited for. ``app.state.parts`` has what it works with.
    """
    client = redis if redis is not None else connect_shared(settings.redis_url)
    memory = (TracedMemory if settings.traces else Memory)(client, settings.shard_count, on_fatal or _log_fatal)
    heard = Replies(client, memory)
    parts = Parts(
        settings,
        redis=client,
        pools=pools,
        memory=memory,
        replies=heard if stream_seconds > 0 else ReplyLists(client, settings.shard_count),
        clock=lambda: datetime.fromtimestamp(clock(), UTC),
        stream_seconds=stream_seconds,
    )

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        await parts.start()
        hearing = (
            asyncio.create_task(heard.run(), name="results"),
            asyncio.create_task(parts.keyring.listen(), name="revoked keys"),
        )
        try:
            async with keeping_faults(client, "api"):
                yield
        finally:
            for each in hearing:
                each.cancel()
            await asyncio.gather(*hearing, return_exceptions=True)
            await parts.close()
            if redis is None:
                await client.aclose()

    by_path: dict[str, list[Operation]] = defaultdict(list)
    for operation in operations():
        by_path[operation.path].append(operation)
    app = Starlette(
        routes=[
            *(Route(problems.BASE + path, Endpoint(parts, found)) for path, found in by_path.items()),
            *webhooks.routes(parts.pools, settings, clock),
            Route("/healthz", _alive),
            Route("/readyz", _alive),
            Route("/metrics", _metrics),
        ],
        middleware=[Middleware(Shell, start=parts.start, origins=settings.api_cors_origins)],
        exception_handlers={HTTPException: _http_problem},
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False
    app.state.parts = parts
    return app


@cache
def operations() -> tuple[Operation, ...]:
    """Every operation, as the modules of ``resources`` declare them."""
    found = []
    for module in sorted(each.name for each in iter_modules(resources.__path__)):
        declared = vars(import_module(f"{resources.__name__}.{module}")).values()
        found += [each for each in declared if isinstance(each, Operation)]
    # A path with fewer placeholders comes first.
    return tuple(sorted(found, key=lambda each: (each.path.count("{"), each.path, each.method)))


async def _http_problem(request: Request, error: Exception) -> Response:
    """What Starlette itself refuses: an address that is not there, a method that is not known."""
    assert isinstance(error, HTTPException)
    request_id: str = request.scope["state"]["request_id"]
    if error.status_code == 405:
        detail = f"{request.method[:16]} is not known at this address."
        return problems.render(Problem("method-not-allowed", detail, headers=error.headers), request_id)
    return problems.render(problems.not_found(), request_id)


async def _alive(_: Request) -> Response:
    """This process alone: without its stores it answers with problems, and a restart would not mend that."""
    return PlainTextResponse("ok\n")


async def _metrics(_: Request) -> Response:
    body, content_type = exposition()
    return Response(body, media_type=content_type)


def _log_fatal(error: TonearmError) -> None:
    LOG.critical("%s", error)

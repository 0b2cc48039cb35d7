"""A real HTTP server that answers as a test says."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web


@asynccontextmanager
async def serving(
    answer: Callable[[web.Request], web.StreamResponse | Awaitable[web.StreamResponse]],
) -> AsyncIterator[str]:
    """Its address, while it answers everything so."""

    async def handle(request: web.Request) -> web.StreamResponse:
        answered = answer(request)
        return answered if isinstance(answered, web.StreamResponse) else await answered

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def saying(body: Any, status: int = 200, **headers: str) -> Callable[[web.Request], web.Response]:
    """The same JSON, whatever is asked."""
    return lambda _: web.json_response(body, status=status, headers=headers)

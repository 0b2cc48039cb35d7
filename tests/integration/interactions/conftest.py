"""The HTTP side over a real Valkey, in this process: no socket, but its lifespan."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from interactions.app import create_app
from tests.support.interactions.signed import settings
from tests.support.interactions.stub_node import StubNode


@pytest.fixture
def serving():
    """``async with serving(url, **settings) as http``: an HTTP side; ``http.app`` is the application."""

    @asynccontextmanager
    async def serving(
        redis_url: str, *, listening: bool = True, app_options=None, **others
    ) -> AsyncIterator[httpx.AsyncClient]:
        app = create_app(settings(redis_url, **others), **(app_options or {}))
        async with app.router.lifespan_context(app):
            if listening:
                await app.state.replies.wait_until_listening()
            async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://tonearm") as client:
                client.app = app
                yield client

    return serving


@pytest.fixture
async def node(redis_client) -> StubNode:
    """Owns shard 0 of 1."""
    node = StubNode(redis_client)
    await node.own()
    return node


@pytest.fixture
async def http(redis_url, serving):
    """An HTTP side that waits 2 s for answers."""
    async with serving(redis_url, inline_reply_ms=2_000) as http:
        yield http

"""The API over a real PostgreSQL and a real Valkey, in this process."""

import pytest

from tests.support.api.serving import Clock, make_caller, serving
from tests.support.interactions.stub_node import StubNode


@pytest.fixture
def clock() -> Clock:
    """The API's clock."""
    return Clock()


@pytest.fixture
async def api(database_url, redis_url, clock):
    """An API."""
    async with serving(database_url, redis_url, clock=clock) as http:
        yield http


@pytest.fixture
async def caller(api, pool):
    """Who may do everything."""
    return await make_caller(api, pool)


@pytest.fixture
async def node(redis_client) -> StubNode:
    """Owns shard 0 of 1."""
    node = StubNode(redis_client)
    await node.own()
    return node

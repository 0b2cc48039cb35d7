"""A bench on which a test lets guilds' actors work."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.support.bench import Bench, World
from tests.support.voice_nodes import SHARD
from tonearm.redis.client import connect
from voice_nodes.lease import Lease


@pytest.fixture
async def bench(redis_url: str) -> AsyncIterator[Bench]:
    client = connect(redis_url, timeout=5)
    bench = Bench(client, World())
    lease = await Lease.attempt(client, SHARD, "me")
    assert lease is not None
    bench.lease = lease
    yield bench
    await client.aclose()

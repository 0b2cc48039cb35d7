"""One suite that every backend must pass: what asks for ``redis_client`` runs on a single Valkey and on a cluster."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from playground.stores.valkey import Valkey
from playground.stores.valkey_cluster import ValkeyCluster
from tests.support.store import SHARD, Store
from tonearm.redis import keys, lease
from tonearm.redis.client import Client, connect


@pytest.fixture(scope="session")
async def valkey_cluster() -> AsyncIterator[ValkeyCluster]:
    """One cluster for the directory's tests, whose masters all live. What is in it may vanish between two tests."""
    async with ValkeyCluster() as cluster:
        yield cluster


@pytest.fixture(scope="session")
async def _clients(valkey: Valkey) -> AsyncIterator[dict[str, Client]]:
    clients: dict[str, Client] = {}
    yield clients
    for client in clients.values():
        await client.aclose()


@pytest.fixture(params=["single", "cluster"])
def _store(request: pytest.FixtureRequest) -> Any:
    return request.getfixturevalue("valkey" if request.param == "single" else "valkey_cluster")


@pytest.fixture
async def redis_url(_store: Valkey | ValkeyCluster, _clients: dict[str, Client]) -> str:
    """The URL of an empty Valkey, or an empty cluster, that knows no scripts."""
    if _store.url not in _clients:
        _clients[_store.url] = connect(_store.url, timeout=5)
    await _clients[_store.url].flushall()
    await _clients[_store.url].script_flush()
    return _store.url


@pytest.fixture
async def redis_client(redis_url: str) -> AsyncIterator[Client]:
    """Our own client of it, which gives up after 5 s."""
    client = connect(redis_url, timeout=5)
    if redis_url.startswith("redis+cluster"):
        _ask_all(client)
    yield client
    await client.aclose()


@pytest.fixture
async def store(redis_client: Client) -> Store:
    """A guild of its own, in a shard that is leased to this test."""
    token = await lease.take(redis_client, SHARD, "me", life_ms=600_000)
    assert token is not None
    return Store(redis_client, token)


def _ask_all(cluster: Any) -> None:
    """What has no key asks any master; tests want to see all keys, and the figures of the master of shard 0."""
    one_keys, one_info = cluster.keys, cluster.info

    async def all_keys(pattern: str = "*") -> list[bytes]:
        found = await asyncio.gather(*(one_keys(pattern, target_nodes=node) for node in cluster.get_primaries()))
        return [key for some in found for key in some]

    cluster.keys = all_keys
    cluster.info = lambda section: one_info(section, target_nodes=cluster.get_node_from_key(keys.lease(0)))

"""What a cluster has that a single server has not: several masters, of which some are down, and slots that move."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from redis.exceptions import ClusterDownError, NoScriptError

from playground.stores.valkey_cluster import ValkeyCluster
from tonearm.redis import keys
from tonearm.redis.client import FAILURES, Client, connect, now_ms
from tonearm.redis.script import Script

SHARDS = {0: 2, 3: 1, 2: 0}
"""For each of three shards the master that its slot is on."""


@pytest.fixture(scope="module")
async def cluster(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ValkeyCluster]:
    """A cluster whose masters may be killed; each test leaves it whole."""
    async with ValkeyCluster(tmp_path_factory.mktemp("cluster"), aof=True, appendfsync="always") as cluster:
        yield cluster


@asynccontextmanager
async def client_of(cluster: ValkeyCluster, timeout: float | None = 0.4) -> AsyncIterator[Client]:
    client = connect(cluster.url, timeout=timeout)
    try:
        yield client
    finally:
        await client.aclose()


def slot(client: Client, key: str) -> int:
    return client.keyslot(key)  # type: ignore[attr-defined, no-any-return]


@pytest.fixture
async def client(cluster: ValkeyCluster) -> AsyncIterator[Client]:
    async with client_of(cluster) as client:
        await client.flushall()
        yield client


async def test_the_shards_lie_on_different_masters(cluster: ValkeyCluster, client: Client) -> None:
    assert {shard: cluster.master_of(slot(client, keys.jobs(shard))) for shard in SHARDS} == SHARDS


async def test_a_script_is_loaded_by_each_master_that_lacks_it(client: Client) -> None:
    script = Script("claim")
    await client.script_flush()
    for shard in SHARDS:
        with pytest.raises(NoScriptError):
            await client.evalsha(script.sha, 1, keys.record(shard, "x"))
        assert await script(client, [keys.record(shard, "x")], []) is None
        assert await client.evalsha(script.sha, 1, keys.record(shard, "x")) is None


async def test_each_master_tells_its_own_time(cluster: ValkeyCluster, client: Client) -> None:
    for shard in SHARDS:
        assert abs(await now_ms(client, keys.lease(shard)) - time.time() * 1000) < 1_000


async def test_a_dead_master_costs_its_own_slots_and_no_others(cluster: ValkeyCluster, client: Client) -> None:
    for shard in SHARDS:
        await client.set(keys.token(shard), shard)
    await cluster.masters[1].kill()
    for _ in range(20):
        assert await client.get(keys.token(0)) == b"0"
        assert await client.get(keys.token(2)) == b"2"
        with pytest.raises(FAILURES):
            await client.get(keys.token(3))
        await asyncio.sleep(0)
    pipe = client.pipeline(transaction=False)
    pipe.get(keys.token(0))
    assert await pipe.execute() == [b"0"]
    await cluster.restart(1)
    assert await client.get(keys.token(3)) == b"3"


async def test_a_master_that_hangs_costs_one_timeout_and_only_its_own_slots(
    cluster: ValkeyCluster, client: Client
) -> None:
    await client.set(keys.token(3), 3)
    await cluster.masters[1].kill(signal.SIGSTOP)
    try:
        began = time.monotonic()
        with pytest.raises(FAILURES):
            await client.get(keys.token(3))
        assert time.monotonic() - began < 0.8
        began = time.monotonic()
        for _ in range(50):
            await client.set(keys.token(0), 0)
        assert time.monotonic() - began < 0.4
    finally:
        await cluster.masters[1].kill(signal.SIGCONT)
        await cluster.agreed()
    assert await client.get(keys.token(3)) == b"3"


async def test_a_caller_that_gives_up_leaves_the_others_alone(cluster: ValkeyCluster) -> None:
    async with client_of(cluster, timeout=None) as client:
        await client.set(keys.token(3), 3)
        await cluster.masters[1].kill(signal.SIGSTOP)
        try:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await client.get(keys.token(3))
            assert await client.set(keys.token(0), 0)
        finally:
            await cluster.masters[1].kill(signal.SIGCONT)
            await cluster.agreed()
        assert await client.get(keys.token(3)) == b"3"


async def test_a_slot_that_moved_is_followed(cluster: ValkeyCluster, client: Client) -> None:
    """Without its key, as only the word of the server counts here: MOVED, and then the new master is asked."""
    number = slot(client, keys.token(3))
    await client.get(keys.token(3))
    ids = [await cluster.id_of(master) for master in range(3)]
    try:
        for master in range(3):
            await cluster.call(master, "CLUSTER SETSLOT", number, "NODE", ids[0])
        assert await client.set(keys.token(3), "moved")
        pipe = client.pipeline(transaction=False)
        pipe.get(keys.token(3))
        assert await pipe.execute() == [b"moved"]
        assert await cluster.call(0, "GET", keys.token(3)) == b"moved"
    finally:
        await client.delete(keys.token(3))
        for master in range(3):
            await cluster.call(master, "CLUSTER SETSLOT", number, "NODE", ids[1])
    assert await client.get(keys.token(3)) is None


async def test_a_slot_under_way_is_asked_for_where_it_goes(cluster: ValkeyCluster, client: Client) -> None:
    number = slot(client, keys.token(3))
    await client.get(keys.token(3))
    ids = [await cluster.id_of(master) for master in range(3)]
    try:
        await cluster.call(0, "CLUSTER SETSLOT", number, "IMPORTING", ids[1])
        await cluster.call(1, "CLUSTER SETSLOT", number, "MIGRATING", ids[0])
        assert await client.set(keys.token(3), "there")
        assert await client.get(keys.token(3)) == b"there"
        await client.delete(keys.token(3))
    finally:
        for master in (0, 1):
            await cluster.call(master, "CLUSTER SETSLOT", number, "STABLE")


async def test_a_cluster_that_counts_itself_as_down_is_an_error_at_once(cluster: ValkeyCluster, client: Client) -> None:
    await client.get(keys.token(3))
    await cluster.call(1, "CLUSTER DELSLOTS", slot(client, keys.token(3)))
    try:
        began = time.monotonic()
        with pytest.raises(ClusterDownError):
            await client.get(keys.token(3))
        assert time.monotonic() - began < 0.2
    finally:
        await cluster.call(1, "CLUSTER ADDSLOTS", slot(client, keys.token(3)))
        await cluster.agreed()


async def test_a_subscription_goes_to_another_master_each_time_and_hears_all(
    cluster: ValkeyCluster, client: Client
) -> None:
    await client.get(keys.token(0))
    ports = set()
    for number in range(3):
        pubsub = client.pubsub()
        try:
            async with asyncio.timeout(5):
                await pubsub.subscribe("reply:x")
                await pubsub.parse_response(block=True)
                ports.add(pubsub.connection_pool.connection_kwargs["port"])
                for key in ("one", "two", "three"):
                    await client.publish(f"reply:{key}", "not for us")
                    # A script publishes on the master of its key.
                    shard = list(SHARDS)[number]
                    await client.eval("return redis.call('PUBLISH', 'reply:x', ARGV[1])", 1, keys.jobs(shard), key)
                    assert (await pubsub.parse_response(block=True))[2] == key.encode()
        finally:
            await pubsub.aclose()
    assert ports == {master.port for master in cluster.masters}


async def test_nobody_there_is_an_error(cluster: ValkeyCluster) -> None:
    async with connect("redis+cluster://127.0.0.1:1", timeout=0.4) as client:
        for _ in range(2):
            with pytest.raises(FAILURES):
                await client.get("x")


async def test_all_masters_down_and_back(cluster: ValkeyCluster, client: Client) -> None:
    await client.set(keys.token(0), "kept")
    await asyncio.gather(*(master.kill() for master in cluster.masters))
    with pytest.raises(FAILURES):
        await client.get(keys.token(0))
    await cluster.start()
    assert await client.get(keys.token(0)) == b"kept"

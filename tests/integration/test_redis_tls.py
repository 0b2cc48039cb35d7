"""Redis behind TLS with a CA of one's own, single and as a cluster.

The embedded Valkey is built without TLS, so TLS ends at a proxy in front of it: for the client that is the same.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from playground.stores.valkey_cluster import ValkeyCluster
from tests.support.audio_node.voice_server import make_ca
from tonearm.redis import keys, lease
from tonearm.redis.client import connect, now_ms
from tonearm.redis.shared import connect_shared


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    except (OSError, ssl.SSLError):
        pass
    finally:
        writer.close()


@asynccontextmanager
async def tls_in_front_of(port: int, tls: ssl.SSLContext, own_port: int = 0) -> AsyncIterator[int]:
    """The port of a proxy that speaks TLS."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(pump(reader, server_writer), pump(server_reader, writer))

    server = await asyncio.start_server(serve, "127.0.0.1", own_port, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, ssl.SSLContext]:
    return make_ca(tmp_path)


async def do_everything(url: str) -> None:
    """A script, a subscription, and a client of each kind."""
    async with connect(url, timeout=2) as client:
        assert await now_ms(client) > 0
        assert await lease.take(client, 0, "me")
        pubsub = client.pubsub()
        await pubsub.subscribe(keys.TERMS)
        await pubsub.get_message(timeout=2)
        await client.publish(keys.TERMS, "7")
        message = await pubsub.get_message(timeout=2)
        assert message["data"] == b"7"
        await pubsub.aclose()
    shared = connect_shared(url)
    try:
        assert await asyncio.gather(*(shared.set(f"key{n}", n) for n in range(20))) == [True] * 20
    finally:
        await shared.aclose()


async def told_of(cluster: ValkeyCluster, number: int, ports: list[int]) -> None:
    """Returns when a master tells clients of these ports."""
    while True:
        said = str(await cluster.call(number, "CLUSTER SLOTS"))
        if all(str(port) in said for port in ports):
            return
        await asyncio.sleep(0.02)


async def test_a_single_redis_with_a_ca_of_ones_own(redis_url, redis_client, certificate):
    ca, tls = certificate
    port = int(redis_url.rpartition(":")[2].partition("/")[0])
    async with tls_in_front_of(port, tls) as tls_port:
        await do_everything(f"rediss://localhost:{tls_port}/0?ssl_ca_certs={ca}")


@pytest.mark.parametrize("scheme", ["rediss", "rediss+cluster"])
async def test_whoever_it_is_that_the_ca_does_not_know_is_not_talked_to(redis_url, certificate, scheme):
    port = int(redis_url.rpartition(":")[2].partition("/")[0])
    async with tls_in_front_of(port, certificate[1]) as tls_port, connect(f"{scheme}://localhost:{tls_port}") as client:
        with pytest.raises(RedisConnectionError, match=r"certificate|SSL|reachable"):
            await client.get("x")


async def test_a_cluster_with_a_ca_of_ones_own(certificate):
    ca, tls = certificate
    async with ValkeyCluster() as cluster, AsyncExitStack() as proxies:
        ports = [await proxies.enter_async_context(tls_in_front_of(each.port, tls)) for each in cluster.masters]
        for number, port in enumerate(ports):
            # What the masters tell clients of each other is the way through TLS.
            await cluster.call(number, "CONFIG SET", "cluster-announce-client-port", port)
        async with asyncio.timeout(10):
            for number in range(len(ports)):
                await told_of(cluster, number, ports)
        await do_everything(f"rediss+cluster://localhost:{ports[0]}?ssl_ca_certs={ca}")

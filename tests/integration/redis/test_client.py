"""The client of Redis: what a cancellation, a hanging and a dying server do to it."""

import asyncio
import time
from typing import Any

import pytest
import redis.exceptions

from tonearm.redis.client import FAILURES, connect, now_ms


@pytest.mark.parametrize("ticks", range(1, 30))
async def test_a_cancellation_is_never_swallowed(redis_url: str, ticks: int) -> None:
    client = connect(redis_url, timeout=5)

    async def work() -> None:
        while True:
            await client.set("key", "value")

    try:
        task = asyncio.create_task(work())
        for _ in range(ticks):  # turns of the event loop, to cancel it at each step of connecting and sending
            await asyncio.sleep(0)
        task.cancel()
        done, _ = await asyncio.wait([task], timeout=1)
        assert done == {task}
        assert task.cancelled()
    finally:
        while not task.done():
            task.cancel()
            await asyncio.sleep(0)
        await client.aclose()


@pytest.mark.parametrize("timeout", [5.0, None])
async def test_commands_and_pipelines_work(redis_url: str, timeout: float | None) -> None:
    client = connect(redis_url, timeout=timeout)
    try:
        big = b"x" * 3_000_000
        assert await client.set("key", big)
        assert await client.get("key") == big
        pipe = client.pipeline(transaction=False)
        pipe.set("a", 1).get("a").strlen("key")
        assert await pipe.execute() == [True, b"1", 3_000_000]
        assert abs(await now_ms(client) - time.time() * 1000) < 1_000
    finally:
        await client.aclose()


async def test_a_server_that_hangs_costs_one_timeout() -> None:
    release = asyncio.Event()

    async def hang(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await release.wait()
        writer.close()

    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    client = connect(f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}", timeout=0.2)
    try:
        began = time.monotonic()
        with pytest.raises(FAILURES):
            await client.set("key", b"x" * 20_000_000)
        assert time.monotonic() - began < 1
    finally:
        release.set()
        server.close()
        await client.aclose()


async def test_a_server_that_is_gone_is_an_error_at_once() -> None:
    server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    client = connect(f"redis://127.0.0.1:{port}")
    try:
        with pytest.raises(redis.exceptions.ConnectionError):
            await client.get("key")
        server.close()
        await server.wait_closed()
        with pytest.raises(redis.exceptions.ConnectionError):
            await client.get("key")
    finally:
        await client.aclose()


@pytest.mark.parametrize("scheme", ["redis://h", "rediss://h", "unix:///s"])
def test_every_kind_of_connection_sends_promptly(scheme: str) -> None:
    assert connect(scheme).connection_pool.connection_class.__name__.startswith("Prompt")


def test_a_cluster_sends_promptly_too() -> None:
    cluster: Any = connect("redis+cluster://h:1")
    nodes = [*cluster.nodes_manager.startup_nodes.values()]
    assert len(nodes) == 1
    assert {node.connection_class.__name__ for node in nodes} == {"PromptConnection"}
    assert cluster.nodes_manager.connection_kwargs["connection_class"].__name__ == "PromptConnection"

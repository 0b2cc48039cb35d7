"""The connection to Redis or Valkey, single or cluster."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any, cast
from urllib.parse import urlsplit

import redis.asyncio as aioredis
import redis.exceptions
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

HOT_TIMEOUT = 0.4
"""Seconds. The most that the HTTP side waits for Redis, once, so that a sentence is still in time."""

FAILURES = (redis.exceptions.RedisError, OSError, TimeoutError)
"""What a call raises when Redis is down, hanging or refusing."""

Client = aioredis.Redis
"""What the rest of the code is written against."""


def connect(url: str, *, timeout: float | None = HOT_TIMEOUT, max_connections: int = 1000) -> Client:
    """A client that tries once and gives up after ``timeout`` seconds; ``None`` leaves that to the caller. Nothing is
    connected yet.

    ``url`` is ``redis://``, ``rediss://``, ``unix://`` or ``redis+cluster://``. The pool belongs to the event loop in
    which it is first used.
    """
    no_retry = Retry(NoBackoff(), 0)
    if urlsplit(url).scheme == "redis+cluster":
        from redis.asyncio.cluster import RedisCluster

        cluster = RedisCluster.from_url(
            url.replace("redis+cluster://", "redis://", 1),
            socket_timeout=timeout,
            socket_connect_timeout=timeout,
            retry=no_retry,
            decode_responses=False,
        )
        cluster.connection_kwargs["connection_class"] = _prompt(cluster.connection_kwargs["connection_class"])
        for node in cluster.nodes_manager.startup_nodes.values():
            node.connection_class = _prompt(node.connection_class)
        return cast(Client, cluster)
    client = aioredis.Redis.from_url(
        url,
        socket_timeout=timeout,
        socket_connect_timeout=timeout,
        max_connections=max_connections,
        retry=no_retry,
        retry_on_error=[],
        decode_responses=False,
    )
    pool = client.connection_pool
    pool.connection_class = _prompt(pool.connection_class)
    return client


class _Prompt(AbstractConnection):
    """Sends without :func:`asyncio.wait_for`, which in Python 3.11 can swallow a cancellation, and costs a task each.

    A task that missed its cancellation would work on, and whoever awaits its end would wait for good.
    """

    async def send_packed_command(self, command: Any, check_health: bool = True) -> None:
        """Send ``command`` within ``socket_timeout``; whatever goes wrong ends the connection, as bytes may be out."""
        if not self.is_connected:
            await self.connect_check_health(check_health=False)
        if check_health:
            await self.check_health()  # type: ignore[no-untyped-call]
        writer = self._writer
        assert writer is not None
        try:
            async with asyncio.timeout(self.socket_timeout or None):
                writer.writelines(_pieces(command))
                await writer.drain()
        except TimeoutError:
            await self.disconnect(nowait=True)
            raise redis.exceptions.TimeoutError("Timeout writing to socket") from None
        except OSError as error:
            await self.disconnect(nowait=True)
            raise redis.exceptions.ConnectionError(f"Error while writing to socket: {error}") from error
        except BaseException:
            await self.disconnect(nowait=True)
            raise


def _pieces(command: Any) -> Any:
    if isinstance(command, str):
        command = command.encode()
    return [command] if isinstance(command, bytes) else command


def _prompt(kind: type[AbstractConnection]) -> Any:
    return type(f"Prompt{kind.__name__}", (_Prompt, kind), {})


async def now_ms(client: Client) -> int:
    """Redis' clock, which is the one that all processes share.

    Raises:
        RedisError: Redis doesn't answer.
    """
    seconds, microseconds = await cast("Awaitable[Any]", client.time())
    return int(seconds) * 1000 + int(microseconds) // 1000

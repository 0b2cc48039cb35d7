"""The connection to Redis or Valkey, single or cluster."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, cast
from urllib.parse import urlsplit

import redis.asyncio as aioredis
import redis.exceptions
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
        return cast(Client, cluster)
    return aioredis.Redis.from_url(
        url,
        socket_timeout=timeout,
        socket_connect_timeout=timeout,
        max_connections=max_connections,
        retry=no_retry,
        retry_on_error=[],
        decode_responses=False,
    )


async def now_ms(client: Client) -> int:
    """Redis' clock, which is the one that all processes share.

    Raises:
        RedisError: Redis doesn't answer.
    """
    seconds, microseconds = await cast("Awaitable[Any]", client.time())
    return int(seconds) * 1000 + int(microseconds) // 1000

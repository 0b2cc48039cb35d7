"""The connection to Redis or Valkey, single or cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias, cast
from urllib.parse import urlsplit

import redis.exceptions

from tonearm.errors import SettingsError
from tonearm.redis import keys

if TYPE_CHECKING:
    import redis.asyncio as aioredis

HOT_TIMEOUT = 0.4
"""Seconds. The most that the HTTP side waits for Redis, once, so that a sentence is still in time."""

FAILURES = (redis.exceptions.RedisError, OSError, TimeoutError)
"""What a call raises when Redis is down, hanging or refusing."""

Refusal = redis.exceptions.ResponseError
"""What a call raises when Redis is there and refuses."""

Client: TypeAlias = "aioredis.Redis"
"""What the rest of the code is written against."""


def connect(url: str, *, timeout: float | None = HOT_TIMEOUT, max_connections: int = 1000) -> Client:
    """A client that tries once and gives up after ``timeout`` seconds; ``None`` leaves that to the caller. Nothing is
    connected yet.

    ``url`` is ``redis://``, ``unix://`` or ``redis+cluster://``, and with TLS ``rediss://`` or ``rediss+cluster://``.
    The pool belongs to the event loop in which it is first used.

    Raises:
        SettingsError: a parameter of ``url`` is unknown or has a wrong value.
    """
    try:
        return _cluster(url, timeout, max_connections) if is_cluster(url) else _single(url, timeout, max_connections)
    except (TypeError, ValueError, redis.exceptions.RedisError) as error:  # redis-py makes arguments of them
        raise SettingsError("TONEARM_REDIS_URL has a parameter that is unknown or has a wrong value.") from error


def _single(url: str, timeout: float | None, max_connections: int) -> Client:
    import redis.asyncio as aioredis  # a function that was just started has no time for it

    from tonearm.redis.prompt import prompt

    client = aioredis.Redis.from_url(
        url,
        socket_timeout=timeout,
        socket_connect_timeout=timeout,
        max_connections=max_connections,
        retry=_no_retry(),
        retry_on_error=[],
        decode_responses=False,
    )
    pool = client.connection_pool
    pool.connection_class = prompt(pool.connection_class)
    pool.connection_class(**pool.connection_kwargs)  # which is thrown away: a wrong parameter is to be known now
    return client


def _cluster(url: str, timeout: float | None, max_connections: int) -> Client:
    from redis.asyncio.connection import parse_url

    from tonearm.redis.cluster import ClusterClient

    settings: dict[str, Any] = dict(parse_url(url.replace("+cluster://", "://", 1)))
    settings["ssl"] = settings.pop("connection_class", None) is not None
    cluster = ClusterClient(
        settings.pop("host", "localhost"),
        settings.pop("port", 6379),
        socket_timeout=timeout,
        socket_connect_timeout=timeout,
        max_connections=max_connections,
        retry=_no_retry(),
        decode_responses=False,
        **settings,
    )
    return cast(Client, cluster)


def _no_retry() -> Any:
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff

    return Retry(NoBackoff(), 0)


def is_cluster(url: str) -> bool:
    """Whether it names a Redis Cluster."""
    return urlsplit(url).scheme in ("redis+cluster", "rediss+cluster")


def is_for_good(error: BaseException) -> bool:
    """Whether Redis is there and would refuse the same call again: keys of another type, a script that breaks.

    All else passes: loading, read-only, full, a slot that moves.
    """
    return type(error) is Refusal and not str(error).startswith(("BUSY ", "MISCONF", "NOREPLICAS"))


def is_withheld(error: BaseException) -> bool:
    """Whether Redis keeps a command from us, as managed ones do by their users' rights or by not having it at all."""
    return isinstance(error, redis.exceptions.NoPermissionError) or (
        isinstance(error, Refusal) and str(error).lower().startswith("unknown command")
    )


async def now_ms(client: Client, key: str = keys.SHARD_COUNT) -> int:
    """Redis' clock, which is the one that all processes share; in a cluster that of the master which holds ``key``.

    Raises:
        RedisError: Redis doesn't answer.
    """
    seconds, microseconds = await client.eval(_CLOCK, 1, key)
    return int(seconds) * 1000 + int(microseconds) // 1000


_CLOCK = "return redis.call('TIME')"

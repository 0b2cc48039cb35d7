"""Connections that are kept by a process which freezes between requests, as a function on AWS Lambda does.

While a process is frozen its connections die unseen. One that was closed is noticed by the next command, which is then
sent once more on a new connection: everything that the HTTP side sends may be repeated. One that was dropped without a
word (a firewall forgot it, the server was replaced) would swallow a command and its time, so none that rested for long
is trusted. Nothing runs in between: no task, no subscription.
"""

from __future__ import annotations

import time
from typing import Any

import redis.asyncio as aioredis
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError

from tonearm.redis.client import Client, connect, is_cluster
from tonearm.redis.lean import TRUSTED_FOR_S
from tonearm.redis.prompt import prompt


def connect_kept(url: str) -> Client:
    """A client that has no timeout of its own, and sends once more what was lost with a connection.

    ``url`` as for :func:`tonearm.redis.client.connect`; for a cluster it is the client made there, which finds its way
    after a lost connection by itself.
    """
    if is_cluster(url):
        return connect(url, timeout=None)
    pool = KeptPool.from_url(
        url,
        socket_timeout=None,
        socket_connect_timeout=None,
        # A timeout is none of these: its command may be under way.
        retry=Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError,)),
        decode_responses=False,
    )
    pool.connection_class = prompt(pool.connection_class)
    return aioredis.Redis.from_pool(pool)


class KeptPool(aioredis.ConnectionPool):
    """Connections that may have died since they were last used."""

    _used_at = 0.0

    async def get_connection(self, *args: Any, **options: Any) -> AbstractConnection:
        """One that did not rest for long, or a new one.

        Raises:
            RedisError: Redis is down or refuses.
        """
        # The wall clock goes on while a process is frozen; the monotonic one may not.
        now = time.time()
        if not 0 <= now - self._used_at < TRUSTED_FOR_S:
            for connection in self._available_connections:
                await connection.disconnect(nowait=True)  # nobody may be there to agree to an end of TLS
        self._used_at = now
        found: AbstractConnection = await super().get_connection(*args, **options)  # type: ignore[no-untyped-call]
        return found

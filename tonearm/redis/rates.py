"""How often each key of the API is used: GCRA, one script on a slot of the key's own."""

from __future__ import annotations

from typing import NamedTuple

from tonearm.redis.client import Client
from tonearm.redis.script import Script

_rate = Script("rate")


class Rate(NamedTuple):
    """Whether one more request is ``allowed``, how many may come at once after it, and the times in ms.

    ``retry_ms`` is when one more is allowed, ``reset_ms`` when all are again.
    """

    allowed: bool
    left: int
    retry_ms: int
    reset_ms: int


def limit_of(key: str) -> str:
    """STRING: a key's theoretical arrival time (ms)."""
    return f"api:limit:{key}"


async def spend(client: Client, key: str, *, per_minute: int) -> Rate:
    """Count one more request of ``key``, which may make ``per_minute`` in a minute, all at once if it likes.

    Raises:
        RedisError: Redis doesn't answer.
    """
    allowed, left, retry, reset = await _rate(client, [limit_of(key)], [60_000 / per_minute, per_minute])
    return Rate(bool(allowed), int(left), int(retry), int(reset))

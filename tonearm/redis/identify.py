"""The rate at which shards may identify, and how many times a day, kept by all processes together.

Discord allows one IDENTIFY each 5 s in a bucket of ``shard % max_concurrency``, and some 1,000 session starts a day
(Discord's documentation, Gateway, *Rate Limiting*, *Sharding* and *Session Start Limit Object*).
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import Any, cast

import msgspec

from tonearm.redis import keys
from tonearm.redis.client import Client, now_ms
from tonearm.redis.script import Script

DISTANCE_MS = 5_500
"""Between two grants of a bucket: Discord's 5 s, and what may pass between a grant and the sending."""

KEPT_MS = 60_000
"""How long Discord's limits are believed."""

_identify = Script("identify")


class Limits(msgspec.Struct, frozen=True):
    """How many sessions may be started at once and today; ``reset_ms`` is when the day begins anew (Redis' clock)."""

    max_concurrency: int
    remaining: int
    reset_ms: int


async def ask(client: Client, bucket: int, *, distance_ms: int = DISTANCE_MS) -> float:
    """0 when an IDENTIFY of ``bucket`` may be sent now, and by nobody else for ``distance_ms``; else seconds to wait
    before asking again.

    Raises:
        RedisError: Redis doesn't answer. It may have been granted: then the turn is lost.
    """
    return int(await _identify(client, [keys.identify(bucket)], [distance_ms])) / 1000


async def fetch_wait(client: Client, bucket: int) -> float:
    """Seconds until an IDENTIFY of ``bucket`` may be sent, as far as is known now; nothing is taken.

    Raises:
        RedisError: Redis doesn't answer.
    """
    return max(0, int(await client.pttl(keys.identify(bucket)))) / 1000


async def fetch_limits(client: Client) -> Limits | None:
    """Discord's limits, as a process has found them less than a minute ago.

    Raises:
        RedisError: Redis doesn't answer.
    """
    fields = cast("Awaitable[list[Any]]", client.hmget(keys.GATEWAY, ["max_concurrency", "remaining", "reset_ms"]))
    values = await fields
    return None if None in values else Limits(*map(int, values))


async def save_limits(client: Client, limit: Mapping[str, Any], *, kept_ms: int = KEPT_MS) -> Limits:
    """Share what Discord said (*Session Start Limit Object*) with all processes.

    Raises:
        RedisError: Redis doesn't answer.
    """
    reset_ms = await now_ms(client) + int(limit["reset_after"])
    limits = Limits(max(1, int(limit["max_concurrency"])), int(limit["remaining"]), reset_ms)
    pipe = client.pipeline(transaction=False)
    for name, value in msgspec.structs.asdict(limits).items():
        pipe.hset(keys.GATEWAY, name, value)
    pipe.pexpire(keys.GATEWAY, kept_ms)
    await pipe.execute()
    return limits


async def count_start(client: Client) -> None:
    """A session is being started: one less remains, until Discord is asked again.

    Raises:
        RedisError: Redis doesn't answer.
    """
    await client.hincrby(keys.GATEWAY, "remaining", -1)

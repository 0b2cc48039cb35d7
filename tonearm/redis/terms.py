"""The middle tier of the cache of plans and settings: on the guild's slot, for all processes."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import NamedTuple, cast

from tonearm.redis import keys
from tonearm.redis.client import Client
from tonearm.redis.script import Script

LIFE_MS = 7 * 24 * 60 * 60 * 1000
"""How long the last known terms of a guild are kept, for when the database is away."""

_terms = Script("terms")


class Kept(NamedTuple):
    """``terms`` as they were ``at_ms``; 0 where they have changed since. ``generation`` counts the changes."""

    terms: bytes | None
    at_ms: int
    generation: str


async def fetch(client: Client, shard: int, guild: int) -> Kept:
    """What is kept.

    Raises:
        RedisError: Redis doesn't answer.
    """
    found = await cast(
        "Awaitable[list[bytes | None]]", client.hmget(keys.terms(shard, guild), ["terms", "at", "generation"])
    )
    terms, at, generation = found
    return Kept(terms, int(at or 0), (generation or b"0").decode())


async def keep(client: Client, shard: int, guild: int, terms: bytes, *, at_ms: int, generation: str) -> bool:
    """Keep them, unless they have changed since ``generation`` was seen.

    Raises:
        RedisError: Redis doesn't answer.
    """
    args: list[str | bytes | int | float] = [LIFE_MS, "keep", generation, at_ms, terms]
    return bool(await _terms(client, [keys.terms(shard, guild)], args))


async def forget(client: Client, shard: int, guild: int) -> None:
    """They have changed: whoever keeps them asks again, and is told so at once.

    Raises:
        RedisError: Redis doesn't answer.
    """
    await _terms(client, [keys.terms(shard, guild)], [LIFE_MS, "forget", keys.TERMS, guild])

"""The middle tier of the cache of the API's keys, for all processes: by the hash of a key, never by the key."""

from __future__ import annotations

from typing import cast

from tonearm.redis import keys
from tonearm.redis.client import Client
from tonearm.redis.script import Script

REVOKED = b"revoked"
"""What stands in the place of a key that was revoked: nobody has to ask the database for it."""

REVOKED_MS = 24 * 60 * 60 * 1000
"""How long that stands there: longer than anybody believes what was true before."""

_key = Script("apikey")


async def fetch(client: Client, hash: bytes) -> bytes | None:
    """What is kept of a key, or :data:`REVOKED`.

    Raises:
        RedisError: Redis doesn't answer.
    """
    return cast("bytes | None", await client.get(keys.api_key(hash)))


async def keep(client: Client, hash: bytes, known: bytes, *, life_ms: int) -> bool:
    """Keep it, unless it was revoked: what was read before that must not be kept after it.

    Raises:
        RedisError: Redis doesn't answer.
    """
    return bool(await _key(client, [keys.api_key(hash)], ["keep", life_ms, known, REVOKED]))


async def forget(client: Client, hash: bytes) -> None:
    """It was revoked, which every process is told at once.

    Raises:
        RedisError: Redis doesn't answer.
    """
    await _key(client, [keys.api_key(hash)], ["revoke", REVOKED_MS, REVOKED, keys.API_KEYS, hash.hex()])

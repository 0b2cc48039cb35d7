"""The rate at which shards may identify, kept by all processes together.

Discord allows one IDENTIFY each 5 s in a bucket of ``shard % max_concurrency`` (Discord's documentation, Gateway,
*Rate Limiting* and *Sharding*).
"""

from __future__ import annotations

from tonearm.redis.client import Client
from tonearm.redis.script import Script

DISTANCE_MS = 5_500

_identify = Script("identify")


async def reserve(client: Client, bucket: int, *, distance_ms: int = DISTANCE_MS) -> float:
    """Seconds to wait before the next IDENTIFY of ``bucket`` may be sent; nobody else is given the same time.

    Raises:
        RedisError: Redis doesn't answer.
    """
    return int(await _identify(client, [f"{{identify:{bucket}}}"], [distance_ms])) / 1000

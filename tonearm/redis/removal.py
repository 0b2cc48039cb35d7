"""What becomes of the state of a guild that removed the bot."""

from __future__ import annotations

import time
from typing import cast

from tonearm.errors import LeaseLost
from tonearm.redis import keys
from tonearm.redis.client import Client
from tonearm.redis.script import Script

KEPT_MS = 24 * 60 * 60 * 1000
"""How long the state is kept, in case the bot is invited again."""

_forget = Script("forget")


async def forget(client: Client, shard: int, guild: int, token: str, *, life_ms: int = KEPT_MS) -> None:
    """Let a guild's state run out after ``life_ms``, and note that it left; 0 keeps it after all.

    Raises:
        LeaseLost: ``token`` is not the shard's any more.
        RedisError: Redis doesn't answer.
    """
    names = (keys.player, keys.queue, keys.entries, keys.history, keys.log, keys.waiting)
    if life_ms:
        await client.zadd(keys.DEPARTED, {str(guild): int(time.time() * 1000)})
    else:
        await client.zrem(keys.DEPARTED, str(guild))
    owned = [name(shard, guild) for name in names]
    if not await _forget(client, [keys.lease(shard), *owned], [token, life_ms]):
        raise LeaseLost(f"shard {shard} has another owner")


async def fetch_departed(client: Client) -> dict[int, int]:
    """The guilds that removed the bot, and when (ms since 1970).

    Raises:
        RedisError: Redis doesn't answer.
    """
    found = cast("list[tuple[bytes, float]]", await client.zrange(keys.DEPARTED, 0, -1, withscores=True))
    return {int(guild): int(at) for guild, at in found}


async def forget_departed(client: Client, guild: int) -> None:
    """Nothing is kept of this guild any more.

    Raises:
        RedisError: Redis doesn't answer.
    """
    await client.zrem(keys.DEPARTED, str(guild))

"""What becomes of the state of a guild that removed the bot."""

from __future__ import annotations

from tonearm.errors import LeaseLost
from tonearm.redis import keys
from tonearm.redis.client import Client
from tonearm.redis.script import Script

KEPT_MS = 24 * 60 * 60 * 1000
"""How long the state is kept, in case the bot is invited again."""

_forget = Script("forget")


async def forget(client: Client, shard: int, guild: int, token: str, *, life_ms: int = KEPT_MS) -> None:
    """Let a guild's state run out after ``life_ms``; 0 keeps it after all.

    Raises:
        LeaseLost: ``token`` is not the shard's any more.
        RedisError: Redis doesn't answer.
    """
    names = (keys.player, keys.queue, keys.entries, keys.history, keys.log, keys.waiting)
    owned = [name(shard, guild) for name in names]
    if not await _forget(client, [keys.lease(shard), *owned], [token, life_ms]):
        raise LeaseLost(f"shard {shard} has another owner")

"""The number of shards, on which all processes agree."""

from __future__ import annotations

from tonearm.errors import SettingsError
from tonearm.redis import keys
from tonearm.redis.client import Client


async def agree_on_shard_count(client: Client, shard_count: int) -> None:
    """Write the number down if nobody has; else see that it is the same.

    Raises:
        SettingsError: this process was told another number than the one that is written down, or the number is being
            changed.
        RedisError: Redis doesn't answer.
    """
    moving = await client.get(keys.RESHARDING)
    if moving is not None:
        to = int(moving.split()[-1])
        raise SettingsError(
            f"This installation is being changed to {to} shards. End that with `tonearm reshard --to {to}`, "
            f"and start with TONEARM_SHARD_COUNT={to}."
        )
    await client.set(keys.SHARD_COUNT, shard_count, nx=True)
    await require_shard_count(client, shard_count)


async def require_shard_count(client: Client, shard_count: int) -> None:
    """See that this process was told the number that is written down, if one is.

    Raises:
        SettingsError: it was not.
        RedisError: Redis doesn't answer.
    """
    written = await client.get(keys.SHARD_COUNT)
    if written is not None and int(written) != shard_count:
        raise SettingsError(
            f"TONEARM_SHARD_COUNT is {shard_count}, but this installation has {int(written)} shards. "
            f"Set it to {int(written)} in every process."
        )

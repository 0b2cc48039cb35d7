"""Snowflakes: ids that carry the time of their making (Discord reference, "Snowflakes")."""

from __future__ import annotations

import itertools
import time

EPOCH_MS = 1_420_070_400_000
"""Discord's epoch, the first second of 2015, in milliseconds of Unix time."""


class Snowflakes:
    """Makes ids that are unique in this process and carry the real time.

    The time is real even when tests have moved the twin's clock: receivers compute an interaction's age from its id.
    """

    def __init__(self) -> None:
        self._increment = itertools.count()

    def make(self, at_ms: int | None = None) -> int:
        """Return a new id made now, or at ``at_ms`` (milliseconds of Unix time)."""
        milliseconds = (time.time_ns() // 1_000_000 if at_ms is None else at_ms) - EPOCH_MS
        return (milliseconds << 22) | (1 << 17) | (next(self._increment) & 0xFFF)

    def for_shard(self, shard: int, count: int) -> int:
        """Return a new guild id that falls on ``shard`` of ``count`` (Discord gateway documentation, "Sharding").

        Raises:
            ValueError: there is no such shard.
        """
        if not 0 <= shard < count:
            raise ValueError(f"there is no shard {shard} of {count}")
        now = time.time_ns() // 1_000_000 - EPOCH_MS
        return self.make(now - (now - shard) % count + EPOCH_MS)


def made_at_ms(snowflake: int) -> int:
    """Return when a snowflake was made, in milliseconds of Unix time."""
    return (snowflake >> 22) + EPOCH_MS


def shard_of(guild_id: int, count: int) -> int:
    """Return the shard a guild falls on (Discord gateway documentation, "Sharding")."""
    return (guild_id >> 22) % count

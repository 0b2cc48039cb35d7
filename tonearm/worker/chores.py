"""Keeping house: the dead letters' archive, what is not needed any more, and guilds that left long ago."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from tonearm.cache import TermsCache
from tonearm.postgres import errands, idempotency, leaving, receipts
from tonearm.postgres.pool import Pool
from tonearm.redis import removal
from tonearm.redis.client import Client
from tonearm.redis.dead import fetch_dead
from tonearm.telemetry import LOG, context

GUILD_KEPT = timedelta(days=30)
"""How long what a guild has saved is kept after it removed the bot."""

RECEIPTS_KEPT = timedelta(days=90)
ERRANDS_KEPT = timedelta(days=1)
LETTERS_KEPT = timedelta(days=90)


async def archive_dead(pool: Pool, redis: Client, streams: Sequence[int]) -> int:
    """Keep a copy of the dead letters of shards and of workers' streams; returns how many there are.

    They stay where they are, so that they can be handed over again.

    Raises:
        FAILURES: PostgreSQL or Redis doesn't answer.
    """
    found = [kept.letter for stream in streams for kept in await fetch_dead(redis, stream)]
    await leaving.archive(pool, [(letter, datetime.fromtimestamp(letter.at_ms / 1000, UTC)) for letter in found])
    return len(found)


async def tidy(pool: Pool, now: datetime) -> None:
    """Delete records that nobody asks for any more.

    Raises:
        FAILURES: PostgreSQL doesn't answer, or refuses.
    """
    await receipts.remove_done(pool, now - RECEIPTS_KEPT)
    await idempotency.remove_expired(pool, now)
    await errands.remove_old(pool, now - ERRANDS_KEPT)
    await leaving.remove_archived(pool, now - LETTERS_KEPT)


async def forget_departed(pool: Pool, redis: Client, cache: TermsCache, now: datetime) -> tuple[int, ...]:
    """Delete what is kept of guilds that removed the bot long ago; returns which they were.

    Raises:
        FAILURES: PostgreSQL or Redis doesn't answer. Some may be deleted.
    """
    left = await removal.fetch_departed(redis)
    await leaving.note_departures(pool, {guild: datetime.fromtimestamp(at / 1000, UTC) for guild, at in left.items()})
    gone = await leaving.fetch_departed(pool, now - GUILD_KEPT)
    for guild in gone:
        await leaving.forget_guild(pool, guild)
        await removal.forget_departed(redis, guild)
        await cache.forget(guild)
        LOG.info("All that was kept of a guild that left is deleted", extra=context(guild=guild))
    return gone

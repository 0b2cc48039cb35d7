"""Keeping house: the dead letters' archive, what is not needed any more, and guilds that left long ago."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from tonearm.aws.places import DEAD_LETTERS, key_of
from tonearm.cache import TermsCache
from tonearm.jobs.job import DeadLetter, encode
from tonearm.postgres import errands, idempotency, leaving, outgoing, receipts
from tonearm.postgres.pool import Pool
from tonearm.redis import removal
from tonearm.redis.client import Client
from tonearm.redis.dead import fetch_dead, remove_dead
from tonearm.telemetry import LOG, context

if TYPE_CHECKING:
    from tonearm.aws.store import Store

GUILD_KEPT = timedelta(days=30)
"""How long what a guild has saved is kept after it removed the bot."""

RECEIPTS_KEPT = timedelta(days=90)
ERRANDS_KEPT = timedelta(days=1)
DELIVERIES_KEPT = timedelta(days=90)
LETTERS_KEPT = timedelta(days=90)
LETTERS_AT_ONCE = 1_000


async def archive_dead(pool: Pool, redis: Client, streams: Sequence[int]) -> int:
    """Keep a copy of the dead letters of shards and of workers' streams; returns how many there are.

    They stay where they are, so that they can be handed over again.

    Raises:
        FAILURES: PostgreSQL or Redis doesn't answer.
    """
    found = [kept.letter for stream in streams for kept in await fetch_dead(redis, stream)]
    await leaving.archive(pool, [(letter, datetime.fromtimestamp(letter.at_ms / 1000, UTC)) for letter in found])
    return len(found)


async def move_dead(pool: Pool, redis: Client, store: Store, streams: Sequence[int], before: datetime) -> int:
    """Move dead letters that were given up before ``before`` to the bucket, a file for each guild; returns how many.

    One is deleted only after its file is written, so a crash can write it twice and loses none; a letter has its id.

    Raises:
        FAILURES: PostgreSQL or Redis doesn't answer. Some may be moved.
        StorageAway: the bucket doesn't answer. Some may be moved.
    """
    old = await leaving.fetch_archived(pool, before, most=LETTERS_AT_ONCE)
    by_guild: dict[int, list[DeadLetter]] = defaultdict(list)
    for letter in old:
        by_guild[letter.guild].append(letter)
    for guild, letters in by_guild.items():
        lines = b"\n".join(map(encode, letters)) + b"\n"
        name = f"{before:%Y-%m-%d}-{hashlib.sha256(lines).hexdigest()[:16]}.jsonl"
        await store.put(key_of(DEAD_LETTERS, guild, name), lines, content_type="application/jsonl")
    # Where they lay first, first: from there they are copied to where they were just read.
    moved = {(letter.id, letter.at_ms) for letter in old}
    for stream in streams:
        kept = await fetch_dead(redis, stream)
        await remove_dead(redis, [each for each in kept if (each.letter.id, each.letter.at_ms) in moved])
    await leaving.remove_letters(pool, old)
    return len(old)


async def tidy(pool: Pool, now: datetime) -> None:
    """Delete records that nobody asks for any more.

    Raises:
        FAILURES: PostgreSQL doesn't answer, or refuses.
    """
    await receipts.remove_done(pool, now - RECEIPTS_KEPT)
    await idempotency.remove_expired(pool, now)
    await errands.remove_old(pool, now - ERRANDS_KEPT)
    await outgoing.remove_old(pool, now - DELIVERIES_KEPT)
    await leaving.remove_archived(pool, now - LETTERS_KEPT)


async def forget_departed(
    pool: Pool, redis: Client, cache: TermsCache, now: datetime, store: Store | None = None
) -> tuple[int, ...]:
    """Delete what is kept of guilds that removed the bot long ago; returns which they were.

    Raises:
        FAILURES: PostgreSQL or Redis doesn't answer. Some may be deleted.
        StorageAway: the bucket doesn't answer. Some may be deleted.
    """
    left = await removal.fetch_departed(redis)
    await leaving.note_departures(pool, {guild: datetime.fromtimestamp(at / 1000, UTC) for guild, at in left.items()})
    gone = await leaving.fetch_departed(pool, now - GUILD_KEPT)
    for guild in gone:
        if store is not None:
            await store.remove_guild(guild)
        await leaving.forget_guild(pool, guild)
        await removal.forget_departed(redis, guild)
        await cache.forget(guild)
        LOG.info("All that was kept of a guild that left is deleted", extra=context(guild=guild))
    return gone

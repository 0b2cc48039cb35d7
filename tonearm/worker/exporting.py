"""An export: all of a guild, as its stores have it, to one file."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TYPE_CHECKING, cast

import msgspec

from tonearm.aws.places import export_key
from tonearm.guild_data.document import MOST_EVENTS, make_document, write_document
from tonearm.music.track import Entry
from tonearm.postgres import grants, guild_settings
from tonearm.redis import guilds, keys
from tonearm.redis.guilds import KEPT_HISTORY, KEPT_LOG
from tonearm.redis.results import fetch_log

if TYPE_CHECKING:
    from tonearm.aws.store import Store
    from tonearm.worker.guild_tasks import Clerk

PAGE = 500
"""Entries of the queue that are read at once."""

DATABASE_TIMEOUT = 10.0
"""Seconds: nobody waits for it as for a song."""

_decode_entry = msgspec.json.Decoder(Entry).decode


async def write_export(clerk: Clerk, store: Store, guild: int, task: str) -> int:
    """Write the file; returns its size in bytes.

    Raises:
        FAILURES: PostgreSQL or Redis doesn't answer.
        StorageAway: the store doesn't answer.
    """
    now = clerk.clock()
    shard = keys.shard_of(guild, clerk.shard_count)
    player, length, queue = await guilds.fetch_queue(clerk.redis, shard, guild, most=PAGE)
    while len(queue) < length:
        _, _, more = await guilds.fetch_queue(clerk.redis, shard, guild, first=len(queue), most=PAGE)
        if not more:
            break
        queue += more
    played = cast("Awaitable[list[bytes]]", clerk.redis.lrange(keys.history(shard, guild), 0, KEPT_HISTORY - 1))
    document = make_document(
        guild,
        now,
        settings=await guild_settings.fetch_guild_settings(clerk.pool, guild, timeout=DATABASE_TIMEOUT),
        player=player,
        # Somebody may have skipped between two pages: then a track is there twice.
        queue={entry.id: entry for entry in queue}.values(),
        history=[_decode_entry(entry) for entry in await played],
        log=await fetch_log(clerk.redis, shard, guild, last=KEPT_LOG),
        grants=await grants.fetch_grants(clerk.pool, guild, timeout=DATABASE_TIMEOUT),
        events=[past.event for past in await grants.fetch_events(clerk.pool, guild, most=MOST_EVENTS)],
    )
    body = write_document(document)
    await store.put(export_key(guild, task), body)
    return len(body)

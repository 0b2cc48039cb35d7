"""What is kept of guilds that left, of dead letters, and until when."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from tonearm.jobs.job import DeadLetter, encode
from tonearm.postgres.pool import Connection, Pool

_TABLES = ("guild_settings", "webhook_deliveries", "grants", "subscription_events", "dead_jobs", "guild_departures")
"""Where something of a guild stands, by the column ``guild_id``."""


async def note_departures(pool: Pool, left: dict[int, datetime]) -> None:
    """These guilds removed the bot, and when; the other ones that are noted have invited it again.

    Raises:
        FAILURES: PostgreSQL doesn't answer, or refuses.
    """

    async def note(connection: Connection) -> None:
        await connection.execute("delete from guild_departures where guild_id <> all($1::bigint[])", list(left))
        await connection.executemany(
            """insert into guild_departures (guild_id, left_at) values ($1, $2)
            on conflict (guild_id) do update set left_at = excluded.left_at""",
            list(left.items()),
        )

    await pool.transact(note)


async def fetch_departed(pool: Pool, before: datetime) -> tuple[int, ...]:
    """The guilds that removed the bot before ``before``.

    Raises:
        FAILURES: PostgreSQL doesn't answer, or refuses.
    """
    rows = await pool.fetch_rows("select guild_id from guild_departures where left_at < $1 order by left_at", before)
    return tuple(row["guild_id"] for row in rows)


async def forget_guild(pool: Pool, guild: int) -> None:
    """Delete all that is kept of ``guild``, or nothing. Doing it again does nothing.

    Raises:
        FAILURES: PostgreSQL doesn't answer, or refuses. It may have been done.
    """

    async def forget(connection: Connection) -> None:
        await connection.execute("set local tonearm.forget = 'on'")
        for table in _TABLES:
            await connection.execute(f"delete from {table} where guild_id = $1", guild)  # noqa: S608 - our own words

    await pool.transact(forget)


async def archive(pool: Pool, letters: Iterable[tuple[DeadLetter, datetime]]) -> None:
    """Keep dead letters, each once.

    Raises:
        FAILURES: PostgreSQL doesn't answer, or refuses.
    """
    rows = [(letter.id, at, letter.guild, letter.reason[:500], encode(letter)) for letter, at in letters]

    async def keep(connection: Connection) -> None:
        await connection.executemany(
            """insert into dead_jobs (id, given_up_at, guild_id, reason, letter) values ($1, $2, $3, $4, $5)
            on conflict do nothing""",
            rows,
        )

    if rows:
        await pool.transact(keep)


async def remove_archived(pool: Pool, before: datetime) -> None:
    """Delete dead letters that were given up before ``before``.

    Raises:
        FAILURES: PostgreSQL doesn't answer, or refuses.
    """
    await pool.execute("delete from dead_jobs where given_up_at < $1", before)

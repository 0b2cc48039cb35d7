"""What is kept of guilds that left, of dead letters, and until when."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from tonearm.jobs.job import DeadLetter, decode_dead, encode
from tonearm.postgres.grants import fetch_grants_in
from tonearm.postgres.pool import Connection, Pool
from tonearm.premium.grants import are_over

_SAVED = ("guild_settings", "webhook_deliveries", "dead_jobs")
_SOLD = ("grants", "subscription_events")
"""Where something of a guild stands, by the column ``guild_id``: what it saved or did, and what it was granted."""


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
    """Delete all that is kept of ``guild``, which left, or nothing. Doing it again does nothing.

    Raises:
        FAILURES: PostgreSQL doesn't answer, or refuses. It may have been done.
    """

    async def forget(connection: Connection) -> None:
        await _forget_in(connection, guild, (*_SAVED, *_SOLD, "guild_tasks", "guild_departures"))

    await pool.transact(forget)


async def forget_on_request(pool: Pool, guild: int, *, task: str, with_subscription: bool, now: datetime) -> bool:
    """Delete what is kept of ``guild``, or nothing, but for the ``task`` that asks for it and those asked for later.

    Doing it again does nothing. What the guild was granted goes too ``with_subscription``, unless it has a plan again
    since that was asked for; returns whether it went.

    Raises:
        FAILURES: PostgreSQL doesn't answer, or refuses. It may have been done.
    """

    async def forget(connection: Connection) -> bool:
        goes = with_subscription and are_over(await fetch_grants_in(connection, guild), now)
        await _forget_in(connection, guild, (*_SAVED, *(_SOLD if goes else ())))
        await connection.execute(
            "delete from guild_tasks where guild_id = $1 and seq < (select seq from guild_tasks where id = $2)",
            guild,
            task,
        )
        return goes

    return await pool.transact(forget)


async def _forget_in(connection: Connection, guild: int, tables: Iterable[str]) -> None:
    await connection.execute("set local tonearm.forget = 'on'")
    for table in tables:
        await connection.execute(f"delete from {table} where guild_id = $1", guild)  # noqa: S608 - our own words


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


async def fetch_archived(pool: Pool, before: datetime, *, most: int) -> tuple[DeadLetter, ...]:
    """Dead letters that were given up before ``before``, the oldest first.

    Raises:
        FAILURES: PostgreSQL doesn't answer, or refuses.
    """
    rows = await pool.fetch_rows(
        "select letter from dead_jobs where given_up_at < $1 order by given_up_at, id limit $2", before, most
    )
    return tuple(decode_dead(row["letter"]) for row in rows)


async def remove_letters(pool: Pool, letters: Iterable[DeadLetter]) -> None:
    """Delete these dead letters.

    Raises:
        FAILURES: PostgreSQL doesn't answer, or refuses.
    """
    ids, times = [], []
    for letter in letters:
        ids.append(letter.id)
        times.append(datetime.fromtimestamp(letter.at_ms / 1000, UTC))
    await pool.execute(
        """delete from dead_jobs using unnest($1::text[], $2::timestamptz[]) as gone (id, at)
        where dead_jobs.id = gone.id and given_up_at = gone.at""",
        ids,
        times,
    )


async def remove_archived(pool: Pool, before: datetime) -> None:
    """Delete dead letters that were given up before ``before``.

    Raises:
        FAILURES: PostgreSQL doesn't answer, or refuses.
    """
    await pool.execute("delete from dead_jobs where given_up_at < $1", before)

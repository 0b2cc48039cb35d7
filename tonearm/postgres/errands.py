"""Errands, each done once in effect: what one changes and what it answered are written in one transaction."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime

from tonearm.jobs.job import Answer, decode_answer, encode
from tonearm.postgres.pool import Connection, Pool


async def do_once(pool: Pool, id: str, now: datetime, work: Callable[[Connection], Awaitable[Answer]]) -> Answer:
    """What ``work`` answers, or what it answered when the errand ``id`` was done before.

    Where others come in its way, ``work`` is done again from its beginning: it may change nothing but the database.

    Raises:
        Refused: ``work`` refused. Nothing was written.
        FAILURES: PostgreSQL doesn't answer, or refuses. It may have been done; doing it again is safe.
    """

    async def once(connection: Connection) -> Answer:
        done = await connection.fetchval("select answer from errands_done where id = $1", id)
        if done is not None:
            return decode_answer(done)
        answer = await work(connection)
        await connection.execute(
            "insert into errands_done (id, answer, done_at) values ($1, $2, $3)", id, encode(answer), now
        )
        return answer

    return await pool.transact(once)


async def remove_old(pool: Pool, before: datetime) -> None:
    """Forget errands that were done before ``before``: nobody does them again.

    Raises:
        FAILURES: PostgreSQL doesn't answer, or refuses.
    """
    await pool.execute("delete from errands_done where done_at < $1", before)

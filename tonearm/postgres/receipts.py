"""What Discord and Stripe sent: kept before it is acknowledged, and acted on afterwards, however often that takes.

The id is the SHA-256 of the raw body: what is sent again is kept once. What acting on a receipt does must bear being
done again, as a process may die between the act and :func:`finish`; an event recorded under an id that holds the
receipt's does.
"""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from typing import Any

import msgspec

from tonearm.postgres.pool import Pool

_ADD = """
insert into webhook_receipts (id, source, body, received_at, next_at) values ($1, $2, $3, $4, $4)
on conflict (id) do nothing returning id
"""
_CLAIM = """
update webhook_receipts set attempts = attempts + 1, next_at = $2
where id in (
    select id from webhook_receipts where done_at is null and next_at <= $1 order by next_at limit $3
    for update skip locked
)
returning id, source, body, received_at, attempts
"""


class Receipt(msgspec.Struct, frozen=True):
    """A raw body as it came from ``source`` (``discord`` or ``stripe``). ``attempts`` counts the one under way."""

    id: str
    source: str
    body: bytes
    received_at: datetime
    attempts: int


def receipt_id(body: bytes) -> str:
    """The name of a body."""
    return hashlib.sha256(body).hexdigest()


async def store(pool: Pool, source: str, body: bytes, *, now: datetime, timeout: float | None = None) -> bool:
    """Keep it; ``False`` where it is kept already. Only then may it be acknowledged.

    Raises:
        FAILURES: PostgreSQL doesn't answer within ``timeout`` seconds, or refuses. It may be kept.
    """
    return await pool.fetch_row(_ADD, receipt_id(body), source, body, now, timeout=timeout) is not None


async def claim(pool: Pool, now: datetime, *, lease: timedelta, most: int = 20) -> tuple[Receipt, ...]:
    """Take receipts that nobody has acted on. Who does not finish one within ``lease`` will see it again.

    Raises:
        FAILURES: PostgreSQL doesn't answer, or refuses. Some may be taken until their lease is over.
    """
    return tuple(map(_receipt, await pool.fetch_rows(_CLAIM, now, now + lease, most)))


async def finish(pool: Pool, id: str, now: datetime) -> None:
    """It was acted on.

    Raises:
        FAILURES: PostgreSQL doesn't answer, or refuses; then it will be acted on again.
    """
    await pool.execute("update webhook_receipts set done_at = $2, error = null where id = $1", id, now)


async def fail(pool: Pool, id: str, error: str, *, retry_at: datetime) -> None:
    """It could not be acted on; try again at ``retry_at``.

    Raises:
        FAILURES: PostgreSQL doesn't answer, or refuses; then it is tried again when its lease is over.
    """
    await pool.execute(
        "update webhook_receipts set error = $2, next_at = $3 where id = $1 and done_at is null",
        id,
        error[:500],
        retry_at,
    )


async def remove_done(pool: Pool, before: datetime) -> None:
    """Delete what was acted on before ``before``.

    Raises:
        FAILURES: PostgreSQL doesn't answer, or refuses.
    """
    await pool.execute("delete from webhook_receipts where done_at < $1", before)


def _receipt(row: Any) -> Receipt:
    return Receipt(*row)

"""What the operator's own systems are told: endpoints, and deliveries that are tried until they arrive or are given up.

A delivery is written in the transaction of what it tells of, and has one id at all its attempts. No secret is kept
here: with what deliveries are signed is a setting.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec

from tonearm.postgres.pool import Connection, Pool

_COLUMNS = "id, url, types, created_at, disabled_at"
_DELIVERY = """
d.id, d.endpoint_id, e.url, d.event_id, d.type, d.guild_id, d.body, d.created_at, d.attempts, d.dead_at, d.error
"""
_ADD = """
insert into webhook_deliveries (id, endpoint_id, event_id, type, guild_id, body, created_at, next_at)
values ($1, $2, $3, $4, $5, $6, $7, $7) on conflict (endpoint_id, event_id) do nothing
"""
_CLAIM = f"""
update webhook_deliveries d set attempts = attempts + 1, next_at = $2
from webhook_endpoints e
where e.id = d.endpoint_id and d.id in (
    select id from webhook_deliveries where delivered_at is null and dead_at is null and next_at <= $1
    order by next_at limit $3 for update skip locked
)
returning {_DELIVERY}
"""  # noqa: S608 - our own words
_DEAD = f"""
select {_DELIVERY} from webhook_deliveries d join webhook_endpoints e on e.id = d.endpoint_id
where d.dead_at is not null and (d.dead_at, d.id) > ($1, $2) order by d.dead_at, d.id limit $3
"""  # noqa: S608


class Endpoint(msgspec.Struct, frozen=True):
    """Where to tell. Without ``types`` it is told everything."""

    id: str
    url: str
    types: tuple[str, ...]
    created_at: datetime
    disabled_at: datetime | None = None


class Delivery(msgspec.Struct, frozen=True):
    """What is to be told; ``body`` is JSON, sent and signed byte by byte. ``attempts`` counts the one under way."""

    id: str
    endpoint: str
    url: str
    event: str
    type: str
    guild: int | None
    body: bytes
    created_at: datetime
    attempts: int
    dead_at: datetime | None = None
    error: str | None = None


async def add_endpoint(pool: Pool, id: str, url: str, types: Sequence[str] = (), *, now: datetime) -> Endpoint:
    """Tell ``url`` too, from now on. Doing it again changes the URL and the types.

    Raises:
        FAILURES: PostgreSQL doesn't answer, or refuses.
    """
    row = await pool.fetch_row(
        f"""insert into webhook_endpoints (id, url, types, created_at) values ($1, $2, $3, $4)
        on conflict (id) do update set url = excluded.url, types = excluded.types, disabled_at = null
        returning {_COLUMNS}""",  # noqa: S608
        id,
        url,
        list(types),
        now,
    )
    return _endpoint(row)


async def fetch_endpoints(pool: Pool) -> tuple[Endpoint, ...]:
    """All endpoints, by id.

    Raises:
        FAILURES: PostgreSQL doesn't answer, or refuses.
    """
    rows = await pool.fetch_rows(f"select {_COLUMNS} from webhook_endpoints order by id")  # noqa: S608
    return tuple(map(_endpoint, rows))


async def remove_endpoint(pool: Pool, id: str) -> bool:
    """Forget an endpoint, with all that was to be told there; ``False`` where there is none.

    Raises:
        FAILURES: PostgreSQL doesn't answer, or refuses.
    """
    return await pool.fetch_row("delete from webhook_endpoints where id = $1 returning id", id) is not None


async def enqueue(pool: Pool, event: str, type: str, data: object, *, guild: int | None, now: datetime) -> None:
    """Have every endpoint that wants ``type`` told of ``event``; telling of the same event again does nothing.

    Raises:
        FAILURES: PostgreSQL doesn't answer, or refuses.
    """

    async def write(connection: Connection) -> None:
        await enqueue_in(connection, event, type, data, guild=guild, now=now)

    await pool.transact(write)


async def enqueue_in(
    connection: Connection, event: str, type: str, data: object, *, guild: int | None, now: datetime
) -> None:
    """The same, as a part of the caller's transaction.

    Raises:
        FAILURES: PostgreSQL doesn't answer, or refuses.
    """
    rows = await connection.fetch(
        "select id from webhook_endpoints where disabled_at is null and (types = '{}' or $1 = any(types))", type
    )
    for row in rows:
        id = "dlv_" + hashlib.sha256(f"{row['id']} {event}".encode()).hexdigest()[:32]
        # Guild ids are strings in JSON, as everywhere at Discord: JavaScript can't hold them as numbers.
        body = msgspec.json.encode(
            {"id": id, "type": type, "created_at": now, "guild_id": None if guild is None else str(guild), "data": data}
        )
        await connection.execute(_ADD, id, row["id"], event, type, guild, body, now)


async def claim_due(pool: Pool, now: datetime, *, lease: timedelta, most: int = 20) -> tuple[Delivery, ...]:
    """Take deliveries that are due. Who does not say within ``lease`` what became of one will see it again.

    Raises:
        FAILURES: PostgreSQL doesn't answer, or refuses. Some may be taken until their lease is over.
    """
    return tuple(map(_delivery, await pool.fetch_rows(_CLAIM, now, now + lease, most)))


async def delivered(pool: Pool, id: str, now: datetime) -> None:
    """It arrived.

    Raises:
        FAILURES: PostgreSQL doesn't answer, or refuses.
    """
    await pool.execute(
        "update webhook_deliveries set delivered_at = $2, error = null where id = $1 and delivered_at is null", id, now
    )


async def failed(pool: Pool, id: str, now: datetime, error: str, *, retry_at: datetime | None) -> None:
    """It did not arrive: try again at ``retry_at``, or never (a dead letter).

    Raises:
        FAILURES: PostgreSQL doesn't answer, or refuses.
    """
    await pool.execute(
        """update webhook_deliveries set error = $3, next_at = coalesce($4, next_at),
        dead_at = case when $4::timestamptz is null then $2::timestamptz end where id = $1 and delivered_at is null""",
        id,
        now,
        error[:500],
        retry_at,
    )


async def fetch_dead(pool: Pool, *, after: tuple[datetime, str] | None = None, most: int = 100) -> tuple[Delivery, ...]:
    """A page of the dead letters, the oldest first; ``after`` is ``dead_at`` and id of the last one seen.

    Raises:
        FAILURES: PostgreSQL doesn't answer, or refuses.
    """
    at, id = after or (datetime.fromisoformat("0001-01-02T00:00:00+00:00"), "")
    return tuple(map(_delivery, await pool.fetch_rows(_DEAD, at, id, most)))


async def revive(pool: Pool, id: str, now: datetime) -> bool:
    """Try a dead letter again, from its first attempt; ``False`` where there is none.

    Raises:
        FAILURES: PostgreSQL doesn't answer, or refuses.
    """
    row = await pool.fetch_row(
        """update webhook_deliveries set dead_at = null, attempts = 0, next_at = $2
        where id = $1 and dead_at is not null returning id""",
        id,
        now,
    )
    return row is not None


async def remove_old(pool: Pool, before: datetime) -> None:
    """Delete what was made before ``before`` and has arrived, or was given up.

    Raises:
        FAILURES: PostgreSQL doesn't answer, or refuses.
    """
    await pool.execute(
        "delete from webhook_deliveries where created_at < $1 and (delivered_at is not null or dead_at is not null)",
        before,
    )


def _endpoint(row: Any) -> Endpoint:
    return Endpoint(row["id"], row["url"], tuple(row["types"]), row["created_at"], row["disabled_at"])


def _delivery(row: Any) -> Delivery:
    return Delivery(*row)

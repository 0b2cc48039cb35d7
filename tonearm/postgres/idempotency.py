"""Requests with an Idempotency-Key: each is done once, and answered the same again."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum

import msgspec

from tonearm.postgres.pool import Connection, Pool

KEPT = timedelta(hours=24)
"""How long an answer is given again."""

BEGIN_TIMEOUT = 0.8
"""Seconds that taking a request in hand may take."""

LEASE = timedelta(seconds=10)
"""How long a request may be in hand; one whose process died may then be done again."""

_decode_headers = msgspec.json.Decoder(dict[str, str]).decode


class Standing(StrEnum):
    """How a request stands: it is ours to do, in hand elsewhere, done, or the key was used for something else."""

    NEW = "new"
    RUNNING = "running"
    DONE = "done"
    OTHER = "other"


class Kept(msgspec.Struct, frozen=True):
    """The answer that was given."""

    status: int
    headers: dict[str, str]
    body: bytes


class Begun(msgspec.Struct, frozen=True):
    """``kept`` is there where the request is done."""

    standing: Standing
    kept: Kept | None = None


def fingerprint(method: str, path: str, body: bytes) -> bytes:
    """By which a request is known to be the same."""
    return hashlib.sha256(b"\0".join((method.encode(), path.encode(), body))).digest()


async def begin(pool: Pool, key_id: str, key: str, print: bytes, *, now: datetime) -> Begun:
    """Take a request in hand, if it is :attr:`Standing.NEW`. ``key_id`` is the API key, whose keys are its own.

    Raises:
        FAILURES: PostgreSQL doesn't answer, or refuses. It may be in hand until its lease is over.
    """

    async def take(connection: Connection) -> Begun:
        row = await connection.fetchrow(
            "select fingerprint, locked_until, expires_at, status, headers, body from idempotency"
            " where key_id = $1 and key = $2",
            key_id,
            key,
        )
        if row is not None and row["expires_at"] > now:
            if row["fingerprint"] != print:
                return Begun(Standing.OTHER)
            if row["status"] is not None:
                return Begun(Standing.DONE, Kept(row["status"], _decode_headers(row["headers"]), row["body"]))
            if row["locked_until"] > now:
                return Begun(Standing.RUNNING)
        await connection.execute(
            """insert into idempotency (key_id, key, fingerprint, locked_until, expires_at) values ($1, $2, $3, $4, $5)
            on conflict (key_id, key) do update set fingerprint = excluded.fingerprint, status = null, headers = null,
            body = null, locked_until = excluded.locked_until, expires_at = excluded.expires_at""",
            key_id,
            key,
            print,
            now + LEASE,
            now + KEPT,
        )
        return Begun(Standing.NEW)

    return await pool.transact(take, timeout=BEGIN_TIMEOUT)


async def finish(pool: Pool, key_id: str, key: str, *, status: int, headers: Mapping[str, str], body: bytes) -> None:
    """Keep the answer.

    Raises:
        FAILURES: PostgreSQL doesn't answer, or refuses; then the request may be done again when its lease is over.
    """
    await pool.execute(
        "update idempotency set status = $3, headers = $4, body = $5 where key_id = $1 and key = $2",
        key_id,
        key,
        status,
        msgspec.json.encode(dict(headers)).decode(),
        body,
    )


async def abandon(pool: Pool, key_id: str, key: str) -> None:
    """The request had no effect and may be made again at once.

    Raises:
        FAILURES: PostgreSQL doesn't answer, or refuses; then it may be made again when its lease is over.
    """
    await pool.execute("delete from idempotency where key_id = $1 and key = $2 and status is null", key_id, key)


async def remove_expired(pool: Pool, now: datetime) -> None:
    """Delete what is not given again.

    Raises:
        FAILURES: PostgreSQL doesn't answer, or refuses.
    """
    await pool.execute("delete from idempotency where expires_at <= $1", now)

"""Who has had a trial: one for each guild and each payer, whoever gave it, and for good."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

from tonearm.postgres.pool import Connection, Pool
from tonearm.premium.grants import require_trial

_USED = """
select exists (select from trial_marks where mark = $1::bytea), exists (select from trial_marks where mark = $2::bytea)
"""
_TAKE = "insert into trial_marks (mark) select unnest($1::bytea[]) on conflict (mark) do nothing"


class Used(NamedTuple):
    """Whether the guild has had its trial, and whether the payer has."""

    guild: bool
    payer: bool


async def fetch_used(pool: Pool, guild: int, payer: str | None) -> Used:
    """What was used up. ``payer`` is named as in :class:`~tonearm.premium.grants.Event`.

    Raises:
        FAILURES: PostgreSQL doesn't answer, or refuses.
    """
    return Used(*await pool.fetch_row(_USED, *_marks(guild, payer)))


async def fetch_used_in(connection: Connection, guild: int, payer: str | None) -> Used:
    """The same, as the transaction of ``connection`` sees it."""
    return Used(*await connection.fetchrow(_USED, *_marks(guild, payer)))


async def take_in(connection: Connection, guild: int, payer: str | None) -> None:
    """Use up the trial of ``guild`` and of ``payer`` in the transaction of ``connection``.

    Raises:
        Refused: one of them has had it.
    """
    used = await fetch_used_in(connection, guild, payer)
    require_trial(guild_had_one=used.guild, payer_had_one=used.payer)
    await connection.execute(_TAKE, [mark for mark in _marks(guild, payer) if mark is not None])


def _marks(guild: int, payer: str | None) -> tuple[bytes, bytes | None]:
    return _mark(f"guild:{guild}"), _mark(payer) if payer else None


def _mark(whom: str) -> bytes:
    return hashlib.sha256(whom.encode()).digest()

"""Keys of the API. The key itself is shown once, when it is made; only its hash is kept."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import msgspec

from tonearm.postgres.pool import Pool

PREFIX = "tnk_live_"

TOUCH_EVERY = timedelta(minutes=1)
"""How exactly it is known when a key was last used."""

_COLUMNS = "id, hash, hint, name, scopes, guild_ids, created_at, expires_at, last_used_at, revoked_at"
_BY_HASH = f"select {_COLUMNS} from api_keys where hash = $1"  # noqa: S608 - our own words
_WITHIN = "($2::bigint[] is null or guild_ids <@ $2::bigint[])"
_PAGE = f"select {_COLUMNS} from api_keys where id > $1 and {_WITHIN} order by id limit $3"  # noqa: S608
_ONE = f"select 1 from api_keys where id = $1 and {_WITHIN}"  # noqa: S608
_ADD = f"""
insert into api_keys (id, hash, hint, name, scopes, guild_ids, created_at, expires_at)
values ($1, $2, $3, $4, $5, $6, $7, $8) returning {_COLUMNS}
"""  # noqa: S608
_REVOKE = f"update api_keys set revoked_at = coalesce(revoked_at, $2) where id = $1 returning {_COLUMNS}"  # noqa: S608


class ApiKey(msgspec.Struct, frozen=True):
    """What is known of a key. ``guilds`` is ``None`` where it is for all; ``hint`` is how the key begins and ends."""

    id: str
    hash: bytes
    hint: str
    name: str
    scopes: frozenset[str]
    guilds: frozenset[int] | None
    created_at: datetime
    expires_at: datetime | None = None
    last_used_at: datetime | None = None
    revoked_at: datetime | None = None

    def is_valid(self, now: datetime) -> bool:
        """Whether it opens anything at ``now``."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)

    def is_for(self, guild: int) -> bool:
        """Whether it is for this guild."""
        return self.guilds is None or guild in self.guilds


class NewKey(NamedTuple):
    """``secret`` is the key itself, and is to be shown once."""

    secret: str
    key: ApiKey


def hash_key(secret: str) -> bytes:
    """What is kept of a key. It is random and long, so one round of SHA-256 is enough."""
    return hashlib.sha256(secret.encode()).digest()


async def create_key(
    pool: Pool,
    name: str,
    scopes: Iterable[str],
    *,
    guilds: Iterable[int] | None = None,
    expires_at: datetime | None = None,
    now: datetime,
) -> NewKey:
    """Make a key.

    Raises:
        FAILURES: PostgreSQL doesn't answer, or refuses. It may be there, and nobody knows it.
    """
    secret = PREFIX + secrets.token_urlsafe(32)
    row = await pool.fetch_row(
        _ADD,
        "key_" + secrets.token_hex(12),
        hash_key(secret),
        f"{PREFIX}…{secret[-4:]}",
        name,
        sorted(set(scopes)),
        _guilds(guilds),
        now,
        expires_at,
    )
    return NewKey(secret, _key(row))


async def fetch_key(pool: Pool, hash: bytes, *, timeout: float | None = None) -> ApiKey | None:
    """The key; whether it is valid is another question. It is looked up by its hash, so time tells nothing of it.

    Raises:
        FAILURES: PostgreSQL doesn't answer within ``timeout`` seconds, or refuses.
    """
    row = await pool.fetch_row(_BY_HASH, hash, timeout=timeout)
    return _key(row) if row else None


async def fetch_keys(
    pool: Pool, *, within: Iterable[int] | None = None, after: str = "", most: int = 50
) -> tuple[ApiKey, ...]:
    """A page of the keys that are for none but the guilds ``within``, by id; without them, of all keys.

    ``after`` is the id of the last one seen.

    Raises:
        FAILURES: PostgreSQL doesn't answer, or refuses.
    """
    return tuple(map(_key, await pool.fetch_rows(_PAGE, after, _guilds(within), most)))


async def is_within_reach(pool: Pool, id: str, within: Iterable[int] | None) -> bool:
    """Whether the key ``id`` is there, and for none but the guilds ``within`` where these are given.

    Raises:
        FAILURES: PostgreSQL doesn't answer, or refuses.
    """
    return await pool.fetch_row(_ONE, id, _guilds(within)) is not None


async def revoke_key(pool: Pool, id: str, now: datetime) -> ApiKey | None:
    """End a key for good, if that was not done before. After it, the keyring must forget its hash.

    Returns the key, which was revoked at ``now`` or before; ``None`` where there is none.

    Raises:
        FAILURES: PostgreSQL doesn't answer, or refuses. It may be revoked.
    """
    row = await pool.fetch_row(_REVOKE, id, now)
    return _key(row) if row else None


async def touch_key(pool: Pool, key: ApiKey, now: datetime) -> None:
    """Note that it was used, unless that was noted a moment ago.

    Raises:
        FAILURES: PostgreSQL doesn't answer, or refuses.
    """
    if key.last_used_at is None or now - key.last_used_at >= TOUCH_EVERY:
        await pool.execute("update api_keys set last_used_at = greatest(last_used_at, $2) where id = $1", key.id, now)


def _guilds(guilds: Iterable[int] | None) -> list[int] | None:
    return None if guilds is None else sorted(set(guilds))


def _key(row: Any) -> ApiKey:
    values = dict(row)
    guilds = values.pop("guild_ids")
    values["scopes"] = frozenset(values["scopes"])
    return ApiKey(**values, guilds=None if guilds is None else frozenset(guilds))

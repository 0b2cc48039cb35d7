"""The keys that a key may see: those that are for none but its own guilds."""

from __future__ import annotations

from collections.abc import Iterable

from tonearm.postgres.api_keys import ApiKey
from tonearm.postgres.pool import Pool

_PAGE = """
select id, hash, hint, name, scopes, guild_ids, created_at, expires_at, last_used_at, revoked_at from api_keys
where id > $1 and ($3::bigint[] is null or guild_ids <@ $3::bigint[]) order by id limit $2
"""
_ONE = "select 1 from api_keys where id = $1 and ($2::bigint[] is null or guild_ids <@ $2::bigint[])"


async def fetch_keys_within(
    pool: Pool, guilds: Iterable[int] | None, *, after: str = "", most: int = 50
) -> tuple[ApiKey, ...]:
    """A page of the keys for some of ``guilds``, by id; ``None`` sees all. ``after`` is the id of the last one seen.

    Raises:
        FAILURES: PostgreSQL doesn't answer, or refuses.
    """
    rows = await pool.fetch_rows(_PAGE, after, most, None if guilds is None else sorted(guilds))
    found = []
    for row in rows:
        values = dict(row)
        theirs = values.pop("guild_ids")
        values["scopes"] = frozenset(values["scopes"])
        found.append(ApiKey(**values, guilds=None if theirs is None else frozenset(theirs)))
    return tuple(found)


async def is_within_reach(pool: Pool, guilds: Iterable[int] | None, id: str) -> bool:
    """Whether the key ``id`` is there and for none but ``guilds``.

    Raises:
        FAILURES: PostgreSQL doesn't answer, or refuses.
    """
    return await pool.fetch_row(_ONE, id, None if guilds is None else sorted(guilds)) is not None

"""What a guild has set, kept for good."""

from __future__ import annotations

from typing import NamedTuple

from tonearm.errors import Conflict
from tonearm.music.guild_settings import GuildSettings
from tonearm.postgres.pool import Connection, Pool

_FETCH = """
select default_volume, alone_seconds, idle_seconds, always_on, announcements, version
from guild_settings where guild_id = $1
"""
_SAVE = """
insert into guild_settings (guild_id, default_volume, alone_seconds, idle_seconds, always_on, announcements)
values ($1, $2, $3, $4, $5, $6)
on conflict (guild_id) do update set default_volume = excluded.default_volume, alone_seconds = excluded.alone_seconds,
    idle_seconds = excluded.idle_seconds, always_on = excluded.always_on, announcements = excluded.announcements,
    version = guild_settings.version + 1, updated_at = now()
"""


class VersionedSettings(NamedTuple):
    """``version`` counts the changes; 0 where nothing was ever set."""

    settings: GuildSettings
    version: int


async def fetch_guild_settings(pool: Pool, guild: int, *, timeout: float | None = None) -> GuildSettings:
    """The settings of ``guild``; the defaults if it has set nothing.

    Raises:
        FAILURES: PostgreSQL doesn't answer within ``timeout`` seconds, or refuses.
    """
    return (await fetch_versioned(pool, guild, timeout=timeout)).settings


async def fetch_versioned(pool: Pool, guild: int, *, timeout: float | None = None) -> VersionedSettings:
    """The same, with their version.

    Raises:
        FAILURES: PostgreSQL doesn't answer within ``timeout`` seconds, or refuses.
    """
    row = await pool.fetch_row(_FETCH, guild, timeout=timeout)
    if row is None:
        return VersionedSettings(GuildSettings(), 0)
    *values, version = row
    return VersionedSettings(GuildSettings(*values), version)


async def save_guild_settings(
    pool: Pool, guild: int, settings: GuildSettings, *, version: int | None = None, timeout: float | None = None
) -> None:
    """Set all settings of ``guild``. Doing it again changes nothing but the version. After it, the cache must forget.

    Raises:
        Conflict: the settings have another version than ``version``. Nothing was saved.
        FAILURES: PostgreSQL doesn't answer within ``timeout`` seconds, or refuses. It may have been saved.
    """
    s = settings
    values = (s.default_volume, s.alone_seconds, s.idle_seconds, s.always_on, s.announcements)
    if version is None:
        await pool.execute(_SAVE, guild, *values, timeout=timeout)
        return

    async def save(connection: Connection) -> None:
        row = await connection.fetchrow(_FETCH, guild)
        if (row["version"] if row else 0) != version:
            raise Conflict(f"the settings of {guild} have changed")
        await connection.execute(_SAVE, guild, *values)

    await pool.transact(save)


async def fetch_in(connection: Connection, guild: int) -> GuildSettings:
    """The settings of ``guild``, as the transaction of ``connection`` sees them."""
    row = await connection.fetchrow(_FETCH, guild)
    return GuildSettings(*tuple(row)[:-1]) if row else GuildSettings()


async def save_in(connection: Connection, guild: int, settings: GuildSettings) -> None:
    """Set all settings of ``guild`` in the transaction of ``connection``. After it, the cache must forget."""
    s = settings
    await connection.execute(
        _SAVE, guild, s.default_volume, s.alone_seconds, s.idle_seconds, s.always_on, s.announcements
    )

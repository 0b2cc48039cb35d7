"""What a guild has set, kept for good."""

from __future__ import annotations

import msgspec

from tonearm.postgres.pool import Pool


class GuildSettings(msgspec.Struct, frozen=True):
    """``default_volume``: in per cent, with which a player begins."""

    default_volume: int = 100


_FETCH = "select default_volume from guild_settings where guild_id = $1"
_SAVE = """
insert into guild_settings (guild_id, default_volume) values ($1, $2)
on conflict (guild_id) do update set default_volume = excluded.default_volume, updated_at = now()
"""


async def fetch_guild_settings(pool: Pool, guild: int, *, timeout: float | None = None) -> GuildSettings:
    """The settings of ``guild``; the defaults if it has set nothing.

    Raises:
        FAILURES: PostgreSQL doesn't answer within ``timeout`` seconds, or refuses.
    """
    row = await pool.fetch_row(_FETCH, guild, timeout=timeout)
    return GuildSettings(row["default_volume"]) if row else GuildSettings()


async def save_guild_settings(pool: Pool, guild: int, settings: GuildSettings, *, timeout: float | None = None) -> None:
    """Set all settings of ``guild``. Doing it again changes nothing.

    Raises:
        FAILURES: PostgreSQL doesn't answer within ``timeout`` seconds, or refuses. It may have been saved.
    """
    await pool.execute(_SAVE, guild, settings.default_volume, timeout=timeout)

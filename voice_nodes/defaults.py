"""What a guild has set, for its first player. A database that is away never stops the music."""

from __future__ import annotations

from tonearm.music.guild_settings import GuildSettings
from tonearm.postgres.guild_settings import fetch_guild_settings
from tonearm.postgres.pool import FAILURES, Pool
from tonearm.telemetry import LOG, context

TIMEOUT = 0.5
"""Seconds that the settings may take."""


async def default_volume(pool: Pool | None, guild: int) -> int:
    """In per cent; Tonearm's own default where no database is configured, or where it does not answer in time."""
    if pool is None:
        return GuildSettings().default_volume
    try:
        return (await fetch_guild_settings(pool, guild, timeout=TIMEOUT)).default_volume
    except FAILURES as error:
        LOG.warning("The settings of a guild are not known: %r", error, extra=context(guild=guild))
        return GuildSettings().default_volume

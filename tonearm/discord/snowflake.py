"""Discord's ids hold the time of their making (Discord's documentation, Reference, *Snowflakes*)."""

from __future__ import annotations

DISCORD_EPOCH_MS = 1_420_070_400_000


def made_ms(snowflake: int) -> int:
    """When ``snowflake`` was made, in ms since 1970."""
    return (snowflake >> 22) + DISCORD_EPOCH_MS

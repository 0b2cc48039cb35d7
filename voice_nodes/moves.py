"""Players that are asked to go on at a better server, and how many went on at another one, and why."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from tonearm.telemetry import LAVALINK_MOVES, LOG, context

MOVE_TIMEOUT = 5.0
"""Seconds that one player's move to a better server may take before the next one is looked at."""

FAILOVER = "failover"
"""Why a player that nobody asked goes on elsewhere: its server is gone."""


class Moves:
    """One shard's. ``ask`` asks the player of a guild to go."""

    def __init__(self, ask: Callable[[int], None]) -> None:
        self._ask = ask
        self._asked: dict[int, tuple[str, asyncio.Event]] = {}

    async def ask(self, guild: int, cause: str) -> None:
        """Ask, and wait until it has gone or has had the time to."""
        gone = asyncio.Event()
        self._asked[guild] = cause, gone
        try:
            self._ask(guild)
            async with asyncio.timeout(MOVE_TIMEOUT):
                await gone.wait()
        except TimeoutError:
            LOG.warning("A player was not moved in time", extra=context(guild=guild, cause=cause))
        finally:
            del self._asked[guild]

    def gone(self, guild: int, *, elsewhere: bool) -> None:
        """It goes on now; ``elsewhere`` unless the best server was the one where it played."""
        cause, gone = self._asked.get(guild, (FAILOVER, None))
        if elsewhere:
            LAVALINK_MOVES.labels(cause).inc()
        if gone is not None:
            gone.set()

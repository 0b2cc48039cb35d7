"""Waiting longer after each failure."""

from __future__ import annotations

import asyncio
import contextlib
import random


class Backoff:
    """Waits of 0.1 s, doubling up to ``most`` seconds, spread by a quarter so that many do not come at once."""

    def __init__(self, first: float = 0.1, most: float = 5.0) -> None:
        self._first = first
        self._most = most
        self._next = first

    async def wait(self, sooner: asyncio.Event | None = None) -> None:
        """Wait, and wait longer the next time; no longer than until ``sooner``, which is news of what failed."""
        delay = self._next
        self._next = min(delay * 2, self._most)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(delay * random.uniform(0.75, 1.25)):  # noqa: S311 - spreads load, guards nothing
                await (sooner or asyncio.Event()).wait()

    def reset(self) -> None:
        """Begin again with the shortest wait."""
        self._next = self._first

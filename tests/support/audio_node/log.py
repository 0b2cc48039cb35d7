"""A list that can be waited on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

Entry = TypeVar("Entry")


class Log(Generic[Entry]):
    """Entries in the order they came; `until` waits for one that is wanted."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self._news = asyncio.Event()

    def add(self, entry: Entry) -> None:
        self.entries.append(entry)
        self._news.set()

    def clear(self) -> None:
        self.entries.clear()

    async def until(self, wanted: Callable[[Entry], bool], *, start: int = 0, timeout: float = 10.0) -> Entry:
        """The first entry from `start` on that is wanted. Raises TimeoutError."""
        seen = start
        async with asyncio.timeout(timeout):
            while True:
                while seen < len(self.entries):
                    if wanted(self.entries[seen]):
                        return self.entries[seen]
                    seen += 1
                self._news.clear()
                await self._news.wait()

    async def count(self, number: int, *, timeout: float = 10.0) -> list[Entry]:
        """Wait until there are so many entries."""
        async with asyncio.timeout(timeout):
            while len(self.entries) < number:
                self._news.clear()
                await self._news.wait()
        return list(self.entries)

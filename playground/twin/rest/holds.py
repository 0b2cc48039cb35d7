"""A seam for tests: particular requests are held back, delayed or failed."""

from __future__ import annotations

import asyncio
import itertools
import re
from dataclasses import dataclass, field

from playground.twin.errors import NotPossible
from playground.twin.journal import Journal

LONGEST = 60.0
"""Seconds a request is held at most when nobody releases it."""


@dataclass(slots=True)
class Hold:
    """Requests to treat specially.

    Attributes:
        left: how many requests it still applies to; None for all.
        delay: seconds to wait first; None holds them until the release.
        status: the answer given instead of acting; None lets the request act after the wait.
    """

    id: int
    method: str
    pattern: re.Pattern[str]
    left: int | None
    delay: float | None
    status: int | None
    released: asyncio.Event = field(default_factory=asyncio.Event)
    waiting: int = 0

    def matches(self, method: str, path: str) -> bool:
        """Return whether this request is one to treat specially; the pattern fits from the path's beginning."""
        return self.method == method and self.left != 0 and self.pattern.match(path) is not None


class Holds:
    """All holds; the oldest that matches applies."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._holds: dict[int, Hold] = {}
        self._ids = itertools.count(1)

    def add(self, method: str, pattern: str, count: int | None, delay: float | None, status: int | None) -> Hold:
        """Treat the next ``count`` requests whose method is equal and whose path begins with ``pattern`` specially.

        Raises:
            NotPossible: the pattern is not a regular expression.
        """
        try:
            compiled = re.compile(pattern)
        except re.error as error:
            raise NotPossible(f"{pattern!r}: {error}") from None
        hold = Hold(next(self._ids), method.upper(), compiled, count, delay, status)
        if delay is None and status is not None:
            hold.delay = 0.0
        self._holds[hold.id] = hold
        return hold

    def release(self, hold_id: int) -> None:
        """Let the held requests go and apply the hold to no more.

        Raises:
            NotPossible: there is no such hold.
        """
        hold = self._holds.pop(hold_id, None)
        if hold is None:
            raise NotPossible(f"there is no hold {hold_id}")
        hold.released.set()

    def close(self) -> None:
        """Release everything."""
        for hold in self._holds.values():
            hold.released.set()
        self._holds.clear()

    async def pass_through(self, method: str, path: str) -> int | None:
        """Wait as long as a matching hold says; return the status to answer with, or None to go on."""
        hold = next((each for each in self._holds.values() if each.matches(method, path)), None)
        if hold is None:
            return None
        if hold.left is not None:
            hold.left -= 1
        hold.waiting += 1
        self._journal.add("rest", "request_held", {"hold": hold.id, "method": method, "path": path})
        try:
            async with asyncio.timeout(LONGEST if hold.delay is None else hold.delay):
                await hold.released.wait()
        except TimeoutError:
            pass
        finally:
            hold.waiting -= 1
        return hold.status

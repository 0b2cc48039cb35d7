"""Whose turn it is: Discord's limits for each route and for everything (Discord's documentation, *Rate Limits*)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

PER_SECOND = 50
"""Requests that Discord takes of a bot in a second; those of interactions don't count."""

KEPT = 2_000
"""Routes remembered; those that wait for nothing are forgotten first."""


class _Bucket:
    """One route of one channel or guild: one call at a time, and none before ``free_at`` (the loop's clock)."""

    __slots__ = ("free_at", "lock", "users")

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.free_at = 0.0
        self.users = 0


class Limits:
    """The limits that one client keeps. All times are in seconds of the event loop's clock."""

    def __init__(self, *, per_second: int = PER_SECOND) -> None:
        self._interval = 1 / per_second
        self._burst = 1.0 - self._interval
        self._arrival = 0.0
        self._held_until = 0.0
        self._buckets: dict[str, _Bucket] = {}

    @asynccontextmanager
    async def turn(self, name: str | None, deadline: float) -> AsyncIterator[None]:
        """Holds the turn in bucket ``name`` (``None``: no bucket).

        Raises:
            TimeoutError: its turn comes after ``deadline``.
        """
        if name is None:
            yield
            return
        bucket = self._buckets.get(name)
        if bucket is None:
            self._forget()
            bucket = self._buckets[name] = _Bucket()
        bucket.users += 1
        try:
            async with bucket.lock:
                await _until(bucket.free_at, deadline)
                yield
        finally:
            bucket.users -= 1

    async def global_turn(self, counted: bool) -> None:
        """Wait until one more request fits into Discord's limit for everything, if this one is ``counted`` in it."""
        if not counted:
            return
        now = asyncio.get_running_loop().time()
        start = max(self._arrival, now - self._burst)
        self._arrival = start + self._interval
        wait = max(start - now, self._held_until - now)
        if wait > 0:
            await asyncio.sleep(wait)

    def note(self, name: str | None, headers: Mapping[str, str]) -> None:
        """What an answer says of the bucket: with nothing remaining, the next call waits until it is filled again."""
        bucket = self._buckets.get(name) if name else None
        if bucket is None or headers.get("X-RateLimit-Remaining") != "0":
            return
        try:
            wait = float(headers.get("X-RateLimit-Reset-After", "0"))
        except ValueError:
            return
        bucket.free_at = asyncio.get_running_loop().time() + wait

    def hold(self, name: str | None, seconds: float, *, everywhere: bool) -> None:
        """Discord asked to wait: in this bucket, or ``everywhere``."""
        until = asyncio.get_running_loop().time() + seconds
        if everywhere:
            self._held_until = max(self._held_until, until)
        bucket = self._buckets.get(name) if name else None
        if bucket is not None:
            bucket.free_at = max(bucket.free_at, until)

    def _forget(self) -> None:
        if len(self._buckets) < KEPT:
            return
        now = asyncio.get_running_loop().time()
        for name in [name for name, bucket in self._buckets.items() if not bucket.users and bucket.free_at <= now]:
            del self._buckets[name]


async def _until(moment: float, deadline: float) -> None:
    now = asyncio.get_running_loop().time()
    if moment > deadline:
        raise TimeoutError
    if moment > now:
        await asyncio.sleep(moment - now)

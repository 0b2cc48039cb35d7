"""The right to act for a shard: a lease in Redis, watched by a monotonic clock here."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable

from tonearm.errors import LeaseLost
from tonearm.redis import lease
from tonearm.redis.client import FAILURES, Client, now_ms
from tonearm.telemetry import LEASE_CHANGES, LOG, context

RENEW_EVERY = 2.0
MARGIN = 1.0
"""Seconds before its end from which a lease is not acted on any more."""


class Lease:
    """A held lease.

    Redis checks the token of every write. Discord and Lavalink know no token, so :meth:`check` is called immediately
    before every call to them.
    """

    def __init__(
        self, client: Client, shard: int, owner: str, token: str, *, end: float, clock: Callable[[], float]
    ) -> None:
        self.shard = shard
        self.token = token
        self._client = client
        self._owner = owner
        self._end = end
        self._clock = clock
        self._offset_ms = 0.0

    @classmethod
    async def acquire(
        cls,
        client: Client,
        shard: int,
        owner: str,
        *,
        stop: asyncio.Event | None = None,
        clock: Callable[[], float] = time.monotonic,
        every: float = 1.0,
    ) -> Lease | None:
        """Wait until nobody holds the shard, then take it; ``None`` when ``stop`` comes first.

        Waits on while Redis is away. It is never broken off while it asks: a lease that is taken is known.
        """
        stop = stop or asyncio.Event()
        while not stop.is_set():
            asked = clock()
            try:
                token = await lease.take(client, shard, owner)
            except FAILURES as error:
                LOG.warning("Redis does not answer: %s", error, extra=context(shard=shard))
                token = None
            if token is not None:
                held = cls(client, shard, owner, token, end=asked + lease.LEASE_MS / 1000, clock=clock)
                if await held._begin():
                    return held
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(every):
                    await stop.wait()
        return None

    async def _begin(self) -> bool:
        try:
            await self._read_clock()
        except FAILURES as error:
            LOG.warning("Redis does not answer: %s", error, extra=context(shard=self.shard))
            await self.release()
            return False
        LEASE_CHANGES.labels("taken").inc()
        return True

    def held(self) -> bool:
        """Whether the shard is still ours, with a margin for what is under way."""
        return self._clock() < self._end - MARGIN

    def check(self) -> None:
        """Call it immediately before anything that Redis cannot fence.

        Raises:
            LeaseLost: the lease has run out, or is about to.
        """
        if not self.held():
            raise LeaseLost(f"the lease of shard {self.shard} has run out")

    def now_ms(self) -> int:
        """Redis' clock, as of the last renewal."""
        return int(self._clock() * 1000 + self._offset_ms)

    async def keep(self) -> None:
        """Renew until the lease is another's.

        Raises:
            LeaseLost: it is.
        """
        while True:
            await asyncio.sleep(RENEW_EVERY)
            asked = self._clock()
            try:
                ours = await lease.renew(self._client, self.shard, self.token)
                await self._read_clock()
            except FAILURES as error:
                LOG.warning("Redis does not answer: %s", error, extra=context(shard=self.shard))
                ours = True
                asked = self._end - lease.LEASE_MS / 1000
            if not ours:
                LEASE_CHANGES.labels("lost").inc()
                raise LeaseLost(f"shard {self.shard} has another owner")
            self._end = asked + lease.LEASE_MS / 1000
            if not self.held():
                LEASE_CHANGES.labels("lost").inc()
                self.check()

    async def release(self) -> None:
        """Give the shard to whoever wants it."""
        self._end = self._clock()
        try:
            await lease.release(self._client, self.shard, self.token)
            LEASE_CHANGES.labels("given back").inc()
        except FAILURES:
            LOG.info("The lease runs out by itself", extra=context(shard=self.shard))

    async def _read_clock(self) -> None:
        before = self._clock()
        theirs = await now_ms(self._client)
        self._offset_ms = theirs - (before + self._clock()) * 500

"""The right to act for a shard: a lease in Redis, watched by a monotonic clock here."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

from tonearm.errors import LeaseLost
from tonearm.redis import keys, lease
from tonearm.redis.client import FAILURES, Client, now_ms
from tonearm.telemetry import CLOCK_JUMPS, LEASE_CHANGES, LOG, TAKEOVER_SECONDS, context

T = TypeVar("T")

RENEW_EVERY = 2.0
RETAKE_EVERY = 0.25
"""Seconds between two attempts to get back a lease that ran out."""

TICK = 0.2
"""Seconds between two looks at the clock."""
JUMP = 1.0
"""Seconds beyond a tick after which this process is said to have stood still: another one may have taken over."""

MARGIN = 1.0
"""Seconds before its end from which a lease is not acted on any more."""


for _change in ("taken", "taken again", "lost", "given back"):  # how many there were is seen from the first one on
    LEASE_CHANGES.labels(_change)

_noticed_at = -math.inf
"""When a lease of this process last noticed that it stood still: within a tick all others notice the same."""


def uptime() -> float:
    """Seconds that have passed, in any state of this process and of the machine: also while it was suspended."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def _count_jump(now: float) -> None:
    """Once for the process, however many shards it has."""
    global _noticed_at
    if now - _noticed_at > JUMP:
        CLOCK_JUMPS.inc()
    _noticed_at = now


class Tenure(Protocol):
    """A lease as those see it who call Discord and Lavalink."""

    def check(self) -> None:
        """See :meth:`Lease.check`."""

    def remaining(self) -> float:
        """See :meth:`Lease.remaining`."""

    async def until_held(self) -> None:
        """See :meth:`Lease.until_held`."""


class Lease:
    """A held lease.

    Redis checks the token of every write. Discord and Lavalink know no token, so :meth:`check` is called immediately
    before every call to them. A lease that ran out because Redis was away is mostly had again, so nobody gives the
    shard up for it: what may be done again waits and is (:meth:`persist`), and who writes waits (:meth:`until_held`).
    ``token`` changes when the lease is taken again, so it is read at each write.

    A process can be stopped and continued, with its sockets full of what it meant to say. ``on_jump`` is called first
    of all when it stood still for more than a second, before anything is checked or sent: it has to drop the sockets.
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
        self._sign_ms: int | None = None
        self.on_jump: Callable[[], None] = lambda: None
        self._seen: float | None = None
        self._jumped = asyncio.Event()
        self._kept = False
        self._news = asyncio.Event()
        self._ticking: asyncio.TimerHandle | None = None

    @classmethod
    async def attempt(
        cls, client: Client, shard: int, owner: str, *, clock: Callable[[], float] = uptime
    ) -> Lease | None:
        """Take the shard if nobody holds it. To be awaited to its end: a lease that is taken is then known.

        Raises:
            RedisError: Redis does not answer. A lease that it gave nevertheless runs out by itself.
        """
        asked = clock()
        token = await lease.take(client, shard, owner)
        if token is None:
            return None
        held = cls(client, shard, owner, token, end=asked + lease.LEASE_MS / 1000, clock=clock)
        return held if await held._begin() else None

    async def _begin(self) -> bool:
        try:
            self._sign_ms = await lease.fetch_sign(self._client, self.shard)
            await self._read_clock()
        except FAILURES as error:
            LOG.warning("Redis does not answer: %s", error, extra=context(shard=self.shard))
            await self.release()
            return False
        LEASE_CHANGES.labels("taken").inc()
        return True

    def held(self) -> bool:
        """Whether the shard is still ours, with a margin for what is under way."""
        self._notice_jump()
        return self._clock() < self._end - MARGIN

    def remaining(self) -> float:
        """Seconds for which the shard may still be acted for, if the lease is not renewed; 0 when it is over."""
        self._notice_jump()
        return max(0.0, self._end - MARGIN - self._clock())

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

    def taken_over(self) -> None:
        """The shard is ready again: count for how long it was not, unless nobody had it of late."""
        if self._sign_ms is not None:
            TAKEOVER_SECONDS.observe(max(0, self.now_ms() - self._sign_ms) / 1000)

    async def keep(self) -> None:
        """Renew until the lease is another's.

        While Redis is away the lease can run out: then nothing is to be done for the shard, and everybody waits. When
        Redis is back, and nobody else has had the shard, it is taken again: the token is a new one from then on.

        Raises:
            LeaseLost: it is, or this process stood still for too long, or Redis has lost what it knew.
        """
        self._tick()
        self._kept = True
        try:
            while True:
                await self._pause()
                await self._renew()
        finally:
            self._kept = False
            self._news.set()
            if self._ticking is not None:
                self._ticking.cancel()
            self._ticking = self._seen = None

    async def _renew(self) -> None:
        asked = self._clock()
        try:
            if not await lease.renew(self._client, self.shard, self.token):
                retaking = asyncio.create_task(self._retake())
                try:
                    await asyncio.shield(retaking)
                finally:
                    # Not to be cut short: it is given back with the token that it gets.
                    await asyncio.wait([retaking])
            await self._read_clock()
        except FAILURES as error:
            LOG.warning("Redis does not answer: %s", error, extra=context(shard=self.shard))
            return
        self._end = asked + lease.LEASE_MS / 1000
        self._news.set()

    async def _retake(self) -> None:
        token = await lease.retake(self._client, self.shard, self._owner, self.token)
        if token is None:
            LEASE_CHANGES.labels("lost").inc()
            raise LeaseLost(f"shard {self.shard} has another owner")
        self.token = token
        LEASE_CHANGES.labels("taken again").inc()
        LOG.info("Shard taken again", extra=context(shard=self.shard, token=token))

    async def until_held(self) -> None:
        """Wait while the lease has run out and Redis is away, as long as that takes.

        Raises:
            LeaseLost: the shard is another's, or nobody keeps the lease.
        """
        while not self.held():
            if not self._kept:
                self.check()
            self._news.clear()
            await self._news.wait()

    async def persist(self, work: Callable[[], Awaitable[T]]) -> T:
        """What ``work`` returns. It calls Discord and Lavalink, and may be done again: so it is, once the lease is held
        again, where it ran out in the midst of it.

        Raises:
            LeaseLost: the shard is another's.
        """
        while True:
            await self.until_held()
            try:
                return await work()
            except LeaseLost:
                if self.held():  # It was not the clock that said so, but Redis.
                    raise

    async def _pause(self) -> None:
        """Wait for the next renewal; it is due at once when this process stood still.

        Raises:
            LeaseLost: it stood still for too long.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(RENEW_EVERY if self.held() else RETAKE_EVERY):
                await self._jumped.wait()
        if self._jumped.is_set():
            self._jumped.clear()
            if not self.held():
                LEASE_CHANGES.labels("lost").inc()
                self.check()

    def _tick(self) -> None:
        self._ticking = asyncio.get_running_loop().call_later(TICK, self._tick)
        self._notice_jump()
        self._seen = self._clock()

    def _notice_jump(self) -> None:
        now = self._clock()
        if self._seen is None or now - self._seen <= TICK + JUMP:
            return
        still, self._seen = now - self._seen, now
        _count_jump(now)
        LOG.warning("The process stood still for %.1f s", still, extra=context(shard=self.shard))
        self._jumped.set()
        self.on_jump()

    async def release(self) -> None:
        """Give the shard to whoever wants it."""
        self._end = self._clock()
        try:
            ours = await lease.release(self._client, self.shard, self.token)
        except FAILURES:
            LOG.info("The lease runs out by itself", extra=context(shard=self.shard))
            return
        LEASE_CHANGES.labels("given back" if ours else "lost").inc()
        if not ours:
            LOG.warning("The lease was lost before it was given back", extra=context(shard=self.shard))

    async def _read_clock(self) -> None:
        before = self._clock()
        theirs = await now_ms(self._client, keys.lease(self.shard))
        self._offset_ms = theirs - (before + self._clock()) * 500

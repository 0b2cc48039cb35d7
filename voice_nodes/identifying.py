"""Whose turn it is to identify with Discord, among all processes, and whether enough session starts are left."""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Awaitable, Callable

from tonearm.backoff import Backoff
from tonearm.discord.rest import RestClient
from tonearm.errors import DiscordAway, DiscordError
from tonearm.redis import identify
from tonearm.redis.client import FAILURES, Client, now_ms
from tonearm.telemetry import LOG, SESSION_STARTS_LEFT, context

SPARED = 50
"""Session starts that are left untouched, for whoever has to find out what used up the others."""

LATE = 0.4
"""Seconds after which a grant is too old to be used: the next one of its bucket may be near."""

LOOK_AGAIN = 60.0
"""Seconds between two questions whether there are session starts again."""

PATIENCE = 20.0
"""Seconds that a turn is waited for with a connection in hand, well within the 60 s that discord.py gives it."""


class Turns:
    """One shard's turns to identify.

    A turn is taken when the connection is there, as it has to be used at once, but it may be far away: one bucket of
    sixteen shards takes a minute and a half. So it is waited for first without a connection (:meth:`come_near`).
    ``check`` is called last of all; what it raises is raised.
    """

    def __init__(
        self,
        redis: Client,
        rest: RestClient,
        shard: int,
        *,
        check: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        distance_ms: int = identify.DISTANCE_MS,
    ) -> None:
        self._redis = redis
        self._rest = rest
        self._shard = shard
        self._check = check
        self._clock = clock
        self._sleep = sleep
        self._distance_ms = distance_ms

    async def come_near(self) -> None:
        """Return when enough session starts are left and nobody has the turn. Waits while Redis or Discord are away."""
        while await self._patiently(self._come_nearer):
            pass

    async def _come_nearer(self) -> bool:
        """Wait for as long as is known; ``False`` when there was nothing to wait for."""
        wait = await identify.fetch_wait(self._redis, await self._bucket())
        if wait:
            await self._sleep(wait)
        return wait > 0

    async def take(self) -> None:
        """Return when the shard may identify, which it has to do at once.

        Raises:
            DiscordAway: not within :data:`PATIENCE`.
        """
        try:
            async with asyncio.timeout(PATIENCE):
                while not await self._patiently(self._try):
                    pass
        except TimeoutError:
            raise DiscordAway(f"no turn to identify within {PATIENCE:g} s") from None

    async def _try(self) -> bool:
        bucket = await self._bucket()
        asked = self._clock()
        wait = await identify.ask(self._redis, bucket, distance_ms=self._distance_ms)
        if wait:
            await self._sleep(wait)
            return False
        await _count(self._redis)
        if self._clock() - asked > LATE * self._distance_ms / identify.DISTANCE_MS:
            return False
        self._check()
        return True

    async def _bucket(self) -> int:
        """Which bucket the shard is of, once enough session starts are left."""
        while (limits := await self._limits()).remaining < SPARED:
            await self._sleep(await self._too_few(limits))
        return self._shard % limits.max_concurrency

    async def _limits(self) -> identify.Limits:
        limits = await identify.fetch_limits(self._redis)
        if limits is None:
            answer = await self._rest.fetch_gateway_bot()
            limits = await identify.save_limits(self._redis, answer["session_start_limit"])
        _told.append(limits)
        return limits

    async def _too_few(self, limits: identify.Limits) -> float:
        """Seconds until it is worth a look whether there are more."""
        seconds = max(1.0, (limits.reset_ms - await now_ms(self._redis)) / 1000)
        LOG.error(
            "Only %d session starts are left for %d s: the shard does not identify before",
            limits.remaining,
            seconds,
            extra=context(shard=self._shard),
        )
        return min(seconds, LOOK_AGAIN)

    async def _patiently(self, call: Callable[[], Awaitable[bool]]) -> bool:
        backoff = Backoff()
        while True:
            try:
                return await call()
            except (*FAILURES, DiscordAway, DiscordError) as error:
                LOG.warning("The turn to identify is not known: %r", error, extra=context(shard=self._shard))
                await backoff.wait()


_told: deque[identify.Limits] = deque(maxlen=1)


def _left() -> float:
    """As this process was last told; NaN where it was not, or where the day has begun anew since."""
    return _told[0].remaining if _told and time.time() * 1000 < _told[0].reset_ms else math.nan


SESSION_STARTS_LEFT.set_function(_left)


async def _count(redis: Client) -> None:
    """Not worth a turn: it is a guess until Discord is asked again."""
    try:
        async with asyncio.timeout(LATE / 2):
            await identify.count_start(redis)
    except FAILURES as error:
        LOG.info("A session start was not counted: %r", error)

"""What the operations of the API work with; made once a process, connected when it is first needed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime
from typing import TYPE_CHECKING

from interactions.memory import Memory
from interactions.replies import ReplyPath
from tonearm.aws.opening import make_store
from tonearm.cache import TermsCache
from tonearm.errors import RedisAway
from tonearm.keyring import Keyring
from tonearm.postgres.pools import Pools, make_pools
from tonearm.premium.plans import PLANS, Plan, PlanId
from tonearm.redis.client import FAILURES, HOT_TIMEOUT, Client
from tonearm.settings import Settings
from tonearm.stripe import sells_by_card

if TYPE_CHECKING:
    from tonearm.stripe.sessions import StripeSessions


@asynccontextmanager
async def asking_redis(seconds: float = HOT_TIMEOUT) -> AsyncIterator[None]:
    """Gives up after ``seconds``.

    Raises:
        RedisAway: Redis is down, hanging or refusing.
    """
    try:
        async with asyncio.timeout(seconds):
            yield
    except FAILURES as error:
        raise RedisAway(repr(error)) from error


class Parts:
    """The stores and the clock. ``redis`` and ``pools`` that are given stay the caller's to close.

    ``stream_seconds`` is how long a stream of events lasts at most; 0 where none can be (501).
    """

    def __init__(
        self,
        settings: Settings,
        *,
        redis: Client,
        pools: Pools | None,
        memory: Memory,
        replies: ReplyPath,
        clock: Callable[[], datetime],
        stream_seconds: float,
    ) -> None:
        self.settings = settings
        self.redis = redis
        self.memory = memory
        self.replies = replies
        self.clock = clock
        self.stream_seconds = stream_seconds
        self.pools = pools if pools is not None else make_pools(settings)
        # Who can't stream freezes between requests, and would not hear of a revoke.
        self.keyring = Keyring(redis, self.pools.write, clock=clock, local=stream_seconds > 0)
        self._pools_given = pools is not None
        self._started = False
        self.stripe: StripeSessions | None = None
        """Where somebody pays by card; ``None`` where Stripe is not set up, or before :meth:`start`."""
        self._terms: TermsCache | None = None
        self._starting = asyncio.Lock()
        self._open = AsyncExitStack()
        self.store = make_store(settings)
        """The bucket; ``None`` where none is set."""
        if self.store is not None:
            self._open.push_async_exit(self.store)

    @property
    def base_plan(self) -> Plan:
        """What a guild has without any grant."""
        return PLANS[PlanId(self.settings.default_plan)]

    async def start(self) -> None:
        """Make the pools ready, where that was not done, and what sells. Nothing is connected yet."""
        if self._started:
            return
        async with self._starting:
            if not self._started:
                await self._open_all()
                self._started = True

    async def _open_all(self) -> None:
        if not self._pools_given:
            for pool in dict.fromkeys(self.pools):
                await self._open.enter_async_context(pool)
        if sells_by_card(self.settings):
            from tonearm.stripe.sessions import open_sessions  # slow to import, so only where it is used

            self.stripe = await self._open.enter_async_context(open_sessions(self.settings))

    async def close(self) -> None:
        """Close what was opened here."""
        await self._open.aclose()

    async def forget(self, guild: int) -> None:
        """The plan or the settings of ``guild`` were changed: every process asks again. Never raises."""
        if self._terms is None:
            self._terms = TermsCache(self.redis, None, shard_count=self.settings.shard_count, local=False)
        await self._terms.forget(guild)

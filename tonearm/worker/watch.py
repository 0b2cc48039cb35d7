"""The watch: every worker looks at both stores, so that what waits there is seen from outside.

The cost does not depend on the number of guilds: some commands for each shard, in one round trip, and counts by
indexes. All workers see the same; a query takes the highest.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from tonearm.postgres import figures as postgres
from tonearm.postgres.pool import Pool
from tonearm.premium.plans import PlanId
from tonearm.premium.states import State
from tonearm.redis import figures as redis
from tonearm.redis.client import Client
from tonearm.telemetry import (
    BACKLOG,
    DEAD_LETTERS,
    DELIVERIES_DEAD,
    DELIVERIES_WAITING,
    OLDEST_JOB,
    OUTBOX,
    OUTBOX_OLDEST,
    POSTGRES_CONNECTIONS,
    POSTGRES_SIZE,
    POSTGRES_UP,
    RECEIPT_OLDEST,
    RECEIPTS_WAITING,
    REDIS_MEMORY,
    REDIS_UP,
    SHARDS,
    SUBSCRIPTIONS,
    WATCHED,
)
from tonearm.worker.rounds import Round, run_rounds

EVERY = 10.0
"""Seconds between two looks."""

TIMEOUT = 3.0
"""Seconds in which a store has to answer, or it is said to be down."""

UNKNOWN = math.nan


class Watch:
    """Looks at both stores, each for itself, and sets the gauges. ``clock`` tells the time in seconds since 1970."""

    def __init__(
        self,
        client: Client,
        pool: Pool,
        shard_count: int,
        *,
        timeout: float = TIMEOUT,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._client = client
        self._pool = pool
        self._shard_count = shard_count
        self._timeout = timeout
        self._clock = clock
        _show_redis(None)
        _show_postgres(None)
        REDIS_UP.set(UNKNOWN)
        POSTGRES_UP.set(UNKNOWN)

    async def look(self) -> None:
        """Look once. What is not known now is :data:`UNKNOWN`, not what it was.

        Raises:
            FAILURES: a store doesn't answer; what the other says is told.
        """
        looks = await asyncio.gather(self._look_at_redis(), self._look_at_postgres(), return_exceptions=True)
        for failure in looks:
            if failure is not None:
                raise failure
        WATCHED.set(self._clock())

    async def _look_at_redis(self) -> None:
        try:
            async with asyncio.timeout(self._timeout):
                seen = await redis.fetch_figures(self._client, self._shard_count)
        except Exception:
            _show_redis(None)
            raise
        _show_redis(seen)

    async def _look_at_postgres(self) -> None:
        try:
            async with asyncio.timeout(self._timeout):
                seen = await postgres.fetch_figures(self._pool, timeout=self._timeout)
        except Exception:
            _show_postgres(None)
            raise
        _show_postgres(seen)


def _show_redis(seen: redis.Figures | None) -> None:
    REDIS_UP.set(seen is not None)
    SHARDS.labels("owned").set(seen.owned if seen else UNKNOWN)
    SHARDS.labels("ownerless").set(seen.ownerless if seen else UNKNOWN)
    BACKLOG.set(seen.backlog if seen else UNKNOWN)
    OLDEST_JOB.set(seen.oldest_job_ms / 1000 if seen else UNKNOWN)
    DEAD_LETTERS.set(seen.dead if seen else UNKNOWN)
    OUTBOX.set(seen.owed if seen else UNKNOWN)
    OUTBOX_OLDEST.set(seen.oldest_owed_ms / 1000 if seen else UNKNOWN)
    REDIS_MEMORY.set(seen.memory if seen else UNKNOWN)


def _show_postgres(seen: postgres.Figures | None) -> None:
    POSTGRES_UP.set(seen is not None)
    POSTGRES_CONNECTIONS.set(seen.connections if seen else UNKNOWN)
    POSTGRES_SIZE.set(seen.size if seen else UNKNOWN)
    RECEIPTS_WAITING.set(seen.receipts if seen else UNKNOWN)
    RECEIPT_OLDEST.set(seen.oldest_receipt if seen else UNKNOWN)
    DELIVERIES_WAITING.set(seen.deliveries if seen else UNKNOWN)
    DELIVERIES_DEAD.set(seen.dead_deliveries if seen else UNKNOWN)
    for plan in PlanId:
        for state in State:
            if plan is not PlanId.FREE and state is not State.NONE:
                SUBSCRIPTIONS.labels(plan, state).set(seen.subscriptions.get((plan, state), 0) if seen else UNKNOWN)


@asynccontextmanager
async def watching(client: Client, owner: str, watch: Watch) -> AsyncIterator[None]:
    """Look again and again, also while Redis is away and nothing else can begin."""
    watch_round = Round("watch", EVERY, watch.look, timeout=2 * TIMEOUT, shared=True)
    task = asyncio.create_task(run_rounds(client, owner, (watch_round,)), name="watch")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])

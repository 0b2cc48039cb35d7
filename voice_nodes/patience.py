"""Waiting for what may be away."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from tonearm.backoff import Backoff
from tonearm.redis.client import FAILURES, is_for_good
from tonearm.telemetry import LOG, context
from voice_nodes.lease import Lease

T = TypeVar("T")

SAY_EVERY = 30.0
"""Seconds after which it is said, again and again, what is waited for."""


async def complaining(event: asyncio.Event, what: str, shard: int) -> None:
    """Wait for ``event``. Who lets us wait raises nothing, so it is complained of here."""
    while not event.is_set():
        try:
            async with asyncio.timeout(SAY_EVERY):
                await event.wait()
        except TimeoutError:
            LOG.warning("Still waiting for %s", what, extra=context(shard=shard))


async def patiently(call: Callable[[], Awaitable[T]], lease: Lease) -> T:
    """What ``call`` returns, which is made again and again while Redis is away and the shard is ours.

    Raises:
        LeaseLost: the shard is another's.
        Refusal: Redis is there and refuses, and would refuse it again.
    """
    backoff = Backoff()
    while True:
        await lease.until_held()
        try:
            return await call()
        except FAILURES as error:
            if is_for_good(error):
                raise
            LOG.warning("Redis does not answer: %r", error, extra=context(shard=lease.shard))
        await backoff.wait()

"""Work that comes round again and again: every round by one of the workers, whoever is first."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable

import msgspec

from tonearm.errors import TonearmError
from tonearm.postgres.pool import FAILURES as DATABASE_FAILURES
from tonearm.redis.client import FAILURES, Client
from tonearm.telemetry import LOG, ROUND_SUCCESS, ROUNDS, context

SPREAD = 0.1
"""By which part of its length a wait is longer or shorter."""


class Round(msgspec.Struct, frozen=True):
    """``work`` is done every ``every`` seconds and may take ``timeout`` seconds.

    ``shared``: by each worker, because it takes what nobody else has; else by one of them each time. Doing it twice
    must do no harm, as who has a turn may be late.
    """

    name: str
    every: float
    work: Callable[[], Awaitable[object]]
    timeout: float = 30.0
    shared: bool = False


async def run_rounds(redis: Client, owner: str, rounds: tuple[Round, ...]) -> None:
    """Do all of them until cancelled, each in a task of its own."""
    async with asyncio.TaskGroup() as group:
        for each in rounds:
            group.create_task(_run(redis, owner, each), name=f"round {each.name}")


async def _run(redis: Client, owner: str, each: Round) -> None:
    while True:
        await do_round(redis, owner, each)
        await asyncio.sleep(each.every * random.uniform(1 - SPREAD, 1 + SPREAD))  # noqa: S311 - spreads load


async def do_round(redis: Client, owner: str, each: Round) -> bool:
    """Do it once, if it is our turn; what is away is met again at the next one. Whether it was done."""
    try:
        if not each.shared and not await _is_ours(redis, owner, each):
            return False
        async with asyncio.timeout(each.timeout):
            await each.work()
    except (*DATABASE_FAILURES, *FAILURES, TonearmError) as error:
        LOG.warning("A round failed: %r", error, extra=context(round=each.name))
        ROUNDS.labels(each.name, "failed").inc()
        return False
    except Exception:
        LOG.exception("A round failed", extra=context(round=each.name))
        ROUNDS.labels(each.name, "failed").inc()
        return False
    ROUNDS.labels(each.name, "done").inc()
    ROUND_SUCCESS.labels(each.name).set(time.time())
    return True


async def _is_ours(redis: Client, owner: str, each: Round) -> bool:
    """The turn is taken until shortly before the next one."""
    life_ms = max(1, int(each.every * 1000 * (1 - 2 * SPREAD)))
    return bool(await redis.set(f"{{round:{each.name}}}", owner, nx=True, px=life_ms))

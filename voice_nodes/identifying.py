"""Whose turn it is to identify with Discord, among all processes, and whether enough session starts are left."""

from __future__ import annotations

import asyncio
import time
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


async def wait_for_turn(
    redis: Client,
    rest: RestClient,
    shard: int,
    *,
    check: Callable[[], None],
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    distance_ms: int = identify.DISTANCE_MS,
) -> None:
    """Return when ``shard`` may identify, which it has to do at once.

    ``check`` is called last of all; what it raises is raised. Waits while Redis or Discord are away.
    """
    backoff = Backoff()
    while True:
        try:
            limits = await _limits(redis, rest)
            if limits.remaining < SPARED:
                await sleep(await _too_few(redis, limits, shard))
                continue
            asked = clock()
            wait = await identify.ask(redis, shard % limits.max_concurrency, distance_ms=distance_ms)
            if wait:
                await sleep(wait)
                continue
            await _count(redis)
            if clock() - asked <= LATE * distance_ms / identify.DISTANCE_MS:
                check()
                return
        except (*FAILURES, DiscordAway, DiscordError) as error:
            LOG.warning("The turn to identify is not known: %r", error, extra=context(shard=shard))
            await backoff.wait()


async def _limits(redis: Client, rest: RestClient) -> identify.Limits:
    limits = await identify.fetch_limits(redis)
    if limits is None:
        answer = await rest.fetch_gateway_bot()
        limits = await identify.save_limits(redis, answer["session_start_limit"])
    SESSION_STARTS_LEFT.set(limits.remaining)
    return limits


async def _too_few(redis: Client, limits: identify.Limits, shard: int) -> float:
    """Seconds until it is worth a look whether there are more."""
    seconds = max(1.0, (limits.reset_ms - await now_ms(redis)) / 1000)
    LOG.error(
        "Only %d session starts are left for %d s: the shard does not identify before",
        limits.remaining,
        seconds,
        extra=context(shard=shard),
    )
    return min(seconds, LOOK_AGAIN)


async def _count(redis: Client) -> None:
    """Not worth a turn: it is a guess until Discord is asked again."""
    try:
        async with asyncio.timeout(LATE / 2):
            await identify.count_start(redis)
    except FAILURES as error:
        LOG.info("A session start was not counted: %r", error)

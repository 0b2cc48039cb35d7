"""``tonearm voice-node``: plays the music: owns shards, drives Lavalink."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import math
import os
import signal
import socket
from collections.abc import AsyncIterator, Iterable
from typing import Any

from tonearm import health
from tonearm.backoff import Backoff
from tonearm.cache import TermsCache
from tonearm.discord.rest import RestClient
from tonearm.errors import SettingsError, StartFailed
from tonearm.faults import keeping_faults
from tonearm.postgres.pool import Pool
from tonearm.postgres.pools import open_pools
from tonearm.premium.plans import PlanId
from tonearm.redis.client import FAILURES, connect
from tonearm.redis.keys import shard_of
from tonearm.redis.shards import agree_on_shard_count
from tonearm.rotation import rotating
from tonearm.settings import Settings, load
from tonearm.telemetry import GATEWAY_LATENCY, LISTENERS, LOG, PLAYERS, announce_ready, exposing, set_up_logging, traces
from voice_nodes import gateway
from voice_nodes.intake import BLOCK_MS
from voice_nodes.membership import Membership
from voice_nodes.node import Node
from voice_nodes.shard import Shard

NEEDED = ("discord_bot_token", "redis_url", "lavalink_nodes")


def main(argv: list[str]) -> int:
    """Run until SIGTERM or SIGINT. The exit code is 0 after a stop.

    Raises:
        SettingsError: a setting is missing or wrong, or is refused by Discord, Redis or Lavalink.
        StartFailed: the port is taken.
    """
    parser = argparse.ArgumentParser(
        prog="tonearm voice-node", description="Plays the music: owns shards, drives Lavalink."
    )
    parser.parse_args(argv)
    settings = load(NEEDED)
    set_up_logging(settings.log_format)
    exposing.begin("voice-node")
    gateway.point_at(settings.discord_api_url, settings.discord_gateway_url)
    try:
        with traces.exporting(settings.traces, "voice-node"):
            asyncio.run(run(settings))
    except* SettingsError as group:
        raise _first(group) from None
    except* OSError as group:
        raise StartFailed(f"the port {settings.port} can't be listened on: {_first(group)}") from None
    return 0


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


async def run(settings: Settings) -> None:
    """Own whatever shards are free, until SIGTERM or SIGINT."""
    name = f"{socket.gethostname()}-{os.getpid()}"
    redis = connect(settings.redis_url, timeout=2.0)
    # XREADGROUP blocks for BLOCK_MS, so its socket must be allowed to be silent for longer.
    intake = connect(settings.redis_url, timeout=BLOCK_MS / 1000 + 2)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stop.set)
    async with (
        RestClient(settings.discord_api_url, bot_token=settings.discord_bot_token) as rest,
        _pool(settings) as pool,
        redis,
        intake,
        keeping_faults(redis, "voice-node"),
    ):
        membership = Membership(redis, name, settings.shard_count, settle=settings.rebalance_after)
        base = PlanId(settings.default_plan)
        terms = TermsCache(redis, pool, shard_count=settings.shard_count, base=base)
        node = Node(
            name=name, settings=settings, redis=redis, intake=intake, rest=rest, membership=membership, terms=terms
        )
        shards = [Shard(number, node) for number in range(settings.shard_count)]
        _measure(shards)
        async with health.serve(settings.host, settings.port, ready=lambda: _ready(membership, shards)) as url:
            if not await _agree(node, stop):
                return
            try:
                terms.on_change = lambda guild: _terms_changed(shards, guild)
                await _belong(membership, shards, terms, stop, url)
            finally:
                await membership.go()


def _measure(shards: list[Shard]) -> None:
    """Have looked at, at each scrape, what nothing counts as it happens."""
    PLAYERS.set_function(lambda: sum(shard.playing for shard in shards))
    LISTENERS.set_function(lambda: sum(shard.listeners for shard in shards))
    GATEWAY_LATENCY.set_function(lambda: _worst(shard.latency for shard in shards))


def _worst(latencies: Iterable[float]) -> float:
    """The highest that is known; NaN without any."""
    return max(filter(math.isfinite, latencies), default=math.nan)


@contextlib.asynccontextmanager
async def _pool(settings: Settings) -> AsyncIterator[Pool | None]:
    """Connections to the database, if one is configured; it need not be up."""
    if not settings.database_url:
        yield None
        return
    async with open_pools(settings) as pools, rotating(settings):
        yield pools.write


def _terms_changed(shards: list[Shard], guild: int | None) -> None:
    for shard in shards if guild is None else [shards[shard_of(guild, len(shards))]]:
        shard.terms_changed(guild)


async def _belong(
    membership: Membership, shards: list[Shard], terms: TermsCache, stop: asyncio.Event, url: str
) -> None:
    """Be one of the voice nodes until ``stop``. Who leaves says so first, and then gives shard by shard back."""
    async with asyncio.TaskGroup() as tasks:
        owning = [tasks.create_task(shard.run()) for shard in shards]
        helpers = [
            tasks.create_task(membership.run(lambda number: shards[number].hand_over())),
            tasks.create_task(_announce(membership, shards, url)),
            tasks.create_task(terms.listen()),
        ]
        stopping = tasks.create_task(stop.wait())
        await asyncio.wait([stopping, *owning], return_when=asyncio.FIRST_COMPLETED)
        LOG.info("Leaving")
        stopping.cancel()
        await membership.leave()
        for shard in shards:
            shard.stop()
        await asyncio.wait(owning)
        for helper in helpers:
            helper.cancel()


def _ready(membership: Membership, shards: list[Shard]) -> bool:
    """Whether this node stands by, and plays for all the shards that it holds."""
    return membership.standing_by() and all(shards[number].ready.is_set() for number in membership.held)


async def _announce(membership: Membership, shards: list[Shard], url: str) -> None:
    while not _ready(membership, shards):
        starting = [shards[number].ready for number in membership.held if not shards[number].ready.is_set()]
        waiting: list[asyncio.Task[Any]] = [asyncio.create_task(event.wait()) for event in starting]
        waiting.append(asyncio.create_task(membership.wait_look()))
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waiting:
                wait.cancel()
    announce_ready(url=url)


async def _agree(node: Node, stop: asyncio.Event) -> bool:
    """Wait for Redis, and see that the number of shards is the one that everybody uses; ``False`` at a stop."""
    backoff = Backoff()
    while not stop.is_set():
        try:
            await agree_on_shard_count(node.redis, node.settings.shard_count)
            return True
        except FAILURES as error:
            LOG.warning("Redis does not answer: %r", error)
        await backoff.wait()
    return False

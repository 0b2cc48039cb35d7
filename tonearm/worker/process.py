"""``tonearm worker``: does what needs only the database, and what has a clock or no caller."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import socket
from collections.abc import Callable
from contextlib import nullcontext
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import aiohttp

from tonearm import health
from tonearm.aws.opening import make_store
from tonearm.backoff import Backoff
from tonearm.cache import TermsCache
from tonearm.discord.rest import RestClient
from tonearm.errors import StartFailed
from tonearm.faults import keeping_faults
from tonearm.postgres.pool import Pool
from tonearm.postgres.pools import open_pools
from tonearm.premium.plans import PLANS, PlanId, shelf
from tonearm.redis import keys
from tonearm.redis.client import FAILURES, Client, connect
from tonearm.redis.shards import agree_on_shard_count
from tonearm.rotation import rotating
from tonearm.settings import Settings, load
from tonearm.telemetry import LOG, announce_ready, exposing, set_up_logging, traces
from tonearm.worker import chores, ends
from tonearm.worker.acting import Actor, act_on_receipts
from tonearm.worker.deliveries import Messenger
from tonearm.worker.desk import BLOCK_MS, Desk
from tonearm.worker.errands import Office, wall_clock
from tonearm.worker.guild_tasks import WITHIN, Clerk
from tonearm.worker.roster import Roster
from tonearm.worker.rounds import Round, run_rounds
from tonearm.worker.sold import DiscordShop
from tonearm.worker.stripe_events import StripeShop
from tonearm.worker.till import open_till
from tonearm.worker.watch import Watch, watching

if TYPE_CHECKING:
    from tonearm.aws.store import Store

NEEDED = ("discord_application_id", "discord_bot_token", "redis_url", "database_url")


def main(argv: list[str]) -> int:
    """Run until SIGTERM or SIGINT. The exit code is 0 after a stop.

    Raises:
        SettingsError: a setting is missing or wrong, or not that of the other processes.
        StartFailed: the port is taken.
    """
    parser = argparse.ArgumentParser(
        prog="tonearm worker", description="Does what needs only the database, and what has a clock or no caller."
    )
    parser.parse_args(argv)
    settings = load(NEEDED)
    set_up_logging(settings.log_format)
    exposing.begin("worker")
    try:
        with traces.exporting(settings.traces, "worker"):
            asyncio.run(run(settings))
    except OSError as error:
        raise StartFailed(f"the port {settings.port} can't be listened on: {error}") from None
    return 0


async def run(settings: Settings) -> None:
    """Do errands and rounds, until SIGTERM or SIGINT."""
    owner = f"worker-{socket.gethostname()}-{os.getpid()}"
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stop.set)
    async with (
        RestClient(settings.discord_api_url, bot_token=settings.discord_bot_token) as rest,
        aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http,
        open_pools(settings) as pools,
        connect(settings.redis_url, timeout=2.0) as redis,
        # A read blocks for BLOCK_MS, so its socket must be allowed to be silent for longer.
        connect(settings.redis_url, timeout=BLOCK_MS / 1000 + 2) as intake,
        open_till(settings, pools.write, clock=wall_clock) as till,
        make_store(settings) or nullcontext() as store,
        rotating(settings),
        keeping_faults(redis, "worker"),
        watching(redis, owner, Watch(redis, pools.write, settings.shard_count)),
    ):
        base = PlanId(settings.default_plan)
        cache = TermsCache(redis, pools.write, shard_count=settings.shard_count, base=base, local=False)
        office = Office(
            pools.write,
            cache,
            shelf=shelf(settings.discord_skus),
            base=PLANS[base],
            prices=shelf(settings.stripe_prices),
            till=till,
        )
        roster = Roster(redis, owner)
        roster.desks = [
            Desk(-1 - n, owner, redis=redis, intake=intake, rest=rest, doer=office, may_hold=roster.may_hold)
            for n in range(keys.WORKER_STREAMS)
        ]
        rounds = make_rounds(settings, redis=redis, rest=rest, http=http, pool=pools.write, cache=cache, store=store)
        ready = asyncio.Event()
        async with health.serve(settings.host, settings.port, ready=ready.is_set) as url:
            if not await _agree(redis, settings, stop):
                return
            try:
                await roster.beat()
                async with asyncio.TaskGroup() as tasks:
                    desks = [tasks.create_task(desk.run()) for desk in roster.desks]
                    beats = tasks.create_task(roster.run())
                    rounding = tasks.create_task(run_rounds(redis, owner, rounds))
                    ready.set()
                    announce_ready(url=url)
                    await stop.wait()
                    LOG.info("Leaving")
                    ready.clear()
                    # First, so that the others may take the streams as they become free.
                    beats.cancel()
                    await asyncio.wait([beats])
                    await roster.go()
                    for desk in roster.desks:
                        desk.stop()
                    await asyncio.wait(desks)
                    rounding.cancel()
            finally:
                await roster.go()


def make_rounds(
    settings: Settings,
    *,
    redis: Client,
    rest: RestClient,
    http: aiohttp.ClientSession,
    pool: Pool,
    cache: TermsCache,
    store: Store | None = None,
    clock: Callable[[], datetime] = wall_clock,
) -> tuple[Round, ...]:
    """What comes round again and again. ``clock`` tells the time."""
    shop = DiscordShop(
        pool, rest, settings.discord_application_id, shelf(settings.discord_skus), forget=cache.forget, clock=clock
    )
    till = StripeShop(pool, shelf(settings.stripe_prices), forget=cache.forget, clock=clock)
    actors: dict[str, Actor] = {"discord": shop, "stripe": till}
    messenger = Messenger(pool, http, secrets=lambda: settings.webhook_secrets, clock=clock)
    clerk = Clerk(
        pool,
        redis,
        cache,
        store,
        shard_count=settings.shard_count,
        base=PLANS[PlanId(settings.default_plan)],
        clock=clock,
    )
    streams = (*range(settings.shard_count), *(-1 - n for n in range(keys.WORKER_STREAMS)))
    rounds = [
        Round("receipts", 1.0, lambda: act_on_receipts(pool, actors, clock), shared=True),
        Round("changes", 20.0, lambda: ends.tell_changed(pool, cache.forget)),
        Round("expiry", 10.0, lambda: ends.expire(pool, clock(), cache.forget)),
        Round("reminders", 600.0, lambda: ends.remind(pool, clock()), timeout=120.0),
        Round("entitlements", 900.0, shop.reconcile, timeout=600.0),
        Round("dead_letters", 60.0, lambda: chores.archive_dead(pool, redis, streams)),
        Round("tidying", 3_600.0, lambda: chores.tidy(pool, clock()), timeout=60.0),
        Round("departures", 3_600.0, lambda: chores.forget_departed(pool, redis, cache, clock(), store), timeout=60.0),
        Round("guild_tasks", 1.0, clerk.work, timeout=WITHIN + 10, shared=True),
        Round("guild_tasks_expiry", 600.0, clerk.expire, timeout=120.0),
    ]
    if store is not None:
        kept = timedelta(days=settings.dead_letters_days)
        rounds.append(
            Round(
                "dead_letters_moving",
                600.0,
                lambda: chores.move_dead(pool, redis, store, streams, clock() - kept),
                timeout=120.0,
            )
        )
    if settings.webhook_secrets:
        rounds.append(Round("deliveries", 1.0, messenger.deliver, shared=True))
    return tuple(rounds)


async def _agree(redis: Client, settings: Settings, stop: asyncio.Event) -> bool:
    """Wait for Redis, and see that the number of shards is the one that everybody uses; ``False`` at a stop."""
    backoff = Backoff()
    while not stop.is_set():
        try:
            await agree_on_shard_count(redis, settings.shard_count)
            return True
        except FAILURES as error:
            LOG.warning("Redis does not answer: %r", error)
        await backoff.wait()
    return False

"""Two worker processes at once, one of which is killed: effects once, deliveries at least once, under one id each."""

import asyncio
import json
import os
import signal
import sys
import time
from collections import defaultdict
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime

import pytest
from aiohttp import web

from tests.support.interactions.signed import snowflake
from tests.support.serving import serving
from tonearm.errors import Refused
from tonearm.jobs.errand import ErrandJob, ShowPlan
from tonearm.jobs.job import Reply
from tonearm.postgres import outgoing, receipts
from tonearm.postgres.pool import Pool
from tonearm.redis import keys
from tonearm.redis.handover import hand_over
from tonearm.worker.ends import REMINDER_TYPE

EVENTS = 60
SECRET = "one"


@asynccontextmanager
async def worker(environ):
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tonearm", "worker"), env=environ, stdout=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(40):
            line = await process.stdout.readline()
        assert json.loads(line)["ready"]
        yield process
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(20):
                assert await process.wait() == 0


class Listener:
    """What the operator runs: keeps the ids of what it is sent, by the event that they tell of."""

    def __init__(self):
        self.ids = defaultdict(list)
        self.heard = asyncio.Event()

    async def hear(self, request):
        told = json.loads(await request.read())
        assert told["id"] == request.headers["Tonearm-Delivery"]
        if told["type"] != REMINDER_TYPE:
            self.ids[told["data"]["grant"]].append(told["id"])
        self.heard.set()
        return web.Response()


def told(number, created):
    item = {"price": {"id": "price_1"}, "current_period_end": created + 30 * 86_400}
    about = {"id": f"sub_{number}", "customer": "cus", "status": "active", "items": {"data": [item]}}
    about["metadata"] = {"guild_id": str((number + 1) << 22)}
    event = {"id": f"evt_{number}", "type": "customer.subscription.created", "created": created}
    return json.dumps({**event, "data": {"object": about}}).encode()


@pytest.mark.timeout(150)
async def test_what_two_workers_do_is_done_once_though_one_is_killed(database_url, redis_url, pool):
    listener = Listener()
    async with serving(listener.hear) as shop:
        await let_them_work(listener, shop, database_url, redis_url, pool)
    recorded = await pool.fetch_rows("select grant_id, count(*) as n from subscription_events group by 1")
    assert {row["grant_id"]: row["n"] for row in recorded} == {f"stripe:sub_{n}": 1 for n in range(EVENTS)}
    assert all(len(set(ids)) == 1 for ids in listener.ids.values())
    assert len({ids[0] for ids in listener.ids.values()}) == EVENTS


@pytest.mark.timeout(150)
async def test_who_leaves_is_followed_before_anybody_is_refused_for_long(database_url, redis_url, redis_client, pool):
    guilds = {keys.stream_of(number << 22): number << 22 for number in range(1, 200)}
    assert len(guilds) == keys.WORKER_STREAMS
    environ = environment(database_url, redis_url)
    async with worker(environ) as first, worker(environ), asyncio.timeout(60):
        while len(await owners(redis_client)) < 2:  # noqa: ASYNC110 - other processes
            await asyncio.sleep(0.05)
        first.send_signal(signal.SIGTERM)
        leaving = asyncio.ensure_future(first.wait())
        longest = 0.0
        accepted = dict.fromkeys(guilds, time.monotonic())
        while not leaving.done() or b"" in await owners(redis_client):
            for stream, guild in guilds.items():
                errand = ErrandJob(f"i:{snowflake()}", guild, 3, 9, ShowPlan(), 20_000, Reply(1, "t", "reply:x", True))
                with suppress(Refused):
                    await hand_over(redis_client, errand, shard_count=1, window_ms=1)
                    accepted[stream] = time.monotonic()
                longest = max(longest, time.monotonic() - accepted[stream])
    assert longest < 0.5


async def owners(redis):
    """Of the workers' streams; empty where one has none."""
    return {await redis.hget(keys.lease(-1 - n), "owner") or b"" for n in range(keys.WORKER_STREAMS)}


async def let_them_work(listener, shop, database_url, redis_url, pool):
    now = datetime.now(UTC)
    await outgoing.add_endpoint(pool, "shop", f"{shop}/", now=now)
    for number in range(EVENTS):
        await receipts.store(pool, "stripe", told(number, int(time.time())), now=now)
    environ = environment(database_url, redis_url)
    async with worker(environ) as victim, worker(environ), asyncio.timeout(60):
        await listener.heard.wait()
        victim.kill()
        await victim.wait()
        while len(listener.ids) < EVENTS:
            listener.heard.clear()
            # What time does within a minute: what the dead one had in hand may be taken by the other. Again and again,
            # since a statement that it sent before it died may be done only now.
            await make_due(pool)
            with suppress(TimeoutError):
                await asyncio.wait_for(listener.heard.wait(), 1)
        while await open_receipts(pool):
            await make_due(pool)
            await asyncio.sleep(0.2)


def environment(database_url, redis_url):
    return {
        **os.environ,
        "TONEARM_DISCORD_APPLICATION_ID": "1",
        "TONEARM_DISCORD_BOT_TOKEN": "t",
        "TONEARM_DISCORD_API_URL": "http://127.0.0.1:1",
        "TONEARM_DATABASE_URL": database_url,
        "TONEARM_REDIS_URL": redis_url,
        "TONEARM_STRIPE_PRICES": "premium=price_1",
        "TONEARM_WEBHOOK_SECRETS": SECRET,
        "TONEARM_PORT": "0",
    }


async def make_due(pool: Pool) -> None:
    await pool.execute("update webhook_receipts set next_at = now() where done_at is null")
    await pool.execute("update webhook_deliveries set next_at = now() where delivered_at is null")


async def open_receipts(pool: Pool) -> int:
    return (await pool.fetch_row("select count(*) as n from webhook_receipts where done_at is null"))["n"]

"""The watch: what it tells of the stores, and that it tells nothing old of one that is away."""

import asyncio
import math

import pytest

from playground.stores.valkey import Valkey
from tests.support.databases import failing_database
from tests.support.metrics import counts, value
from tonearm.postgres.pool import FAILURES as DATABASE_FAILURES
from tonearm.postgres.pool import Pool
from tonearm.redis import keys, lease
from tonearm.redis.client import FAILURES, connect
from tonearm.telemetry.declaring import CATALOGUE
from tonearm.worker import watch as module
from tonearm.worker.rounds import Round, do_round
from tonearm.worker.watch import Watch, watching

OF_REDIS = (
    "backlog_jobs",
    "oldest_job_seconds",
    "dead_letters",
    "outbox_answers",
    "outbox_oldest_seconds",
    "redis_memory_ratio",
)
OF_POSTGRES = (
    "postgres_connections_ratio",
    "postgres_size_bytes",
    "receipts_waiting",
    "receipt_oldest_seconds",
    "deliveries_waiting",
    "deliveries_dead",
)


def known(names):
    return {name for name in names if not math.isnan(value(f"tonearm_{name}"))}


async def test_what_both_stores_hold_is_told(redis_client, pool):
    await lease.take(redis_client, 0, "somebody")
    await redis_client.xadd(keys.jobs(1), {"j": b"{}"})
    await Watch(redis_client, pool, 2, clock=lambda: 1_234.5).look()
    assert (value("tonearm_redis_up"), value("tonearm_postgres_up")) == (1, 1)
    assert (value("tonearm_shards", state="owned"), value("tonearm_shards", state="ownerless")) == (1, 1)
    assert value("tonearm_backlog_jobs") == 1
    assert value("tonearm_subscriptions", plan="premium", state="active") == 0
    assert value("tonearm_watch_timestamp_seconds") == 1_234.5
    assert known(OF_REDIS) == set(OF_REDIS)
    assert known(OF_POSTGRES) == set(OF_POSTGRES)


async def test_a_redis_that_is_away_leaves_nothing_that_looks_healthy(redis_client, pool):
    await Watch(redis_client, pool, 1, clock=lambda: 1.0).look()
    async with Valkey() as server, connect(server.url, timeout=0.5) as client:
        watch = Watch(client, pool, 1, clock=lambda: 2.0)
        await server.kill()
        with pytest.raises(FAILURES):
            await watch.look()
        assert value("tonearm_redis_up") == 0
        assert known(OF_REDIS) == set()
        assert math.isnan(value("tonearm_shards", state="owned"))
        assert known(OF_POSTGRES) == set(OF_POSTGRES)
        assert (value("tonearm_postgres_up"), value("tonearm_watch_timestamp_seconds")) == (1, 1.0)
        await server.start()
        await watch.look()
    assert (value("tonearm_redis_up"), known(OF_REDIS)) == (1, set(OF_REDIS))


@pytest.mark.parametrize("fault", ["dead", "frozen"])
async def test_a_postgres_that_is_away_leaves_nothing_that_looks_healthy(redis_client, fault):
    async with failing_database(fault) as database, Pool(database.url) as pool:
        watch = Watch(redis_client, pool, 1, timeout=0.5)
        await watch.look()
        before = value("tonearm_watch_timestamp_seconds")
        await database.fail()
        with pytest.raises(DATABASE_FAILURES):
            await watch.look()
        assert (value("tonearm_redis_up"), value("tonearm_postgres_up")) == (1, 0)
        assert known(OF_POSTGRES) == set()
        assert math.isnan(value("tonearm_subscriptions", plan="pro", state="active"))
        assert known(OF_REDIS) == set(OF_REDIS)
        assert value("tonearm_watch_timestamp_seconds") == before
        await database.recover()
        await watch.look()
    assert known(OF_POSTGRES) == set(OF_POSTGRES)


def test_every_gauge_of_a_store_is_among_those():
    everywhere = {"redis_up", "postgres_up", "watch_timestamp_seconds", "shards", "subscriptions"}
    watched = {
        name.removeprefix("tonearm_")
        for name, each in CATALOGUE.items()
        if each.kind == "gauge" and each.processes == ("worker",)
    } - {"round_success_timestamp_seconds"}
    assert watched == everywhere | set(OF_REDIS) | set(OF_POSTGRES)


async def test_every_worker_looks_whoever_else_does(redis_client, pool, monkeypatch):
    monkeypatch.setattr(module, "EVERY", 3_600.0)  # so that a turn which another took would not come again here
    looked = asyncio.Event()

    class Looking(Watch):
        async def look(self):
            await super().look()
            looked.set()

    for owner in ("one", "another"):
        looked.clear()
        async with watching(redis_client, owner, Looking(redis_client, pool, 1)):
            await asyncio.wait_for(looked.wait(), 10)


async def test_a_round_says_when_it_succeeded_last(redis_client, monkeypatch):
    monkeypatch.setattr("tonearm.worker.rounds.time.time", lambda: 77.0)

    async def fail():
        raise TimeoutError

    async def succeed():
        return None

    with counts("tonearm_rounds_total", round="trying", outcome="failed"):
        assert not await do_round(redis_client, "one", Round("trying", 1.0, fail, shared=True))
    assert value("tonearm_round_success_timestamp_seconds", round="trying") == 0
    with counts("tonearm_rounds_total", round="trying", outcome="done"):
        assert await do_round(redis_client, "one", Round("trying", 1.0, succeed, shared=True))
    assert value("tonearm_round_success_timestamp_seconds", round="trying") == 77.0

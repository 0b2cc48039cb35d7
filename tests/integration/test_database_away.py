"""PostgreSQL dead or frozen, below the API: what the voice nodes play under, and what the workers do."""

import asyncio
import time
from contextlib import AsyncExitStack

import msgspec
import pytest

from tests.support.databases import Database
from tonearm.cache import AWAY_MS, FRESH_MS, TermsCache
from tonearm.discord.rest import RestClient
from tonearm.jobs.errand import ChangeSettings, ErrandJob
from tonearm.jobs.job import Reply, decode_answer
from tonearm.music.guild_settings import GuildSettings
from tonearm.postgres.guild_settings import fetch_guild_settings, save_guild_settings
from tonearm.postgres.pool import Pool
from tonearm.premium.plans import Shelf
from tonearm.redis import keys
from tonearm.redis.client import connect
from tonearm.redis.handover import hand_over
from tonearm.worker.desk import WITHIN, Desk
from tonearm.worker.errands import Office

GUILD, STRANGER = 7 << 22, 8 << 22


async def test_a_guild_plays_on_under_what_was_known_last(redis_client, database: Database):
    now = 1_000_000
    async with Pool(database.url) as pool:
        cache = TermsCache(redis_client, pool, shard_count=1, now_ms=lambda: now)
        await save_guild_settings(pool, GUILD, GuildSettings(default_volume=40), timeout=5)
        assert (await cache.fetch(GUILD)).settings.default_volume == 40
        await database.fail()
        now += FRESH_MS
        began = time.monotonic()
        for _ in range(20):
            assert (await cache.fetch(GUILD)).settings.default_volume == 40
        assert not (await cache.fetch(STRANGER)).known
        assert time.monotonic() - began < 1.5, "one timeout for all of them"
        await database.recover()
        now += AWAY_MS
        async with asyncio.timeout(10):
            while not (await cache.fetch(STRANGER)).known:
                now += AWAY_MS


@pytest.fixture
async def desk(redis_url, redis_client, database: Database):
    """A worker's stream, over the database."""
    async with AsyncExitStack() as open:
        redis = await open.enter_async_context(connect(redis_url, timeout=2))
        intake = await open.enter_async_context(connect(redis_url, timeout=4))
        rest = await open.enter_async_context(RestClient("http://127.0.0.1:1", bot_token="t"))
        pool = await open.enter_async_context(Pool(database.url))
        office = Office(pool, TermsCache(redis, pool, shard_count=1, local=False), shelf=Shelf())
        desk = Desk(keys.stream_of(GUILD), "one", redis=redis, intake=intake, rest=rest, doer=office)
        task = asyncio.create_task(desk.run())
        async with asyncio.timeout(10):
            await desk.holding.wait()
        yield desk
        desk.stop()
        async with asyncio.timeout(10):
            await asyncio.gather(task, return_exceptions=True)


async def test_an_errand_is_a_sentence_in_time_and_changes_nothing_by_halves(redis_client, database: Database, desk):
    pubsub = redis_client.pubsub()
    await pubsub.subscribe("reply:here")
    await pubsub.get_message(timeout=2)

    async def do(number: int, volume: int) -> tuple[str, float]:
        began = time.monotonic()
        reply = Reply(1, "token", "reply:here", private=True)
        change = ChangeSettings(default_volume=volume, idle_seconds=volume)
        job = ErrandJob(f"i:{number}", GUILD, 3, 9, change, 20_000, reply)
        await hand_over(redis_client, job, shard_count=1, window_ms=800)
        message = await pubsub.get_message(timeout=10)
        _, _, raw = message["data"].partition(b" ")
        return msgspec.json.encode(decode_answer(raw).message).decode(), time.monotonic() - began

    assert "new player: 30 %" in (await do(1, 30))[0]
    await database.fail()
    said, took = await do(2, 60)
    assert "my books" in said
    assert took < WITHIN + 1
    await database.recover()
    async with asyncio.timeout(20):
        number = 3
        while "new player: 90 %" not in (await do(number, 90))[0]:
            number += 1
    async with Pool(database.url, timeout=5) as pool:
        settings = await fetch_guild_settings(pool, GUILD)
    assert (settings.default_volume, settings.idle_seconds) == (90, 90)
    await pubsub.aclose()

"""The plan and the settings of a guild, from wherever they are known, with everything away in turn."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import redis.asyncio

from playground.stores.postgres import Postgres
from tests.support.voice_nodes import Called, metric, running
from tonearm import cache as module
from tonearm.cache import AWAY_MS, FRESH_HERE_MS, FRESH_MS, MOST, Terms, TermsCache
from tonearm.music.guild_settings import GuildSettings
from tonearm.postgres import grants, guild_settings
from tonearm.postgres.migrate import migrate
from tonearm.postgres.pool import Pool
from tonearm.premium.grants import Event, Source
from tonearm.premium.plans import FREE, PREMIUM, PRO, PlanId
from tonearm.premium.states import Kind
from tonearm.redis import keys, terms

Redis = redis.asyncio.Redis
GUILD = 5 << 22
T0 = datetime(2026, 1, 1, tzinfo=UTC)
NOW = int(T0.timestamp() * 1000)


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def pool(postgres: Postgres, postgres_url: str) -> AsyncIterator[Pool]:
    await migrate(postgres_url)
    async with Pool(postgres_url, timeout=5) as pool:
        yield pool


@pytest.fixture
async def nowhere() -> AsyncIterator[Pool]:
    async with Pool("postgresql://nobody@127.0.0.1:1/none") as pool:
        yield pool


def make(client: "Redis[Any]", pool: Pool | None, clock: Clock, **options: Any) -> TermsCache:
    return TermsCache(client, pool, shard_count=2, now_ms=clock, **options)


async def give(pool: Pool, *, plan: PlanId = PlanId.PREMIUM, days: int = 30) -> None:
    event = Event(f"e:{plan}:{days}", Kind.ACTIVATE, T0, plan, T0 + timedelta(days=days))
    await grants.record(pool, GUILD, Source.MANUAL, str(plan), event, now=T0)


class Tiers:
    """How often each tier knew, since the last time."""

    def __init__(self) -> None:
        self._before: dict[str, float] = {}
        self.since()

    def since(self) -> dict[str, float]:
        tiers = ("process", "redis", "postgres", "last_known", "defaults")
        now = {tier: metric("tonearm_terms_lookups_total", tier=tier) for tier in tiers}
        changed = {
            tier: now[tier] - self._before.get(tier, 0) for tier in tiers if now[tier] != self._before.get(tier, 0)
        }
        self._before = now
        return changed


@pytest.fixture
def tiers() -> Tiers:
    return Tiers()


async def test_each_tier_is_asked_when_the_one_before_does_not_know(
    redis_client: "Redis[Any]", pool: Pool, clock: Clock, tiers: Tiers
) -> None:
    await give(pool)
    await guild_settings.save_guild_settings(pool, GUILD, GuildSettings(default_volume=40))
    here, there = make(redis_client, pool, clock), make(redis_client, pool, clock)
    found = await here.fetch(GUILD)
    assert (found.access(NOW).plan, found.settings.default_volume, found.known) == (PREMIUM, 40, True)
    assert tiers.since() == {"postgres": 1}
    assert await there.fetch(GUILD) == found
    assert tiers.since() == {"redis": 1}
    assert await here.fetch(GUILD) == await there.fetch(GUILD) == found
    assert tiers.since() == {"process": 2}
    clock.now += FRESH_HERE_MS
    assert await here.fetch(GUILD) == found
    assert tiers.since() == {"redis": 1}
    clock.now += FRESH_MS
    await here.fetch(GUILD)
    assert tiers.since() == {"postgres": 1}


async def test_where_the_process_freezes_it_keeps_nothing(
    redis_client: "Redis[Any]", pool: Pool, clock: Clock, tiers: Tiers
) -> None:
    cache = make(redis_client, pool, clock, local=False)
    await cache.fetch(GUILD)
    await cache.fetch(GUILD)
    assert tiers.since() == {"postgres": 1, "redis": 1}


async def test_a_plan_in_the_cache_never_outlives_its_grant(
    redis_client: "Redis[Any]", pool: Pool, nowhere: Pool, clock: Clock, tiers: Tiers
) -> None:
    await give(pool, days=3)
    await make(redis_client, pool, clock).fetch(GUILD)
    clock.now += 2 * 86_400_000
    found = await make(redis_client, nowhere, clock).fetch(GUILD)
    assert tiers.since() == {"postgres": 1, "last_known": 1}
    assert found.known
    assert found.access(clock.now).plan is PREMIUM
    assert found.access(NOW + 3 * 86_400_000).plan is FREE


async def test_without_the_database_what_was_known_here_holds(
    redis_client: "Redis[Any]", pool: Pool, nowhere: Pool, clock: Clock, tiers: Tiers
) -> None:
    await give(pool)
    cache = make(redis_client, pool, clock)
    found = await cache.fetch(GUILD)
    cache._pool = nowhere
    await redis_client.flushall()
    clock.now += FRESH_MS
    assert await cache.fetch(GUILD) == found
    assert tiers.since() == {"postgres": 1, "last_known": 1}


async def test_where_nobody_knows_that_is_said(
    redis_client: "Redis[Any]", nowhere: Pool, clock: Clock, tiers: Tiers
) -> None:
    assert await make(redis_client, nowhere, clock).fetch(GUILD) == Terms(known=False)
    assert tiers.since() == {"defaults": 1}
    given = await make(redis_client, None, clock, base=PlanId.PRO).fetch(GUILD)
    assert (given.access(NOW).plan, given.known) == (PRO, True)


async def test_a_database_that_is_away_is_not_asked_again_at_once(
    redis_client: "Redis[Any]", pool: Pool, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = Called(guild_settings.fetch_guild_settings, fails=(TimeoutError(),))
    monkeypatch.setattr(module.guild_settings, "fetch_guild_settings", asked)
    cache = make(redis_client, pool, clock)
    assert not (await cache.fetch(GUILD)).known
    assert not (await cache.fetch(GUILD)).known
    assert len(asked.results) == 1
    clock.now += AWAY_MS
    assert (await cache.fetch(GUILD)).known


async def test_without_redis_the_database_is_asked_and_the_process_remembers(
    pool: Pool, clock: Clock, tiers: Tiers
) -> None:
    async with redis.asyncio.Redis.from_url("redis://127.0.0.1:1", retry=None) as gone:
        cache = make(gone, pool, clock)
        assert (await cache.fetch(GUILD)).known
        await cache.fetch(GUILD)
        await cache.forget(GUILD)
        await cache.fetch(GUILD)
    assert tiers.since() == {"postgres": 2, "process": 1}


async def test_a_change_is_seen_by_every_process(redis_client: "Redis[Any]", pool: Pool, clock: Clock) -> None:
    told: asyncio.Queue[int | None] = asyncio.Queue()
    here, there = make(redis_client, pool, clock), make(redis_client, pool, clock, on_change=told.put_nowait)
    async with running(there.listen()), asyncio.timeout(10):
        assert await told.get() is None
        assert (await there.fetch(GUILD)).access(NOW).plan is FREE
        await give(pool)
        assert (await there.fetch(GUILD)).access(NOW).plan is FREE
        await here.forget(GUILD)
        assert await told.get() == GUILD
        assert (await there.fetch(GUILD)).access(NOW).plan is PREMIUM


async def test_what_was_read_before_a_change_is_not_kept_after_it(
    redis_client: "Redis[Any]", pool: Pool, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = make(redis_client, pool, clock)
    fetch = grants.fetch_grants

    async def read_and_dawdle(*args: Any, **named: Any) -> Any:
        before = await fetch(*args, **named)
        monkeypatch.setattr(module.grants, "fetch_grants", fetch)
        await give(pool)
        await make(redis_client, pool, clock).forget(GUILD)
        cache._drop(GUILD)  # as it hears of it
        return before

    monkeypatch.setattr(module.grants, "fetch_grants", read_and_dawdle)
    assert (await cache.fetch(GUILD)).access(NOW).plan is FREE
    assert (await cache.fetch(GUILD)).access(NOW).plan is PREMIUM


async def test_what_is_kept_in_redis_runs_out_and_lies_on_the_shard(
    redis_client: "Redis[Any]", pool: Pool, clock: Clock
) -> None:
    await make(redis_client, pool, clock).fetch(GUILD)
    key = keys.terms(keys.shard_of(GUILD, 2), GUILD)
    assert 0 < await redis_client.pttl(key) <= terms.LIFE_MS
    await make(redis_client, pool, clock).forget(GUILD + (1 << 22))
    other = keys.terms(keys.shard_of(GUILD + (1 << 22), 2), GUILD + (1 << 22))
    assert 0 < await redis_client.pttl(other) <= terms.LIFE_MS


async def test_a_process_remembers_so_many_guilds_and_no_more(
    redis_client: "Redis[Any]", pool: Pool, clock: Clock, monkeypatch: pytest.MonkeyPatch, tiers: Tiers
) -> None:
    assert MOST >= 1_000
    monkeypatch.setattr(module, "MOST", 3)
    cache = make(redis_client, pool, clock)
    for guild in range(1, 5):
        await cache.fetch(guild << 22)
    tiers.since()
    await cache.fetch(4 << 22)
    await cache.fetch(1 << 22)
    assert tiers.since() == {"process": 1, "redis": 1}


async def test_after_a_lost_subscription_nothing_is_believed_and_all_is_looked_at(
    redis_client: "Redis[Any]", pool: Pool, clock: Clock, tiers: Tiers
) -> None:
    told: asyncio.Queue[int | None] = asyncio.Queue()
    cache = make(redis_client, pool, clock, on_change=told.put_nowait)
    async with running(cache.listen()), asyncio.timeout(10):
        await told.get()
        await cache.fetch(GUILD)
        await redis_client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
        assert await told.get() is None
        tiers.since()
        await cache.fetch(GUILD)
        assert tiers.since() == {"redis": 1}

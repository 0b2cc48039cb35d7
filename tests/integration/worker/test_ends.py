"""What is said when time ends a grant: once, whoever says it."""

import asyncio
from datetime import timedelta

import msgspec

from tonearm.cache import TermsCache
from tonearm.postgres import grants, outgoing
from tonearm.premium.plans import PlanId
from tonearm.premium.states import State
from tonearm.worker import ends

GUILD = 7 << 22


async def told(pool, clock):
    clock.forward(days=365)
    due = await outgoing.claim_due(pool, clock(), lease=timedelta(seconds=1))
    return [(each.type, msgspec.json.decode(each.body)["data"]["subscription"]["state"]) for each in due]


async def forget_nothing(guild):
    pass


async def test_two_workers_say_once_that_a_trial_is_over(pool, clock):
    await outgoing.add_endpoint(pool, "shop", "http://shop/", now=clock())
    await grants.start_trial(pool, GUILD, "discord:1", now=clock())
    assert await ends.expire(pool, clock(), forget_nothing) == 0
    clock.forward(days=7)
    said = await asyncio.gather(*(ends.expire(pool, clock(), forget_nothing) for _ in range(4)))
    assert sum(said) >= 1
    (grant,) = await grants.fetch_grants(pool, GUILD)
    assert grant.state is State.EXPIRED
    assert len(await grants.fetch_events(pool, GUILD)) == 2
    assert sorted(await told(pool, clock)) == [
        ("subscription.updated", "expired"),
        ("subscription.updated", "trialing"),
    ]
    assert await ends.expire(pool, clock(), forget_nothing) == 0


async def test_whoever_keeps_its_plan_is_told_that_it_ended(pool, clock, cache):
    await grants.start_trial(pool, GUILD, "discord:1", now=clock())
    assert (await cache.fetch(GUILD)).access(int(clock().timestamp() * 1000)).plan.id is PlanId.PREMIUM
    clock.forward(days=7)
    forgotten = []

    async def forget(guild):
        forgotten.append(guild)

    await ends.expire(pool, clock(), forget)
    assert forgotten == [GUILD]


async def test_a_change_that_nobody_told_of_is_seen_within_the_minute(pool, clock, redis_client):
    asked = TermsCache(redis_client, pool, shard_count=1)
    writer = TermsCache(redis_client, pool, shard_count=1, local=False)
    assert not (await asked.fetch(GUILD)).grants
    await grants.start_trial(pool, GUILD, "discord:1", now=clock())  # and here who did it dies
    assert not (await asked.fetch(GUILD)).grants, "what it knew is kept, here and in Redis"
    hearing = asyncio.create_task(asked.listen())
    try:
        async with asyncio.timeout(10):
            told = asyncio.Event()
            asked.on_change = lambda guild: told.set() if guild in (None, GUILD) else None
            await told.wait()  # that it listens
            assert not (await asked.fetch(GUILD)).grants
            told.clear()
            assert await ends.tell_changed(pool, writer.forget) == 1
            await told.wait()
            assert (await asked.fetch(GUILD)).grants
    finally:
        hearing.cancel()
        await asyncio.gather(hearing, return_exceptions=True)


async def test_of_many_ends_at_one_moment_each_is_told(pool, clock, monkeypatch):
    monkeypatch.setattr(ends, "PAGE", 2)
    await outgoing.add_endpoint(pool, "shop", "http://shop/", ("subscription.ending",), now=clock())
    for number in range(5):
        await grants.start_trial(pool, GUILD + number, f"discord:{number}", now=clock())
    clock.forward(days=5)
    assert await ends.remind(pool, clock()) == 5
    assert len(await told(pool, clock)) == 5


async def test_a_reminder_comes_once_for_each_end(pool, clock):
    await outgoing.add_endpoint(pool, "shop", "http://shop/", ("subscription.ending",), now=clock())
    await grants.start_trial(pool, GUILD, "discord:1", now=clock())
    assert await ends.remind(pool, clock()) == 0
    clock.forward(days=5)
    assert await ends.remind(pool, clock()) == 1
    await asyncio.gather(ends.remind(pool, clock()), ends.remind(pool, clock()))
    assert await told(pool, clock) == [("subscription.ending", "trialing")]

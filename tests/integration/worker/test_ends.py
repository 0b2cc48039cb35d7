"""What is said when time ends a grant: once, whoever says it."""

import asyncio
from datetime import timedelta

import msgspec

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


async def test_a_reminder_comes_once_for_each_end(pool, clock):
    await outgoing.add_endpoint(pool, "shop", "http://shop/", ("subscription.ending",), now=clock())
    await grants.start_trial(pool, GUILD, "discord:1", now=clock())
    assert await ends.remind(pool, clock()) == 0
    clock.forward(days=5)
    assert await ends.remind(pool, clock()) == 1
    await asyncio.gather(ends.remind(pool, clock()), ends.remind(pool, clock()))
    assert await told(pool, clock) == [("subscription.ending", "trialing")]

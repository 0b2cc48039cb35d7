"""From Discord's entitlements to grants, over the twin: whatever is told, lost, repeated or done by several at once."""

import asyncio
import json
from datetime import timedelta

import pytest

from tests.support.metrics import counts
from tonearm.postgres import grants, receipts
from tonearm.premium.grants import Source
from tonearm.premium.plans import PlanId, shelf
from tonearm.premium.states import State
from tonearm.worker.acting import act_on_receipts
from tonearm.worker.sold import DiscordShop

GUILD = 7 << 22


@pytest.fixture
async def skus(twin):
    _, client = twin
    return {plan: (await client.create_sku(plan))["id"] for plan in ("premium", "pro")}


@pytest.fixture
def shop(twin, rest, pool, clock, cache, skus):
    made = DiscordShop(
        pool, rest, twin[0].world.application_id, shelf(tuple(skus.items())), forget=cache.forget, clock=clock
    )
    made.forgotten = []

    async def forget(guild):
        made.forgotten.append(guild)

    made._forget = forget
    return made


def told(kind, entitlement, at="2026-11-01T00:00:00+00:00"):
    event = {"type": kind, "timestamp": at, "data": entitlement}
    return json.dumps({"version": 1, "application_id": "1", "type": 1, "event": event}).encode()


async def state(pool, clock):
    access = await grants.fetch_effective_plan(pool, GUILD, clock())
    return access.plan.id, access.state


async def test_what_was_bought_counts_as_discord_has_it_not_as_it_was_told(twin, pool, clock, shop, skus):
    _, client = twin
    bought = await client.create_entitlement(skus["premium"], guild=str(GUILD))
    lie = {**bought, "sku_id": skus["pro"]}
    await receipts.store(pool, "discord", told("ENTITLEMENT_CREATE", lie), now=clock())
    clock.forward(seconds=7)
    with counts("tonearm_receipt_lag_seconds_count"), counts("tonearm_receipt_lag_seconds_sum", 7):
        assert await act_on_receipts(pool, {"discord": shop}, clock) == 1
    assert await state(pool, clock) == (PlanId.PREMIUM, State.ACTIVE)
    assert set(shop.forgotten) == {GUILD}


async def test_unordered_and_repeated_events_end_where_discord_stands(twin, pool, clock, shop, skus):
    _, client = twin
    bought = await client.create_entitlement(skus["premium"], guild=str(GUILD))
    refunded = await client.change_entitlement(bought["id"], deleted=True)
    for body in (
        told("ENTITLEMENT_DELETE", refunded),
        told("ENTITLEMENT_CREATE", bought),
        told("ENTITLEMENT_UPDATE", bought),
    ):
        await receipts.store(pool, "discord", body, now=clock())
    assert await act_on_receipts(pool, {"discord": shop}, clock) == 3
    assert (await state(pool, clock))[0] is PlanId.FREE


async def test_what_ended_locks_and_a_new_purchase_unlocks(twin, pool, clock, shop, skus):
    _, client = twin
    bought = await client.create_entitlement(skus["premium"], guild=str(GUILD))
    await shop.reconcile()
    clock.forward(days=30)
    await client.change_entitlement(bought["id"], ends_at="2026-11-30T00:00:00+00:00")
    await shop.reconcile()
    assert await state(pool, clock) == (PlanId.FREE, State.EXPIRED)
    await client.create_entitlement(skus["pro"], guild=str(GUILD))
    await shop.reconcile()
    assert await state(pool, clock) == (PlanId.PRO, State.ACTIVE)


async def test_a_crash_between_receipt_and_act_loses_nothing(twin, pool, clock, shop, skus):
    _, client = twin
    bought = await client.create_entitlement(skus["premium"], guild=str(GUILD))
    await receipts.store(pool, "discord", told("ENTITLEMENT_CREATE", bought), now=clock())
    assert len(await receipts.claim(pool, clock(), lease=timedelta(seconds=60))) == 1  # and then it dies
    assert await act_on_receipts(pool, {"discord": shop}, clock) == 0
    clock.forward(seconds=61)
    assert await act_on_receipts(pool, {"discord": shop}, clock) == 1
    assert (await state(pool, clock))[0] is PlanId.PREMIUM


async def test_a_crash_between_act_and_finish_acts_once_and_forgets_twice(twin, pool, clock, shop, skus, monkeypatch):
    _, client = twin
    bought = await client.create_entitlement(skus["premium"], guild=str(GUILD))
    await receipts.store(pool, "discord", told("ENTITLEMENT_CREATE", bought), now=clock())

    async def die(*_):
        raise ConnectionResetError

    with monkeypatch.context() as dying:
        dying.setattr(receipts, "finish", die)
        with pytest.raises(ConnectionResetError):
            await act_on_receipts(pool, {"discord": shop}, clock)
    shop.forgotten.clear()
    clock.forward(seconds=61)
    assert await act_on_receipts(pool, {"discord": shop}, clock) == 1
    assert len(await grants.fetch_events(pool, GUILD)) == 1
    assert shop.forgotten == [GUILD], "who died may not have said so"


async def test_several_workers_act_once(twin, pool, clock, shop, skus):
    _, client = twin
    bought = await client.create_entitlement(skus["premium"], guild=str(GUILD))
    await receipts.store(pool, "discord", told("ENTITLEMENT_CREATE", bought), now=clock())
    done = await asyncio.gather(*(act_on_receipts(pool, {"discord": shop}, clock) for _ in range(4)))
    assert sorted(done) == [0, 0, 0, 1]
    assert len(await grants.fetch_events(pool, GUILD)) == 1


async def test_what_nobody_can_act_on_is_tried_again_later(twin, pool, clock, shop, skus):
    _, client = twin
    bought = await client.create_entitlement(skus["premium"], guild=str(GUILD))
    await receipts.store(pool, "discord", told("ENTITLEMENT_CREATE", bought), now=clock())
    assert await act_on_receipts(pool, {}, clock) == 0
    clock.forward(seconds=3)
    assert await act_on_receipts(pool, {"discord": shop}, clock) == 1


async def test_all_pages_are_reconciled_and_a_second_time_changes_nothing(twin, pool, clock, shop, skus, monkeypatch):
    monkeypatch.setattr("tonearm.discord.entitlements.PAGE", 2)
    _, client = twin
    for number in range(5):
        await client.create_entitlement(skus["premium"], guild=str(GUILD + (number << 22)))
    assert await shop.reconcile() == 5
    assert await shop.reconcile() == 0
    assert len(await grants.fetch_grants_of(pool, Source.DISCORD)) == 5


async def test_what_discord_lists_no_more_is_revoked(twin, pool, clock, shop, skus):
    _, client = twin
    bought = await client.create_entitlement(skus["premium"], guild=str(GUILD))
    await shop.reconcile()
    await client.change_entitlement(bought["id"], deleted=True)
    clock.forward(seconds=1)
    assert await shop.reconcile() == 1
    assert (await state(pool, clock))[0] is PlanId.FREE


@pytest.mark.parametrize("by", ["event", "reconciling"])
async def test_a_worker_whose_clock_was_fast_leaves_no_access_after_a_refund(twin, pool, clock, shop, skus, by):
    _, client = twin
    bought = await client.create_entitlement(skus["premium"], guild=str(GUILD))
    clock.forward(hours=1)
    await shop.reconcile()
    clock.forward(minutes=-55)
    refunded = await client.change_entitlement(bought["id"], deleted=True)
    if by == "event":
        await receipts.store(pool, "discord", told("ENTITLEMENT_DELETE", refunded), now=clock())
        await act_on_receipts(pool, {"discord": shop}, clock)
    else:
        assert await shop.reconcile() == 1
    for _ in range(2):
        assert (await state(pool, clock))[0] is PlanId.FREE
        clock.forward(hours=2)
    assert await shop.reconcile() == 0


async def test_what_is_none_of_ours_is_passed_over(twin, pool, clock, shop, skus):
    _, client = twin
    other = (await client.create_sku("hat"))["id"]
    await client.create_entitlement(other, guild=str(GUILD))
    await client.create_entitlement(skus["premium"], user="5")
    assert await shop.reconcile() == 0
    for body in (b'{"type":1}', told("APPLICATION_AUTHORIZED", {"user": {"id": "1"}}), told("ENTITLEMENT_CREATE", {})):
        await receipts.store(pool, "discord", body, now=clock())
    assert await act_on_receipts(pool, {"discord": shop}, clock) == 3
    assert await grants.fetch_grants(pool, GUILD) == ()

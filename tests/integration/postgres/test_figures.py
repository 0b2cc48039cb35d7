"""What waits in PostgreSQL, counted."""

from datetime import UTC, datetime, timedelta

import asyncpg

from tonearm.postgres import grants, outgoing, receipts
from tonearm.postgres.figures import fetch_figures
from tonearm.postgres.pool import Pool
from tonearm.premium.grants import Event, Source
from tonearm.premium.plans import PlanId
from tonearm.premium.states import Kind, State

NOW = datetime.now(UTC)
DAY = timedelta(days=1)


async def figures(pool: Pool):
    return await fetch_figures(pool, timeout=5)


async def test_an_empty_database(pool: Pool) -> None:
    found = await figures(pool)
    assert (found.receipts, found.oldest_receipt, found.deliveries, found.dead_deliveries) == (0, 0, 0, 0)
    assert found.subscriptions == {}
    assert 0 < found.connections < 1
    assert found.size > 1 << 20


async def test_receipts_wait_until_they_were_acted_on(pool: Pool) -> None:
    now = datetime.now(UTC)  # the age is counted by PostgreSQL's clock
    for number, age_s in enumerate((10, 300)):
        await receipts.store(pool, "discord", b"%d" % number, now=now - timedelta(seconds=age_s))
    found = await figures(pool)
    assert found.receipts == 2
    assert 300 <= found.oldest_receipt < 600
    await receipts.finish(pool, receipts.receipt_id(b"1"), NOW)
    found = await figures(pool)
    assert (found.receipts, found.oldest_receipt < 300) == (1, True)


async def test_deliveries_wait_until_they_arrive_or_are_given_up(pool: Pool) -> None:
    await outgoing.add_endpoint(pool, "a", "https://a.example", now=NOW)
    for event in ("one", "two", "three"):
        await outgoing.enqueue(pool, event, "x.y", {}, guild=5, now=NOW)
    found = await figures(pool)
    assert (found.deliveries, found.dead_deliveries) == (3, 0)
    first, second, _ = await outgoing.claim_due(pool, NOW, lease=DAY)
    await outgoing.delivered(pool, first.id, NOW)
    await outgoing.failed(pool, second.id, NOW, "500", retry_at=None)
    found = await figures(pool)
    assert (found.deliveries, found.dead_deliveries) == (1, 1)


async def test_subscriptions_are_counted_by_plan_and_state(pool: Pool) -> None:
    async def happen(guild: int, kind: Kind, at: datetime, plan: PlanId | None = None) -> None:
        event = Event(f"{kind}", kind, at, plan, at + 30 * DAY if plan else None)
        await grants.record(pool, guild, Source.STRIPE, f"sub{guild}", event, now=at)

    for guild, plan in ((1, PlanId.PREMIUM), (2, PlanId.PREMIUM), (3, PlanId.PRO)):
        await happen(guild, Kind.ACTIVATE, NOW, plan)
    await happen(2, Kind.CANCEL, NOW + DAY)
    await happen(3, Kind.REVOKE, NOW + DAY)
    assert (await figures(pool)).subscriptions == {
        (PlanId.PREMIUM, State.ACTIVE): 1,
        (PlanId.PREMIUM, State.CANCELING): 1,
        (PlanId.PRO, State.EXPIRED): 1,
    }


async def test_each_connection_counts(pool: Pool, database_url: str) -> None:
    before = (await figures(pool)).connections
    extra = await asyncpg.connect(database_url)
    try:
        most = int(await extra.fetchval("show max_connections"))
        # Others connect to the server too, so it is looked at again until ours is seen.
        assert round(((await figures(pool)).connections - before) * most) >= 1
    finally:
        await extra.close()

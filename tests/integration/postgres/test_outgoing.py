"""What the operator is told: once for each endpoint, tried until it arrives or is given up."""

import asyncio
from datetime import UTC, datetime, timedelta

import msgspec

from tonearm.postgres import outgoing
from tonearm.postgres.pool import Pool

T0 = datetime(2026, 1, 1, tzinfo=UTC)
LEASE = timedelta(seconds=30)


async def prepare(pool: Pool) -> None:
    await outgoing.add_endpoint(pool, "a", "https://a.example", now=T0)
    await outgoing.add_endpoint(pool, "b", "https://b.example", ["x.y"], now=T0)


async def tell(pool: Pool, event: str = "event", type: str = "x.y") -> None:
    await outgoing.enqueue(pool, event, type, {"n": 1}, guild=5, now=T0)


async def test_each_endpoint_that_wants_it_is_told_once(pool: Pool) -> None:
    await prepare(pool)
    await asyncio.gather(*(tell(pool) for _ in range(3)))
    await tell(pool, "another", "z")
    due = await outgoing.claim_due(pool, T0, lease=LEASE)
    assert sorted((one.endpoint, one.event) for one in due) == [("a", "another"), ("a", "event"), ("b", "event")]
    assert len({one.id for one in due}) == 3
    told = msgspec.json.decode(due[0].body)
    assert (told["id"], told["guild_id"], told["data"]) == (due[0].id, "5", {"n": 1})


async def test_a_delivery_keeps_its_id_and_body_at_each_attempt(pool: Pool) -> None:
    await prepare(pool)
    await tell(pool, type="z")
    (first,) = await outgoing.claim_due(pool, T0, lease=LEASE)
    assert await outgoing.claim_due(pool, T0, lease=LEASE) == ()
    await outgoing.failed(pool, first.id, T0, "500", retry_at=T0 + LEASE * 2)
    assert await outgoing.claim_due(pool, T0 + LEASE, lease=LEASE) == ()
    (second,) = await outgoing.claim_due(pool, T0 + LEASE * 2, lease=LEASE)
    assert (second.id, second.body, second.attempts, second.error) == (first.id, first.body, 2, "500")
    (died,) = await outgoing.claim_due(pool, T0 + LEASE * 3, lease=LEASE)  # its worker said nothing
    await outgoing.delivered(pool, died.id, T0 + LEASE * 3)
    await outgoing.failed(pool, died.id, T0, "too late to fail", retry_at=None)
    assert await outgoing.claim_due(pool, T0 + LEASE * 100, lease=LEASE) == ()
    assert await outgoing.fetch_dead(pool) == ()


async def test_several_workers_never_hold_the_same(pool: Pool) -> None:
    await prepare(pool)
    for number in range(6):
        await tell(pool, str(number))
    taken = await asyncio.gather(*(outgoing.claim_due(pool, T0, lease=LEASE, most=5) for _ in range(4)))
    ids = [one.id for some in taken for one in some]
    assert len(ids) == len(set(ids)) == 12


async def test_dead_letters_are_kept_and_can_be_tried_again(pool: Pool) -> None:
    await prepare(pool)
    await tell(pool)
    for one in await outgoing.claim_due(pool, T0, lease=LEASE):
        await outgoing.failed(pool, one.id, T0, "410", retry_at=None)
    first, second = await outgoing.fetch_dead(pool)
    assert first.dead_at is not None
    assert await outgoing.fetch_dead(pool, after=(first.dead_at, first.id)) == (second,)
    assert await outgoing.claim_due(pool, T0 + LEASE * 100, lease=LEASE) == ()
    assert await outgoing.revive(pool, first.id, T0 + LEASE)
    assert not await outgoing.revive(pool, first.id, T0 + LEASE)
    (again,) = await outgoing.claim_due(pool, T0 + LEASE, lease=LEASE)
    assert (again.id, again.attempts, again.dead_at) == (first.id, 1, None)
    assert await outgoing.fetch_dead(pool) == (second,)


async def test_what_is_over_goes_in_time_and_what_is_to_be_told_stays(pool: Pool) -> None:
    await prepare(pool)
    for event in ("arrives", "dies", "waits"):
        await tell(pool, event, type="z")
    for one in await outgoing.claim_due(pool, T0, lease=LEASE):
        if one.event == "arrives":
            await outgoing.delivered(pool, one.id, T0)
        if one.event == "dies":
            await outgoing.failed(pool, one.id, T0, "410", retry_at=None)
    await outgoing.remove_old(pool, T0)
    assert (await pool.fetch_row("select count(*) from webhook_deliveries"))[0] == 3
    await outgoing.remove_old(pool, T0 + LEASE)
    assert [row["event_id"] for row in await pool.fetch_rows("select event_id from webhook_deliveries")] == ["waits"]


async def test_endpoints_come_and_go(pool: Pool) -> None:
    await prepare(pool)
    await outgoing.add_endpoint(pool, "a", "https://new.example", ["q"], now=T0)
    assert [(one.id, one.url, one.types) for one in await outgoing.fetch_endpoints(pool)] == [
        ("a", "https://new.example", ("q",)),
        ("b", "https://b.example", ("x.y",)),
    ]
    await tell(pool)
    assert await outgoing.remove_endpoint(pool, "b")
    assert not await outgoing.remove_endpoint(pool, "b")
    assert await outgoing.claim_due(pool, T0, lease=LEASE) == ()

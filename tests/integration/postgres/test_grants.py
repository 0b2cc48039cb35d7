"""Grants in PostgreSQL: events once, several writers at once, crashes, and what a guild has in the end."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from tests.support.metrics import counts
from tonearm.errors import Conflict, Refused
from tonearm.postgres import grants, outgoing, receipts
from tonearm.postgres.pool import Connection, Pool
from tonearm.premium.grants import Event, Grant, Source
from tonearm.premium.plans import FREE, PREMIUM, PRO, PlanId
from tonearm.premium.states import Kind, State
from tonearm.sentences import Sentence

T0 = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
GUILD, OTHER = 5 << 22, 2**63 - 1


def event(kind: Kind, day: float = 0, **values: Any) -> Event:
    return Event(values.pop("id", f"{kind}@{day}"), kind, T0 + day * DAY, **values)


def paid(day: float = 0, *, plan: PlanId = PlanId.PREMIUM, days: float = 30, **values: Any) -> Event:
    return event(Kind.ACTIVATE, day, plan=plan, ends_at=T0 + (day + days) * DAY, grace_seconds=3 * 86_400, **values)


async def told(pool: Pool, what: Event, *, guild: int = GUILD, ref: str = "sub", **options: Any) -> grants.Recorded:
    return await grants.record(pool, guild, Source.STRIPE, ref, what, now=what.at, **options)


async def test_a_grant_is_kept_as_its_events_made_it(pool: Pool) -> None:
    recorded = await told(pool, paid(payer="stripe:cus_1"))
    assert recorded.before is None
    assert recorded.after is not None
    assert await grants.fetch_grants(pool, GUILD) == (recorded.after,)
    canceled = await told(pool, event(Kind.CANCEL, 3))
    assert canceled.before == recorded.after
    down = event(Kind.DOWNGRADE, 4, plan=PlanId.PREMIUM)
    assert (await told(pool, down)).after == canceled.after
    (kept,) = await grants.fetch_grants(pool, GUILD)
    assert kept == canceled.after
    assert (kept.state, kept.canceled_at, kept.payer) == (State.CANCELING, T0 + 3 * DAY, "stripe:cus_1")
    assert await grants.fetch_grant(pool, Source.STRIPE, "sub") == kept
    assert await grants.fetch_grant(pool, Source.DISCORD, "sub") is None


async def test_every_field_of_a_grant_comes_back(pool: Pool) -> None:
    await told(pool, paid(plan=PlanId.PRO, payer="p", starts_at=T0 + DAY), guild=OTHER)
    recorded = await told(pool, event(Kind.DOWNGRADE, 2, plan=PlanId.PREMIUM), guild=OTHER)
    assert recorded.after == Grant(
        OTHER,
        Source.STRIPE,
        "sub",
        PlanId.PRO,
        State.ACTIVE,
        T0 + DAY,
        T0 + 30 * DAY,
        3 * 86_400,
        next_plan=PlanId.PREMIUM,
        payer="p",
    )
    assert await grants.fetch_grants(pool, OTHER) == (recorded.after,)


async def test_an_event_that_comes_again_does_nothing(pool: Pool) -> None:
    first = await told(pool, paid())
    again = await told(pool, paid())
    assert (again.again, again.after, again.version) == (True, first.after, first.version)
    assert len(await grants.fetch_events(pool, GUILD)) == 1


async def test_events_that_come_in_another_order_make_the_same(pool: Pool) -> None:
    history = [paid(), event(Kind.UPGRADE, 1, plan=PlanId.PRO), event(Kind.CANCEL, 2), paid(3, plan=PlanId.PRO)]
    for one in history:
        await told(pool, one, ref="in order")
    for one in reversed(history):
        await told(pool, one, ref="reversed")
    straight = await grants.fetch_grant(pool, Source.STRIPE, "in order")
    reverse = await grants.fetch_grant(pool, Source.STRIPE, "reversed")
    assert straight is not None
    assert reverse is not None
    assert {**_fields(straight), "ref": ""} == {**_fields(reverse), "ref": ""}


def _fields(grant: Grant) -> dict[str, object]:
    return {name: getattr(grant, name) for name in grant.__struct_fields__}


async def test_what_a_guild_has_is_judged_when_it_is_read(pool: Pool) -> None:
    await told(pool, paid())
    for day, plan in ((0, PREMIUM), (32, PREMIUM), (33, FREE)):
        assert (await grants.fetch_effective_plan(pool, GUILD, T0 + day * DAY)).plan is plan
    assert (await grants.fetch_effective_plan(pool, GUILD, T0 + 33 * DAY, base=PRO)).plan is PRO
    assert (await grants.fetch_effective_plan(pool, OTHER, T0)).state is State.NONE


async def test_a_subscription_is_seen_whole_with_its_version(pool: Pool) -> None:
    assert (await grants.fetch_subscription(pool, GUILD, T0)).version == 0
    recorded = await told(pool, paid())
    seen = await grants.fetch_subscription(pool, GUILD, T0)
    assert (seen.version, seen.access.plan, seen.grants) == (recorded.version, PREMIUM, (recorded.after,))


async def test_a_wish_that_can_not_be_is_refused_and_leaves_nothing(pool: Pool) -> None:
    with pytest.raises(Refused):
        await told(pool, event(Kind.CANCEL), asked=True)
    assert await grants.fetch_events(pool, GUILD) == ()
    await told(pool, event(Kind.CANCEL))  # a seller's word is kept, as what came before it may come later
    assert len(await grants.fetch_events(pool, GUILD)) == 1


async def test_a_version_that_is_old_is_a_conflict(pool: Pool) -> None:
    version = (await told(pool, paid())).version
    await told(pool, event(Kind.CANCEL, 1), asked=True, version=version)
    with pytest.raises(Conflict):
        await told(pool, event(Kind.RESUME, 2), asked=True, version=version)
    assert (await told(pool, event(Kind.CANCEL, 1), version=version)).again


async def test_of_two_upgrades_at_once_one_wins(pool: Pool) -> None:
    version = (await told(pool, paid())).version
    wishes = [event(Kind.UPGRADE, 1, id=f"wish {n}", plan=PlanId.PRO) for n in range(4)]
    done = await asyncio.gather(*(told(pool, wish, asked=True) for wish in wishes), return_exceptions=True)
    assert sum(isinstance(one, grants.Recorded) for one in done) == 1
    assert sum(isinstance(one, Refused) for one in done) == 3
    matched = [event(Kind.CANCEL, 2, id=f"match {n}") for n in range(3)]
    late = await asyncio.gather(
        *(told(pool, one, asked=True, version=version) for one in matched), return_exceptions=True
    )
    assert all(isinstance(one, Conflict) for one in late)
    assert len(await grants.fetch_events(pool, GUILD)) == 2


async def test_many_writers_at_once_lose_nothing(pool: Pool) -> None:
    renewals = [paid(day, id=f"renewal {day}") for day in range(8)]
    await asyncio.gather(*(told(pool, one) for one in renewals))
    assert len(await grants.fetch_events(pool, GUILD)) == 8
    (kept,) = await grants.fetch_grants(pool, GUILD)
    assert kept.ends_at == T0 + 37 * DAY


async def test_one_trial_for_each_guild_and_each_payer(pool: Pool) -> None:
    begun = await grants.start_trial(pool, GUILD, "discord:1", now=T0)
    assert begun.after is not None
    assert begun.after.until == T0 + 7 * DAY
    for guild, payer, sentence in (
        (GUILD, "discord:2", Sentence.TRIAL_USED_BY_GUILD),
        (OTHER, "discord:1", Sentence.TRIAL_USED_BY_PAYER),
    ):
        with pytest.raises(Refused) as caught:
            await grants.start_trial(pool, guild, payer, now=T0 + 100 * DAY)
        assert caught.value.sentence is sentence


async def test_a_guilds_first_plan_after_a_trial_is_a_conversion(pool: Pool) -> None:
    with counts("tonearm_conversions_total", 0):
        await grants.start_trial(pool, GUILD, "discord:1", now=T0)
        await told(pool, paid(), guild=OTHER)  # which had no trial
    with counts("tonearm_conversions_total"):
        await told(pool, paid(1))
        await told(pool, paid(1))  # once more
        await told(pool, paid(31))
        await told(pool, paid(90), ref="another")


async def test_two_trials_at_once_are_one(pool: Pool) -> None:
    wishes = [(GUILD, "discord:1"), (GUILD, "discord:2"), (GUILD, "discord:3"), (OTHER, "discord:1")]
    done = await asyncio.gather(
        *(grants.start_trial(pool, guild, payer, now=T0) for guild, payer in wishes), return_exceptions=True
    )
    assert {type(one) for one in done} == {grants.Recorded, Refused}
    trials = [*await grants.fetch_grants(pool, GUILD), *await grants.fetch_grants(pool, OTHER)]
    assert len({grant.guild for grant in trials}) == len({grant.payer for grant in trials}) == len(trials)


async def test_a_collision_is_tried_again_and_seen(pool: Pool) -> None:
    await told(pool, paid())
    tries = []

    async def meet(connection: Connection) -> int:
        tries.append(await connection.fetchval("select count(*) from subscription_events"))
        if len(tries) == 1:  # somebody else comes in between
            await told(pool, event(Kind.CANCEL, 1))
        await grants.record_in(connection, GUILD, Source.STRIPE, "sub", event(Kind.RESUME, 2), now=T0)
        return len(tries)

    assert await pool.transact(meet) == 2
    assert tries == [1, 2]
    (kept,) = await grants.fetch_grants(pool, GUILD)
    assert kept.state is State.ACTIVE


async def test_an_error_in_a_transaction_leaves_nothing(pool: Pool) -> None:
    async def break_off(connection: Connection) -> None:
        await grants.record_in(connection, GUILD, Source.STRIPE, "sub", paid(), now=T0)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await pool.transact(break_off)
    assert await grants.fetch_grants(pool, GUILD) == ()


async def test_a_crash_between_receipt_and_act_is_made_good(pool: Pool) -> None:
    body = b'{"type":1}'
    lease = timedelta(seconds=60)
    assert await receipts.store(pool, "discord", body, now=T0)
    (first,) = await receipts.claim(pool, T0, lease=lease)
    await told(pool, paid(id=f"w:{first.id}"))
    # Here the process dies: nobody says that it is done.
    assert await receipts.claim(pool, T0 + lease - DAY / 86_400, lease=lease) == ()
    (second,) = await receipts.claim(pool, T0 + lease, lease=lease)
    assert (second.id, second.body, second.attempts) == (first.id, body, 2)
    assert (await told(pool, paid(id=f"w:{second.id}"))).again
    await receipts.finish(pool, second.id, T0 + lease)
    assert await receipts.claim(pool, T0 + 10 * DAY, lease=lease) == ()


async def test_what_runs_out_is_found_once_it_is_said(pool: Pool) -> None:
    await told(pool, paid(), ref="a")
    await told(pool, paid(5), ref="b")
    await told(pool, event(Kind.ACTIVATE, plan=PlanId.PRO), ref="endless")
    assert await grants.fetch_running_out(pool, T0 + 32 * DAY) == ()
    (over,) = await grants.fetch_running_out(pool, T0 + 33 * DAY)
    assert over.ref == "a"
    await told(pool, event(Kind.EXPIRE, 33), ref="a")
    assert await grants.fetch_running_out(pool, T0 + 33 * DAY) == ()
    soon = await grants.fetch_running_out(pool, T0 + 50 * DAY, since=T0 + 34 * DAY)
    assert [grant.ref for grant in soon] == ["b"]


async def test_what_runs_out_at_the_same_moment_comes_in_pages(pool: Pool) -> None:
    for number in range(5):
        await told(pool, paid(), ref=str(number))
    seen: list[grants.Grant] = []
    while page := await grants.fetch_running_out(
        pool, T0 + 40 * DAY, since=T0, after=seen[-1] if seen else None, most=2
    ):
        seen += page
    assert [grant.ref for grant in seen] == ["0", "1", "2", "3", "4"]


async def test_the_grants_of_a_source_come_in_pages(pool: Pool) -> None:
    for number in range(5):
        await told(pool, paid(), ref=str(number))
    await grants.start_trial(pool, GUILD, "p", now=T0)
    seen: list[str] = []
    while page := await grants.fetch_grants_of(pool, Source.STRIPE, after=f"stripe:{seen[-1]}" if seen else "", most=2):
        seen += [grant.ref for grant in page]
    assert seen == ["0", "1", "2", "3", "4"]


async def test_events_come_in_pages_the_latest_first(pool: Pool) -> None:
    for day in range(5):
        await told(pool, paid(day))
    first = await grants.fetch_events(pool, GUILD, most=2)
    assert [past.event.at for past in first] == [T0 + 4 * DAY, T0 + 3 * DAY]
    rest = await grants.fetch_events(pool, GUILD, before=first[-1].seq)
    assert [past.event for past in rest] == [paid(2), paid(1), paid(0)]
    assert rest[0].grant == "stripe:sub"


async def test_events_are_only_ever_added(pool: Pool, database_url: str) -> None:
    await told(pool, paid())
    connection = await asyncpg.connect(database_url)
    try:
        for statement in ("update subscription_events set kind = 'x'", "delete from subscription_events"):
            with pytest.raises(asyncpg.RestrictViolationError):
                await connection.execute(statement)
        async with connection.transaction():
            await connection.execute("set local tonearm.forget = 'on'")
            await connection.execute("delete from subscription_events")
    finally:
        await connection.close()
    assert await grants.fetch_events(pool, GUILD) == ()


async def test_the_operator_is_told_of_each_change_once(pool: Pool) -> None:
    await outgoing.add_endpoint(pool, "shop", "https://shop.example/hook", now=T0)
    await outgoing.add_endpoint(pool, "jobs", "https://jobs.example/hook", ["job.dead"], now=T0)
    await told(pool, paid())
    await told(pool, paid())
    await told(pool, event(Kind.RESUME, 1))  # changes nothing
    (delivery,) = await outgoing.claim_due(pool, T0, lease=DAY)
    assert (delivery.endpoint, delivery.type, delivery.guild) == ("shop", grants.EVENT_TYPE, GUILD)
    assert f'"guild_id":"{GUILD}"'.encode() in delivery.body

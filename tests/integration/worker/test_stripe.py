"""From Stripe's signed events to grants: in any order, however often."""

import itertools
import json
import time
from datetime import UTC, datetime, timedelta

import httpx
import pytest
import stripe
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette

from interactions.api.webhooks import stripe as webhook
from tonearm.errors import Refused
from tonearm.postgres import grants, receipts
from tonearm.premium.grants import GRACE, Source, fold
from tonearm.premium.plans import PlanId, shelf
from tonearm.premium.states import State
from tonearm.worker.acting import act_on_receipts
from tonearm.worker.stripe_events import StripeShop

GUILD = 7 << 22
SECRETS = ("whsec_new", "whsec_old")


def event(n, kind, created, **changes):
    item = {"price": {"id": changes.pop("price", "price_1")}, "current_period_end": created + 30 * 86_400}
    subscription = {"id": "sub_1", "customer": "cus_1", "status": "active", "metadata": {"guild_id": str(GUILD)}}
    subscription["id"] = changes.pop("ref", "sub_1")
    subscription |= {"items": {"data": [item]}, **changes}
    about = {"id": f"evt_{n}", "type": f"customer.subscription.{kind}", "created": created}
    return json.dumps({**about, "data": {"object": subscription}}).encode()


async def post(pool, body, secret="whsec_old", age=0, kept_at=time.time):
    header = stripe.WebhookSignature.generate_signature_header(body.decode(), secret, int(kept_at()) - age)
    app = Starlette(routes=webhook.routes(pool, lambda: SECRETS, clock=kept_at))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://tonearm") as http:
        return (await http.post(webhook.PATH, content=body, headers={"Stripe-Signature": header})).status_code


@pytest.mark.parametrize(
    ("secret", "age", "status"), [("whsec_new", 0, 200), ("other", 0, 400), ("whsec_new", 400, 400)]
)
async def test_only_what_stripe_signed_just_now_is_kept(pool, secret, age, status):
    assert await post(pool, b'{"id":"evt"}', secret, age) == status
    kept = await pool.fetch_rows("select id from webhook_receipts")
    assert len(kept) == (status == 200)


async def test_any_order_and_repetition_end_the_same(pool, clock, cache):
    shop = StripeShop(pool, shelf((("premium", "price_1"), ("pro", "price_2"))), forget=cache.forget, clock=clock)
    begin = int(clock().timestamp())
    told = [
        event(1, "created", begin),
        event(2, "updated", begin + 10, price="price_2"),
        event(3, "updated", begin + 20, price="price_2", cancel_at_period_end=True),
    ]
    clock.forward(minutes=5)
    for number, order in enumerate(itertools.permutations(told)):
        await pool.execute("truncate webhook_receipts, grants")
        await pool.execute("truncate subscription_events")
        for body in (*order, *order):
            assert await post(pool, body, kept_at=lambda: clock().timestamp()) == 200
        await act_on_receipts(pool, {"stripe": shop}, clock)
        access = await grants.fetch_effective_plan(pool, GUILD, clock())
        assert (access.plan.id, access.state) == (PlanId.PRO, State.CANCELING), number
    await post(pool, event(4, "deleted", begin + 30, status="canceled"), kept_at=lambda: clock().timestamp())
    await act_on_receipts(pool, {"stripe": shop}, clock)
    assert (await grants.fetch_effective_plan(pool, GUILD, clock())).plan.id is PlanId.FREE


@pytest.fixture
def shop(pool, cache, clock):
    return StripeShop(pool, shelf((("premium", "price_1"), ("pro", "price_2"))), forget=cache.forget, clock=clock)


@pytest.fixture
def hear(pool, clock, shop):
    """Keeps what Stripe tells, and acts on it."""

    async def hear(*told):
        for body in told:
            await receipts.store(pool, "stripe", body, now=clock())
        done = await act_on_receipts(pool, {"stripe": shop}, clock)
        access = await grants.fetch_effective_plan(pool, GUILD, clock())
        return done, access.plan.id, access.state

    return hear


def trialing(n, begin, guild=GUILD, user="3", **changes):
    about = {"status": "trialing", "start_date": begin, "trial_start": begin, **changes}
    return event(n, "created", begin, metadata={"guild_id": str(guild), "user_id": user}, **about)


async def test_a_trial_at_stripe_is_the_trial_of_guild_and_payer(hear, pool, clock):
    begin = int(clock().timestamp())
    assert await hear(trialing(1, begin)) == (1, PlanId.PREMIUM, State.TRIALING)
    for guild, payer in ((GUILD, "discord:9"), (GUILD + 1, "discord:3")):
        with pytest.raises(Refused):
            await grants.start_trial(pool, guild, payer, now=clock())
    # It is told again with another plan, and paid in the end.
    assert await hear(trialing(2, begin + 1, price="price_2")) == (1, PlanId.PRO, State.TRIALING)
    clock.forward(days=30)
    paid = event(3, "updated", begin + 30 * 86_400, start_date=begin, trial_start=begin, price="price_2")
    assert await hear(paid) == (1, PlanId.PRO, State.ACTIVE)


@pytest.mark.parametrize("had", [(GUILD, "discord:9"), (GUILD + 1, "discord:3")])
async def test_a_second_trial_gives_nothing_until_it_is_paid(hear, pool, clock, had):
    begin = int(clock().timestamp())
    await grants.start_trial(pool, *had, now=clock())
    clock.forward(days=8)
    assert await hear(trialing(1, begin)) == (1, PlanId.FREE, State.EXPIRED if had[0] == GUILD else State.NONE)
    assert await hear(event(2, "updated", begin + 60, start_date=begin, trial_start=begin)) == (
        1,
        PlanId.PREMIUM,
        State.ACTIVE,
    )


async def test_two_trials_bought_at_once_are_one(hear, pool, clock):
    begin = int(clock().timestamp())
    told = [trialing(n, begin, guild=GUILD + n, ref=f"sub_{n}") for n in range(4)]
    assert (await hear(*told))[0] == 4
    plans = [(await grants.fetch_effective_plan(pool, GUILD + n, clock())).plan.id for n in range(4)]
    assert sorted(plans) == [PlanId.FREE] * 3 + [PlanId.PREMIUM]


async def test_who_cancels_a_trial_has_no_grace_and_who_does_not_pay_has_no_more_than_it(hear, clock):
    begin = int(clock().timestamp())
    assert (await hear(trialing(1, begin, cancel_at_period_end=True)))[2] is State.TRIALING
    clock.forward(days=30)
    assert (await hear())[1:] == (PlanId.FREE, State.EXPIRED)
    late = event(2, "updated", begin + 30 * 86_400, status="past_due", start_date=begin, trial_start=begin)
    assert (await hear(late))[2] is State.PAST_DUE
    clock.now += GRACE
    assert (await hear())[1:] == (PlanId.FREE, State.EXPIRED)


async def test_a_trial_that_the_operator_gives_to_who_pays_is_time_not_a_trial(hear, pool, clock):
    begin = int(clock().timestamp())
    await grants.start_trial(pool, GUILD + 1, "discord:3", now=clock() - timedelta(days=90))
    gift = trialing(2, begin + 20, start_date=begin, trial_start=begin + 20)
    assert await hear(event(1, "created", begin), gift) == (2, PlanId.PREMIUM, State.ACTIVE)
    (grant,) = await grants.fetch_grants(pool, GUILD)
    assert grant.ends_at == clock() + timedelta(days=30, seconds=20)


async def test_of_one_second_what_takes_access_away_counts_last(hear, clock):
    begin = int(clock().timestamp())
    clock.forward(seconds=1)
    told = [event("b", "created", begin), event("a", "deleted", begin, status="canceled")]
    assert (await hear(*told))[1:] == (PlanId.FREE, State.EXPIRED)


@pytest.mark.parametrize("names", ["ab", "ba"])
async def test_of_one_second_what_came_first_happened_first(hear, pool, clock, shop, names):
    begin = int(clock().timestamp())
    for name, price in zip(names, ("price_1", "price_2"), strict=True):
        clock.forward(milliseconds=5)
        await receipts.store(pool, "stripe", event(name, "updated", begin, price=price), now=clock())
    assert (await hear())[1:] == (PlanId.PRO, State.ACTIVE)


async def test_what_the_database_refuses_holds_nothing_else_up(hear, pool, clock):
    begin = int(clock().timestamp())
    impossible = event(1, "created", begin, metadata={"guild_id": "9999999999999999999"})
    broken = event(2, "created", begin, ref="sub\0")
    assert await hear(impossible, broken, event(3, "created", begin)) == (2, PlanId.PREMIUM, State.ACTIVE)


words = st.lists(
    st.builds(
        lambda n, day, status, price, ending, trial: (n, day, status, price, ending, trial),
        st.integers(1, 99),
        st.integers(0, 60),
        st.sampled_from(["active", "trialing", "past_due", "unpaid", "incomplete", "paused", "canceled"]),
        st.sampled_from(["price_1", "price_2", "price_other"]),
        st.booleans(),
        st.booleans(),
    ),
    max_size=10,
    unique_by=lambda word: word[0],
)


@given(words, st.randoms(), st.integers(0, 150))
def test_whatever_stripe_tells_in_whatever_order_ends_the_same_and_ends_in_time(history, chance, day):
    """The words of a subscription, without the database: what is kept of them is folded on reading."""
    begin = datetime(2026, 11, 1, tzinfo=UTC)
    shop = StripeShop(None, shelf((("premium", "price_1"), ("pro", "price_2"))), forget=None, clock=None)

    def heard(order):
        told = []
        for n, at, status, price, ending, trial in order:
            created = int(begin.timestamp()) + at * 86_400
            about = {"start_date": created, "trial_start": created + (0 if trial else 1)}
            body = event(n, "updated", created, status=status, price=price, cancel_at_period_end=ending, **about)
            told += shop.read(body, begin)[1]
        return fold(GUILD, Source.STRIPE, "sub_1", told)

    shuffled = history + [word for word in history if chance.random() < 0.5]
    chance.shuffle(shuffled)
    made = heard(history)
    assert heard(shuffled) == made
    if history and made is not None:
        last = begin + timedelta(days=max(word[1] for word in history) + 30) + GRACE
        assert not made.is_valid(max(last, begin + timedelta(days=day + 93)))

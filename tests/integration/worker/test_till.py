"""Buying by card from Discord: the page that an errand opens, for whom, and what is said where there is none."""

from datetime import timedelta

import msgspec
import pytest

from playground.stripe.server import SECRET_KEY, StripeDouble
from tonearm.errors import Refused, StripeAway
from tonearm.jobs.errand import ErrandJob, ManagePlan, ShowPlan, Subscribe
from tonearm.postgres import grants
from tonearm.premium.grants import Event, Source
from tonearm.premium.plans import PlanId, Shelf, shelf
from tonearm.premium.states import Kind
from tonearm.sentences import Sentence
from tonearm.stripe.sessions import StripeSessions
from tonearm.worker.errands import Office
from tonearm.worker.till import Till

GUILD, USER = 7 << 22, 3
PRICES = shelf((("premium", "price_1"),))


def job(action, number=1, user=USER):
    return ErrandJob(f"i:{number}", GUILD, user, 9, action, 20_000)


@pytest.fixture
async def stripe(clock):
    async with StripeDouble(["price_1"], clock=lambda: clock().timestamp()) as stripe:
        stripe.live_key = SECRET_KEY
        yield stripe


@pytest.fixture
async def office(stripe, pool, cache, clock):
    sessions = StripeSessions(
        lambda: stripe.live_key, api_url=stripe.url, prices=PRICES, return_url="https://a.example"
    )
    yield Office(pool, cache, shelf=Shelf(), prices=PRICES, till=Till(pool, sessions, clock=clock), clock=clock)
    await sessions.aclose()


async def link(office, job):
    answer = await office.do(job)
    assert answer.private
    buttons = msgspec.json.decode(answer.message)["components"][1]["components"]
    return buttons[0]["url"], bytes(answer.message).decode()


async def card(office, user=USER):
    return bytes((await office.do(job(ShowPlan(), user=user))).message)


async def test_a_click_opens_one_page_with_the_trial(office, stripe, pool, clock):
    url, said = await link(office, job(Subscribe("premium")))
    assert "first 7 days" in said
    assert (await link(office, job(Subscribe("premium"))))[0] == url
    ((_, _, asked),) = stripe.requests
    assert asked["subscription_data"] == {
        "metadata": {"guild_id": str(GUILD), "user_id": str(USER)},
        "trial_period_days": "7",
    }
    await grants.start_trial(pool, GUILD, "discord:8", now=clock())
    _, said = await link(office, job(Subscribe("premium"), 2))
    assert "paid at once" in said
    with pytest.raises(StripeAway):  # the first click, done again, would be something else by now
        await office.do(job(Subscribe("premium")))


async def test_only_who_pays_gets_to_the_portal(office, stripe, pool, clock):
    with pytest.raises(Refused) as nothing:
        await office.do(job(ManagePlan()))
    assert nothing.value.sentence is Sentence.NOTHING_BOUGHT
    url, _ = await link(office, job(Subscribe("premium")))
    (told, *_) = stripe.books.pay(url.rpartition("/")[2])
    bought = Event("e", Kind.ACTIVATE, clock(), PlanId.PREMIUM, clock() + timedelta(days=30), payer=f"discord:{USER}")
    await grants.record(pool, GUILD, Source.STRIPE, told["data"]["object"]["id"], bought, now=clock())
    assert (await link(office, job(ManagePlan(), 2)))[0].startswith(f"{stripe.url}/p/session/")
    for other in (ManagePlan(), Subscribe("premium")):
        with pytest.raises(Refused):
            await office.do(job(other, 3, user=USER + 1))
    assert b"v1:manage:open" in await card(office)
    assert b"v1:manage:open" not in await card(office, user=USER + 1)


async def test_what_is_not_sold_is_said(office, pool, cache, clock):
    assert b"v1:subscribe:premium" in await card(office)
    without = Office(pool, cache, shelf=Shelf(), prices=PRICES, clock=clock)
    assert b"v1:subscribe" not in await card(without)
    for one, action in ((office, Subscribe("pro")), (without, Subscribe("premium")), (without, ManagePlan())):
        with pytest.raises(Refused) as caught:
            await one.do(job(action, 5))
        assert caught.value.sentence is Sentence.NOT_SOLD


async def test_a_shop_that_is_away_is_a_sentence_and_opens_later(office, stripe):
    stripe.trouble = 500
    with pytest.raises(StripeAway, match="shop"):
        await office.do(job(Subscribe("premium")))
    stripe.trouble = None
    await link(office, job(Subscribe("premium")))


async def test_a_key_that_was_replaced_is_used_at_once(office, stripe):
    stripe.live_key = "sk_test_old"
    with pytest.raises(StripeAway):
        await office.do(job(Subscribe("premium")))
    stripe.live_key = SECRET_KEY
    await link(office, job(Subscribe("premium")))


async def test_a_trial_is_offered_to_who_has_had_none(office, pool, clock):
    await grants.start_trial(pool, GUILD + 1, f"discord:{USER}", now=clock())
    assert b"v1:trial" not in await card(office)
    assert b"v1:trial" in await card(office, user=USER + 1)

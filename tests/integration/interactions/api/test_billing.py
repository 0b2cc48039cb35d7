"""Buying by card through the API: Stripe's pages, what comes back by webhook, and what is said when Stripe is away."""

import time
from datetime import UTC, datetime, timedelta

import httpx
import msgspec
import pytest

from interactions.api.webhooks import stripe as webhook
from playground.stripe.server import SECRET_KEY, WEBHOOK_SECRET, StripeDouble
from tests.support.api.serving import GUILD, NOW, OTHER, USER, make_caller, problem, serving
from tonearm.postgres import grants, receipts
from tonearm.premium.grants import Event, Source
from tonearm.premium.plans import PlanId, shelf
from tonearm.premium.states import Kind, State
from tonearm.worker.acting import act_on_receipts
from tonearm.worker.stripe_events import StripeShop

PATH = f"/guilds/{GUILD}/subscription"
WISH = {"plan": "premium", "user_id": str(USER)}
PRICES = (("premium", "price_1"), ("pro", "price_2"))
SOLD = ",".join("=".join(pair) for pair in PRICES)


async def forget_nothing(guild: int) -> None:
    """There is no cache here."""


class Shop:
    """The double, with its events brought to the API and acted on as the worker does it."""

    def __init__(self, stripe, http, pool, clock) -> None:
        self.stripe, self.http, self.pool, self.clock = stripe, http, pool, clock
        self.till = StripeShop(pool, shelf(PRICES), forget=forget_nothing, clock=self.now)

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.clock(), UTC)

    async def hear(self, events, statuses=(200,)):
        for event in events:
            body = msgspec.json.encode(event)
            header = self.stripe.sign(body)
            answer = await self.http.post(webhook.PATH, content=body, headers={"Stripe-Signature": header})
            assert answer.status_code in statuses
        return await act_on_receipts(self.pool, {"stripe": self.till}, self.now)

    async def pay(self, url):
        return await self.hear(self.stripe.books.pay(url.rpartition("/")[2]))

    def bought(self):
        return next(reversed(self.stripe.books.subscriptions))


@pytest.fixture
async def shop(database_url, redis_url, pool, clock):
    async with (
        StripeDouble([price for _, price in PRICES], clock=clock) as stripe,
        serving(
            database_url,
            redis_url,
            clock=clock,
            stripe_prices=SOLD,
            stripe_secret_key=SECRET_KEY,
            stripe_webhook_secrets=WEBHOOK_SECRET,
            stripe_api_url=stripe.url,
            stripe_return_url="https://shop.example/thanks",
        ) as http,
    ):
        yield Shop(stripe, http, pool, clock)


@pytest.fixture
async def buyer(shop, pool):
    return await make_caller(shop.http, pool)


async def test_from_the_page_to_the_plan(shop, buyer):
    opened = await buyer.post(PATH + "/checkout", WISH)
    assert opened.status_code == 201
    assert opened.json()["trial_days"] == 7
    assert opened.json()["url"].startswith(shop.stripe.url)
    ((_, _, asked),) = shop.stripe.requests
    assert asked["client_reference_id"] == asked["metadata"]["guild_id"] == str(GUILD)
    assert asked["subscription_data"]["metadata"] == {"guild_id": str(GUILD), "user_id": str(USER)}
    assert (await buyer.get(PATH)).json()["plan"] == "free"

    await shop.pay(opened.json()["url"])
    seen = (await buyer.get(PATH)).json()
    assert (seen["plan"], seen["state"], seen["grant_id"]) == ("premium", "trialing", f"stripe:{shop.bought()}")

    shop.clock.now += timedelta(days=7)
    await shop.hear(shop.stripe.books.renew(shop.bought()))
    assert (await buyer.get(PATH)).json()["state"] == "active"
    shop.clock.now += timedelta(seconds=1)
    await shop.hear(shop.stripe.books.change_price(shop.bought(), "price_2"))
    assert (await buyer.get(PATH)).json()["plan"] == "pro"
    shop.clock.now += timedelta(seconds=1)
    await shop.hear(shop.stripe.books.cancel(shop.bought(), at_period_end=True))
    assert (await buyer.get(PATH)).json()["state"] == "canceling"
    shop.clock.now += timedelta(days=30)
    seen = (await buyer.get(PATH)).json()
    assert (seen["plan"], seen["state"]) == ("free", "expired")


@pytest.mark.parametrize("had", [(GUILD, "discord:9"), (OTHER, f"discord:{USER}")])
async def test_who_had_a_trial_pays_at_once(shop, buyer, pool, had):
    await grants.start_trial(pool, *had, now=NOW - timedelta(days=30))
    opened = (await buyer.post(PATH + "/checkout", WISH)).json()
    assert opened["trial_days"] == 0
    assert "trial_period_days" not in shop.stripe.requests[0][2]["subscription_data"]
    await shop.pay(opened["url"])
    assert (await buyer.get(PATH)).json()["state"] == "active"


async def test_two_pages_that_were_open_at_once_give_one_trial(shop, buyer, pool):
    pages = [
        (await buyer.post(f"/guilds/{guild}/subscription/checkout", WISH)).json()["url"] for guild in (GUILD, OTHER)
    ]
    for page in pages:
        await shop.pay(page)
    states = [(await buyer.get(f"/guilds/{guild}/subscription")).json()["state"] for guild in (GUILD, OTHER)]
    assert states == ["trialing", "none"]


async def test_the_same_wish_opens_one_page(shop, buyer, pool):
    first = await buyer.post(PATH + "/checkout", WISH, Idempotency_Key="checkout-1")
    again = await buyer.post(PATH + "/checkout", WISH, Idempotency_Key="checkout-1")
    assert again.json() == first.json()
    # Our own record of it is lost, as when a process dies: Stripe knows the key.
    await pool.execute("truncate idempotency")
    third = await buyer.post(PATH + "/checkout", WISH, Idempotency_Key="checkout-1")
    assert third.json() == first.json()
    assert len(shop.stripe.requests) == 1
    await pool.execute("truncate idempotency")
    await grants.start_trial(pool, GUILD, "discord:9", now=NOW)
    assert problem(await buyer.post(PATH + "/checkout", WISH, Idempotency_Key="checkout-1")) == "changed-meanwhile"


@pytest.mark.parametrize("source", [Source.DISCORD, Source.STRIPE])
async def test_a_guild_pays_once(shop, buyer, pool, source):
    event = Event("e1", Kind.ACTIVATE, NOW, PlanId.PREMIUM, NOW + timedelta(days=1))
    await grants.record(pool, GUILD, source, "77", event, now=NOW)
    assert problem(await buyer.post(PATH + "/checkout", WISH)) == "bought-already"
    shop.clock.now += timedelta(days=2)
    assert (await buyer.post(PATH + "/checkout", WISH)).status_code == 201


async def test_the_portal_is_for_what_was_bought(shop, buyer):
    assert problem(await buyer.post(PATH + "/portal")) == "nothing-bought"
    await shop.pay((await buyer.post(PATH + "/checkout", WISH)).json()["url"])
    opened = await buyer.post(PATH + "/portal", Idempotency_Key="portal-1")
    assert opened.status_code == 201
    assert opened.json()["url"].startswith(shop.stripe.url + "/p/session/")
    again = await buyer.post(PATH + "/portal", Idempotency_Key="portal-1")
    assert (again.json(), again.headers["idempotent-replayed"]) == ({"url": None}, "true")


async def test_no_address_of_a_portal_is_kept(shop, buyer, pool):
    await shop.pay((await buyer.post(PATH + "/checkout", WISH)).json()["url"])
    url = (await buyer.post(PATH + "/portal")).json()["url"]
    kept = await pool.fetch_rows("select body from idempotency")
    assert all(url.encode() not in row["body"] for row in kept)


@pytest.mark.parametrize("trouble", [0, 401, 429, 500, 503])
@pytest.mark.parametrize("path", ["/checkout", "/portal"])
async def test_when_stripe_is_away_a_sentence_comes_in_time_and_the_wish_can_be_repeated(shop, buyer, path, trouble):
    await shop.pay((await buyer.post(PATH + "/checkout", WISH)).json()["url"])
    shop.clock.now += timedelta(days=60)
    shop.stripe.trouble = trouble
    body = WISH if path == "/checkout" else None
    began = time.monotonic()
    answer = await buyer.post(PATH + path, body, Idempotency_Key="wish-0001")
    assert time.monotonic() - began < 2.5
    assert (answer.status_code, problem(answer), answer.headers["retry-after"]) == (503, "shop-away", "5")
    assert SECRET_KEY not in answer.text
    shop.stripe.trouble = None
    assert (await buyer.post(PATH + path, body, Idempotency_Key="wish-0001")).status_code == 201


async def test_where_stripe_is_not_set_up(caller):
    for path, body in (("/checkout", WISH), ("/portal", None)):
        answer = await caller.post(PATH + path, body)
        assert (answer.status_code, problem(answer)) == (501, "no-shop")


async def test_a_plan_without_a_price_is_not_sold(database_url, redis_url, pool, clock):
    settings = {"stripe_prices": "pro=price_2", "stripe_secret_key": "x", "stripe_return_url": "https://a.example"}
    async with serving(database_url, redis_url, clock=clock, **settings) as http:
        caller = await make_caller(http, pool)
        assert problem(await caller.post(PATH + "/checkout", WISH)) == "not-sold"


@pytest.mark.parametrize("skew", [-301, 301])
async def test_what_was_signed_at_another_time_is_not_heard(shop, buyer, pool, skew):
    url = (await buyer.post(PATH + "/checkout", WISH)).json()["url"]
    events = shop.stripe.books.pay(url.rpartition("/")[2])
    shop.stripe._clock = lambda: shop.clock() + skew
    await shop.hear(events, statuses=(400,))
    assert (await buyer.get(PATH)).json()["plan"] == "free"


async def test_a_replayed_and_late_event_does_not_bring_back_what_is_over(shop, buyer):
    url = (await buyer.post(PATH + "/checkout", WISH)).json()["url"]
    first = shop.stripe.books.pay(url.rpartition("/")[2])
    last = shop.stripe.books.cancel(shop.bought(), at_period_end=False)
    await shop.hear(last)
    await shop.hear(first)
    await shop.hear([*first, *last])
    assert (await buyer.get(PATH)).json()["plan"] == "free"
    assert await receipts.claim(shop.pool, NOW + timedelta(days=1), lease=timedelta(seconds=1)) == ()
    assert {each.state for each in await grants.fetch_grants(shop.pool, GUILD)} <= {State.EXPIRED}


async def test_the_page_is_one_that_a_browser_can_use(shop, buyer):
    url = (await buyer.post(PATH + "/checkout", WISH)).json()["url"]
    async with httpx.AsyncClient() as browser:
        assert "Subscribe" in (await browser.get(url)).text
        paid = await browser.post(url, data={"do": "pay"})
        assert (paid.status_code, paid.headers["location"]) == (303, "https://shop.example/thanks")
        assert (await browser.post(url, data={"do": "pay"})).status_code == 400

"""A subscription from its trial to its end, seen from Discord: what is sold unlocks, and locks again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import httpx
import pytest

from playground.stripe.server import SECRET_KEY, WEBHOOK_SECRET, StripeDouble
from playground.system import System
from playground.twin.seen import SeenMessage
from tests.e2e.conftest import OpenRoom, Room
from tests.support.api.serving import Clock, make_caller, problem, serving
from tonearm.cache import TermsCache
from tonearm.child_logs import LogFolder
from tonearm.discord.rest import RestClient
from tonearm.postgres import grants
from tonearm.postgres.pool import Pool
from tonearm.premium.grants import Event, Source
from tonearm.premium.states import Kind
from tonearm.redis.client import connect
from tonearm.settings import load
from tonearm.worker.process import make_rounds

TIMEOUT = 15
PRICES = {"premium": "price_1", "pro": "price_2"}


class Shop(System):
    """A system where plans are sold, by Discord and by card."""

    stripe: StripeDouble


@pytest.fixture(scope="module")
async def shop(tmp_path_factory: pytest.TempPathFactory, tones: Path) -> AsyncIterator[Shop]:
    """A system with a worker, the API, and a shop for cards."""
    folder = tmp_path_factory.mktemp("premium")
    async with StripeDouble(PRICES.values()) as stripe:
        settings = {
            "STRIPE_API_URL": stripe.url,
            "STRIPE_SECRET_KEY": SECRET_KEY,
            "STRIPE_WEBHOOK_SECRETS": WEBHOOK_SECRET,
            "STRIPE_PRICES": ",".join(f"{plan}={price}" for plan, price in PRICES.items()),
            "STRIPE_RETURN_URL": f"{stripe.url}/",
        }
        with LogFolder(folder / "logs") as log:
            async with Shop(folder, library=tones, settings=settings, premium=True, log=log) as running:
                stripe.webhook_url = f"{running.api_url}/webhook-events/stripe"
                running.stripe = stripe
                yield running
                assert await running.twin.violations() == []


class Customer:
    """Ada, who may manage her server, and what she sees."""

    def __init__(self, room: Room) -> None:
        self.room = room
        self.guild = str(room.guild.id)

    async def ask(self, name: str, **options: str | int) -> SeenMessage:
        return await (await self.room.say(name, **options)).answer(timeout=TIMEOUT)

    async def click(self, message: SeenMessage, which: str, values: list[str] | None = None) -> SeenMessage:
        return await (await self.room.ada.click(message, which, values)).answer(timeout=TIMEOUT)

    async def until(self, words: str, name: str, **options: str | int) -> None:
        """Ask until the answer has these words: others may take a minute to hear of a change."""
        async with asyncio.timeout(45):
            while True:
                if words in (await self.ask(name, **options)).text:
                    return
                await asyncio.sleep(1.1)  # not quicker than a person may


@pytest.fixture
async def ada(open_room: OpenRoom, shop: Shop) -> Customer:
    """She listens to something in a server that she manages."""
    room = await open_room(where=shop)
    await room.make_ada_boss()
    ada = Customer(room)
    await ada.ask("play", query="long 440")
    return ada


async def operator_ends_the_trial(shop: Shop, guild: int) -> None:
    """What time would do in a week."""
    now = datetime.now(UTC)
    async with Pool(shop.environ["TONEARM_DATABASE_URL"]) as pool, connect(shop.environ["TONEARM_REDIS_URL"]) as redis:
        await grants.record(pool, guild, Source.TRIAL, str(guild), Event("ended", Kind.REVOKE, now), now=now)
        await TermsCache(redis, pool, shard_count=1).forget(guild)


@pytest.mark.timeout(180)
async def test_from_the_trial_to_the_end_through_discords_events(ada: Customer, shop: Shop) -> None:
    assert "**Premium**" in (await ada.ask("volume", percent=150)).text
    card = await ada.ask("premium")
    assert "plan: Free" in card.text
    assert {button.get("sku_id") for button in card.buttons} >= set(shop.skus.values())

    card = await ada.click(card, "Start the trial")
    assert "plan: Premium (trial)" in card.text
    await ada.until("150", "volume", percent=150)
    assert "Start the trial" not in [button.get("label") for button in (await ada.ask("premium")).buttons]
    assert "24/7 is on" in (await ada.ask("247", state="on")).text
    assert "24/7**: on" in (await ada.ask("settings")).text

    bought = await shop.twin.create_entitlement(shop.skus["pro"], guild=ada.guild)
    await ada.until("plan: Pro (active)", "premium")

    # A cancellation sends no event: the end is told when it has come.
    await operator_ends_the_trial(shop, int(ada.guild))
    await shop.twin.change_entitlement(bought["id"], ends_at=datetime.now(UTC).isoformat())
    await ada.until("plan: Free (ended)", "premium")
    await ada.until("**Premium**", "volume", percent=160)
    assert "Start the trial" not in [button.get("label") for button in (await ada.ask("premium")).buttons]


def labels(message: SeenMessage) -> list[str | None]:
    return [button.get("label") for button in message.buttons]


@pytest.mark.timeout(180)
async def test_from_the_trial_to_the_end_by_card(ada: Customer, shop: Shop) -> None:
    assert "**Premium**" in (await ada.ask("volume", percent=150)).text
    page = await ada.click(await ada.ask("premium"), "Premium by card")
    assert "first 7 days" in page.text
    await browse(link(page, "Subscribe"), "pay")
    await ada.until("plan: Premium (trial)", "premium")
    await ada.until("150", "volume", percent=150)

    page = await ada.click(await ada.ask("premium"), "Manage")
    await browse(link(page, "Manage"), "price_2")
    await ada.until("plan: Pro (trial)", "premium")
    await shop.stripe.tell(shop.stripe.books.renew(bought(shop)))
    await ada.until("plan: Pro (active)", "premium")
    page = await ada.click(await ada.ask("premium"), "Manage")
    await browse(link(page, "Manage"), "cancel")
    await ada.until("plan: Pro (canceled)", "premium")
    await shop.stripe.tell(shop.stripe.books.cancel(bought(shop), at_period_end=False))
    await ada.until("plan: Free (ended)", "premium")
    await ada.until("**Premium**", "volume", percent=160)
    assert "Start the trial" not in labels(await ada.ask("premium"))


def link(message: SeenMessage, label: str) -> str:
    (url,) = [str(button["url"]) for button in message.buttons if button.get("label") == label]
    return url


def bought(shop: Shop) -> str:
    return next(reversed(shop.stripe.books.subscriptions))


async def browse(url: str, button: str) -> None:
    """Press a button of a page at Stripe."""
    async with httpx.AsyncClient(timeout=TIMEOUT) as browser:
        assert (await browser.post(url, data={"do": button})).status_code == 303


@pytest.mark.timeout(180)
async def test_from_the_trial_to_the_end_through_the_api(ada: Customer, shop: Shop) -> None:
    """Its clock, and that of the worker's rounds, goes on as the test says; Discord's side hears what they tell."""
    clock = Clock(datetime.now(UTC))
    path = f"/guilds/{ada.guild}/subscription"
    database, memory = shop.environ["TONEARM_DATABASE_URL"], shop.environ["TONEARM_REDIS_URL"]
    async with Pool(database, timeout=5) as pool, serving(database, memory, clock=clock) as http:
        office = await make_caller(http, pool)
        assert "**Premium**" in (await ada.ask("volume", percent=150)).text
        begun = await office.post(path + "/trial", {"user_id": "5"})
        assert begun.json()["state"] == "trialing"
        await ada.until("150", "volume", percent=150)
        assert "plan: Premium (trial)" in (await ada.ask("premium")).text

        clock.now += timedelta(days=6)
        ends_at = (clock.now + timedelta(days=30)).isoformat()
        paid = await office.post(path, {"plan": "premium", "ends_at": ends_at})
        assert (paid.status_code, paid.json()["state"]) == (201, "active")
        upgraded = await office.patch(path, {"plan": "pro"}, If_Match=paid.headers["etag"])
        assert upgraded.json()["plan"] == "pro"
        canceled = await office.post(path + "/cancel", {"when": "period_end"})
        assert (canceled.json()["plan"], canceled.json()["state"]) == ("pro", "canceling")

        clock.now += timedelta(days=29)
        await expire(shop, pool, clock)
        assert (await office.get(path)).json()["plan"] == "pro"
        clock.now += timedelta(days=1)
        assert (await office.get(path)).json()["state"] == "expired"
        await expire(shop, pool, clock)
        await ada.until("plan: Free (ended)", "premium")
        await ada.until("**Premium**", "volume", percent=160)
        again = await office.post(path + "/trial", {"user_id": "6"})
        assert (again.status_code, problem(again)) == (409, "trial-used")
        told = [each["kind"] for each in (await office.get(path + "/events")).json()["data"]]
        assert told[-4:] == ["cancel", "upgrade", "activate", "start_trial"]
        assert set(told[:-4]) == {"expire"}


async def expire(shop: Shop, pool: Pool, clock: Clock) -> None:
    """The worker's own round, at the time of ``clock``."""
    settings = load((), shop.environ)
    async with (
        connect(settings.redis_url, timeout=5) as redis,
        RestClient(settings.discord_api_url, bot_token=settings.discord_bot_token) as rest,
        aiohttp.ClientSession() as http,
    ):
        cache = TermsCache(redis, pool, shard_count=1, local=False)
        rounds = make_rounds(
            settings, redis=redis, rest=rest, http=http, pool=pool, cache=cache, clock=lambda: clock.now
        )
        await next(each for each in rounds if each.name == "expiry").work()


@pytest.mark.timeout(120)
async def test_settings_are_changed_by_selects_and_a_form(ada: Customer) -> None:
    card = await ada.ask("settings")
    assert "new player: 100 %" in card.text
    card = await ada.click(card, "Volume of a new player", ["75"])
    assert "new player: 75 %" in card.text
    refusal = await ada.click(card, "What is on", ["always_on", "announcements"])
    assert "24/7" in refusal.text
    assert (await ada.ask("247", state="on")).text == refusal.text
    opened = await ada.room.ada.click(card, "When I leave …")
    assert opened.modal is not None
    sent = await opened.submit(alone="2", idle="")
    assert "after 2 min alone, 15 min with nothing" in (await sent.answer(timeout=TIMEOUT)).text
    assert "after 2 min alone" in (await ada.ask("settings")).text

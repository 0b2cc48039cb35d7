"""The double on a port: the API with its keys and idempotency, the two pages, and the webhooks."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import html
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Self

import aiohttp
import msgspec
from aiohttp import web

from playground.stripe.books import Books, Json
from playground.stripe.forms import Wrong, check_checkout, check_portal, decode

SECRET_KEY = "sk_test_tonearm"  # noqa: S105 - of a double, on loopback
WEBHOOK_SECRET = "whsec_tonearm"  # noqa: S105

DELAYS = (0.5, 2.0, 5.0)
"""Seconds between the attempts to deliver an event; Stripe goes on for three days."""


class StripeDouble:
    """An async context manager. ``prices`` are the ids of what is sold; ``clock`` tells the seconds since 1970.

    Events go to ``webhook_url``, and are dropped without one. ``trouble`` has the API fail: a status that it answers
    with, or 0 to hang.
    """

    def __init__(
        self, prices: Iterable[str], *, port: int = 0, host: str = "127.0.0.1", clock: Callable[[], float] = time.time
    ) -> None:
        self.url = ""
        self.webhook_url: str | None = None
        self.trouble: int | None = None
        self.requests: list[tuple[str, str, Json]] = []
        """Method, path and parameters of every request that was let in."""
        self.books = Books(clock)
        self._prices = frozenset(prices)
        self._address = host, port
        self._clock = clock
        self._answered: dict[str, tuple[bytes, int, Json]] = {}
        self._unhang = asyncio.Event()
        app = web.Application()
        app.router.add_post("/v1/checkout/sessions", self._api(self._open_checkout))
        app.router.add_post("/v1/billing_portal/sessions", self._api(self._open_portal))
        app.router.add_get("/v1/subscriptions/{id}", self._api(self._subscription))
        app.router.add_get("/c/pay/{id}", self._checkout_page)
        app.router.add_post("/c/pay/{id}", self._pay)
        app.router.add_get("/p/session/{id}", self._portal_page)
        app.router.add_post("/p/session/{id}", self._manage)
        self._runner = web.AppRunner(app, access_log=None)

    async def __aenter__(self) -> Self:
        self._http = aiohttp.ClientSession()
        await self._runner.setup()
        site = web.TCPSite(self._runner, *self._address)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._unhang.set()
        await self._http.close()
        await self._runner.cleanup()

    async def tell(self, events: Iterable[Json]) -> None:
        """Deliver events, one after another, each until it is taken or given up."""
        for event in events:
            await self.deliver(msgspec.json.encode(event))

    async def deliver(self, body: bytes) -> int | None:
        """Deliver an event as it is; the status of the last answer, ``None`` where there was none."""
        status = None
        for delay in (*DELAYS, None):
            if self.webhook_url is None:
                return None
            headers = {"Content-Type": "application/json; charset=utf-8", "Stripe-Signature": self.sign(body)}
            try:
                async with asyncio.timeout(10), self._http.post(self.webhook_url, data=body, headers=headers) as answer:
                    status = answer.status
                    if 200 <= status < 300:
                        return status
            except (aiohttp.ClientError, OSError, TimeoutError):
                status = None
            if delay is not None:
                await asyncio.sleep(delay)
        return status

    def sign(self, body: bytes) -> str:
        """The header Stripe-Signature (Stripe's documentation, *Verify webhook signatures manually*)."""
        now = int(self._clock())
        code = hmac.new(WEBHOOK_SECRET.encode(), b"%d." % now + body, hashlib.sha256).hexdigest()
        return f"t={now},v1={code},v0={'0' * 64}"

    # The API.

    def _api(self, answer: Callable[[web.Request, Json], Json]) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def handle(request: web.Request) -> web.Response:
            if self.trouble == 0:
                await self._unhang.wait()
            if self.trouble:
                return _refusal(Wrong("Something went wrong on Stripe's end.", status=self.trouble, kind="api_error"))
            body = await request.read()
            try:
                if request.headers.get("Authorization") != f"Bearer {SECRET_KEY}":
                    raise Wrong("Invalid API Key provided.", status=401)
                if not request.headers.get("Stripe-Version"):
                    raise Wrong("No Stripe-Version was given.")
                given = decode(body)
                key = request.headers.get("Idempotency-Key", "") if request.method == "POST" else ""
                if len(key) > 255:
                    raise Wrong("An idempotency key has at most 255 characters.", kind="idempotency_error")
                print_ = hashlib.sha256(request.path.encode() + b"\0" + body).digest()
                known = self._answered.get(key)
                if known is not None and known[0] != print_:
                    raise Wrong(
                        "Keys for idempotent requests can only be used with the same parameters they were first used "
                        "with.",
                        kind="idempotency_error",
                    )
                if known is not None:
                    return web.json_response(known[2], status=known[1], headers={"Idempotent-Replayed": "true"})
                self.requests.append((request.method, request.path, given))
                made = answer(request, given)
            except Wrong as wrong:
                return _refusal(wrong)
            if key:
                self._answered[key] = print_, 200, made
            return web.json_response(made)

        return handle

    def _open_checkout(self, request: web.Request, given: Json) -> Json:
        check_checkout(given, self._prices)
        return self.books.open_checkout(given, self.url)

    def _open_portal(self, request: web.Request, given: Json) -> Json:
        check_portal(given, self.books.customers)
        return self.books.open_portal(given, self.url)

    def _subscription(self, request: web.Request, given: Json) -> Json:
        id = request.match_info["id"]
        if id not in self.books.subscriptions:
            raise Wrong(f"No such subscription: '{id}'", param="id", code="resource_missing", status=404)
        return self.books.subscriptions[id]

    # The pages, for people and for tests: what a browser would post.

    async def _checkout_page(self, request: web.Request) -> web.Response:
        kept = self.books.checkouts.get(request.match_info["id"])
        if kept is None:
            raise web.HTTPNotFound
        given = kept["given"]
        days = given.get("subscription_data", {}).get("trial_period_days", "0")
        said = f"{given['line_items']['0']['price']}, {days} days free. No money is taken: this is a double of Stripe."
        return _page("Checkout", said, {"pay": "Subscribe"})

    async def _pay(self, request: web.Request) -> web.Response:
        kept = self.books.checkouts.get(request.match_info["id"])
        if kept is None:
            raise web.HTTPNotFound
        await self._happen(lambda: self.books.pay(request.match_info["id"]))
        raise web.HTTPSeeOther(kept["session"]["success_url"])

    async def _portal_page(self, request: web.Request) -> web.Response:
        subscription = self._managed(request)
        said = f"{subscription['items']['data'][0]['price']['id']}: {subscription['status']}"
        actions = {"cancel": "Cancel at the end of the period", "resume": "Resume"}
        return _page("Your subscription", said, {**actions, **{price: f"Change to {price}" for price in self._prices}})

    async def _manage(self, request: web.Request) -> web.Response:
        id, wish = self._managed(request)["id"], (await request.post()).get("do")
        if wish == "cancel":
            await self._happen(lambda: self.books.cancel(id, at_period_end=True))
        elif wish == "resume":
            await self._happen(lambda: self.books.resume(id))
        elif wish in self._prices:
            await self._happen(lambda: self.books.change_price(id, str(wish)))
        else:
            raise web.HTTPBadRequest
        raise web.HTTPSeeOther(self.books.portals[request.match_info["id"]]["return_url"])

    def _managed(self, request: web.Request) -> Json:
        session = self.books.portals.get(request.match_info["id"])
        if session is None:
            raise web.HTTPNotFound
        theirs = (each for each in self.books.subscriptions.values() if each["customer"] == session["customer"])
        return next(theirs)

    async def _happen(self, change: Callable[[], list[Json]]) -> None:
        try:
            events = change()
        except Wrong as wrong:
            raise web.HTTPBadRequest(text=str(wrong)) from None
        await self.tell(events)


def _refusal(wrong: Wrong) -> web.Response:
    return web.json_response({"error": wrong.error}, status=wrong.status, headers={"Request-Id": "req_double"})


def _page(title: str, said: str, actions: dict[str, Any]) -> web.Response:
    buttons = "".join(
        f"<button name='do' value='{html.escape(do, quote=True)}'>{html.escape(label)}</button> "
        for do, label in actions.items()
    )
    head, form = f"<!doctype html><title>{title}</title><h1>{title}</h1>", f"<form method='post'>{buttons}</form>"
    return web.Response(text=f"{head}<p>{html.escape(said)}</p>{form}", content_type="text/html")

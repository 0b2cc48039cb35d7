"""What the double has: sessions, customers and subscriptions, as Stripe's objects, and what happens to them."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

from playground.stripe.forms import Wrong

Json = dict[str, Any]

DAY = 86_400
MONTH = 30 * DAY
"""Seconds."""

API_VERSION = "2026-10-28.endive"


def new_id(prefix: str) -> str:
    """An id as Stripe gives them."""
    return f"{prefix}_{secrets.token_hex(12)}"


class Books:
    """The objects by id. Each change returns the events that Stripe would send, in their order."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.checkouts: dict[str, Json] = {}
        self.portals: dict[str, Json] = {}
        self.subscriptions: dict[str, Json] = {}
        self._clock = clock

    def now(self) -> int:
        """In seconds since 1970: Stripe's moments have no fractions."""
        return int(self._clock())

    @property
    def customers(self) -> frozenset[str]:
        """The ids of all who bought something."""
        return frozenset(each["customer"] for each in self.subscriptions.values())

    def open_checkout(self, given: Json, base: str) -> Json:
        """A session on whose page it can be paid."""
        id = new_id("cs_test")
        session = {
            "id": id,
            "object": "checkout.session",
            "mode": "subscription",
            "status": "open",
            "payment_status": "unpaid",
            "created": self.now(),
            "expires_at": self.now() + DAY,
            "url": f"{base}/c/pay/{id}",
            "client_reference_id": given.get("client_reference_id"),
            "metadata": given.get("metadata", {}),
            "success_url": given["success_url"],
            "cancel_url": given.get("cancel_url"),
            "customer": None,
            "subscription": None,
            "livemode": False,
        }
        self.checkouts[id] = {"session": session, "given": given}
        return session

    def open_portal(self, given: Json, base: str) -> Json:
        """A session on whose page what was bought is managed."""
        id = new_id("bps")
        session = {
            "id": id,
            "object": "billing_portal.session",
            "created": self.now(),
            "customer": given["customer"],
            "return_url": given.get("return_url"),
            "url": f"{base}/p/session/{id}",
            "livemode": False,
        }
        self.portals[id] = session
        return session

    def pay(self, checkout: str) -> list[Json]:
        """Somebody pays on the page of a session."""
        kept = self.checkouts[checkout]
        session, given = kept["session"], kept["given"]
        if session["status"] != "open" or self.now() >= session["expires_at"]:
            raise Wrong("This Checkout Session is not open any more.")
        now, data = self.now(), given.get("subscription_data", {})
        days = int(data.get("trial_period_days", 0))
        item: Json = {
            "id": new_id("si"),
            "object": "subscription_item",
            "price": {"id": given["line_items"]["0"]["price"]},
        }
        item |= {"current_period_start": now, "current_period_end": now + (days * DAY or MONTH)}
        subscription = {
            "id": new_id("sub"),
            "object": "subscription",
            "customer": new_id("cus"),
            "status": "trialing" if days else "incomplete",
            "items": {"object": "list", "data": [item]},
            "metadata": data.get("metadata", {}),
            "cancel_at_period_end": False,
            "created": now,
            "start_date": now,
            "trial_start": now if days else None,
            "trial_end": now + days * DAY if days else None,
            "livemode": False,
        }
        self.subscriptions[subscription["id"]] = subscription
        session |= {"status": "complete", "payment_status": "no_payment_required" if days else "paid"}
        session |= {"customer": subscription["customer"], "subscription": subscription["id"]}
        told = [self._event("customer.subscription.created", subscription)]
        if not days:  # Stripe makes it first, and then it is paid
            subscription["status"] = "active"
            told.append(self._event("customer.subscription.updated", subscription))
        return [*told, self._event("checkout.session.completed", session)]

    def renew(self, id: str) -> list[Json]:
        """The next month was paid, or the first one after a trial."""
        subscription = self._running(id)
        item = subscription["items"]["data"][0]
        item["current_period_start"] = max(self.now(), item["current_period_end"])
        item["current_period_end"] = item["current_period_start"] + MONTH
        return self._updated(subscription, status="active")

    def fail_payment(self, id: str) -> list[Json]:
        """The card was refused."""
        return self._updated(self._running(id), status="past_due")

    def change_price(self, id: str, price: str) -> list[Json]:
        """Another plan, at once."""
        subscription = self._running(id)
        subscription["items"]["data"][0]["price"] = {"id": price}
        return self._updated(subscription)

    def cancel(self, id: str, *, at_period_end: bool) -> list[Json]:
        """It ends, now or when what is paid for is used up."""
        subscription = self._running(id)
        if at_period_end:
            return self._updated(subscription, cancel_at_period_end=True)
        subscription |= {"status": "canceled", "ended_at": self.now()}
        return [self._event("customer.subscription.deleted", subscription)]

    def resume(self, id: str) -> list[Json]:
        """A cancellation is taken back."""
        return self._updated(self._running(id), cancel_at_period_end=False)

    def _running(self, id: str) -> Json:
        subscription = self.subscriptions.get(id)
        if subscription is None or subscription["status"] == "canceled":
            raise Wrong(f"No such subscription: '{id}'", param="id", code="resource_missing", status=404)
        return subscription

    def _updated(self, subscription: Json, **changes: object) -> list[Json]:
        subscription |= changes
        return [self._event("customer.subscription.updated", subscription)]

    def _event(self, type: str, about: Json) -> Json:
        return {
            "id": new_id("evt"),
            "object": "event",
            "api_version": API_VERSION,
            "created": self.now(),
            "type": type,
            "data": {"object": _copy(about)},
            "livemode": False,
            "pending_webhooks": 1,
            "request": {"id": None, "idempotency_key": None},
        }


def _copy(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copy(each) for key, each in value.items()}
    return [_copy(each) for each in value] if isinstance(value, list) else value

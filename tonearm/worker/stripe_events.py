"""What Stripe sold: from its subscription events to grants (Stripe's documentation, *The Subscription object*).

Each event holds the whole subscription at its time, and events of ours are folded in the order of those times: so
replayed, late and repeated ones do no harm. The guild is named by the subscription's metadata, ``guild_id``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import msgspec

from tonearm.postgres import grants
from tonearm.postgres.pool import Pool
from tonearm.postgres.receipts import Receipt
from tonearm.premium.grants import GRACE, Event, Source
from tonearm.premium.plans import Shelf
from tonearm.premium.states import Kind
from tonearm.telemetry import LOG, context

DELETED = "customer.subscription.deleted"
ABOUT_SUBSCRIPTIONS = ("customer.subscription.created", "customer.subscription.updated", DELETED)


class _Price(msgspec.Struct, frozen=True):
    id: str


class _Item(msgspec.Struct, frozen=True):
    price: _Price
    current_period_end: int | None = None


class _Items(msgspec.Struct, frozen=True):
    data: tuple[_Item, ...] = ()


class _Subscription(msgspec.Struct, frozen=True):
    id: str
    status: str = ""
    customer: str = ""
    items: _Items = _Items()
    metadata: dict[str, str] = {}
    cancel_at_period_end: bool = False
    current_period_end: int | None = None


class _Data(msgspec.Struct, frozen=True):
    object: msgspec.Raw


class _Told(msgspec.Struct, frozen=True):
    id: str
    type: str
    created: int
    data: _Data


_decode = msgspec.json.Decoder(_Told).decode
_decode_subscription = msgspec.json.Decoder(_Subscription).decode


class StripeShop:
    """Takes down what Stripe sold. ``shelf`` has Stripe's prices; ``forget`` has the cache forget a guild."""

    def __init__(
        self, pool: Pool, shelf: Shelf, *, forget: Callable[[int], Awaitable[None]], clock: Callable[[], datetime]
    ) -> None:
        self._pool = pool
        self._shelf = shelf
        self._forget = forget
        self._clock = clock

    async def act(self, receipt: Receipt) -> None:
        """Take down what an event tells of a subscription; doing it again does nothing.

        Raises:
            FAILURES: PostgreSQL doesn't answer, or refuses. Some of it may have been written.
        """
        try:
            told = _decode(receipt.body)
            if told.type not in ABOUT_SUBSCRIPTIONS:
                return
            found = _decode_subscription(told.data.object)
        except msgspec.DecodeError as error:
            LOG.error("An event of Stripe's can't be read: %s", error, extra=context(receipt=receipt.id))
            return
        guild = found.metadata.get("guild_id", "")
        if not (guild.isascii() and guild.isdecimal() and len(guild) <= 19):
            return
        for event in self._events(told, found):
            await grants.record(self._pool, int(guild), Source.STRIPE, found.id, event, now=self._clock())
        await self._forget(int(guild))

    def _events(self, told: _Told, found: _Subscription) -> list[Event]:
        """What it tells, in our words; those of one moment are folded by their names."""
        at = datetime.fromtimestamp(told.created, UTC)
        item = found.items.data[0] if found.items.data else None
        plan = self._shelf.plan_of(item.price.id) if item else None
        end = (item.current_period_end if item else None) or found.current_period_end
        ends_at = datetime.fromtimestamp(end, UTC) if end else None
        if told.type == DELETED or found.status in ("canceled", "incomplete_expired"):
            return [Event(f"{told.id}:9", Kind.REVOKE, at)]
        if plan is None or ends_at is None:
            return []
        if found.status in ("past_due", "unpaid"):
            return [Event(f"{told.id}:1", Kind.FAIL_PAYMENT, at)]
        if found.status not in ("active", "trialing"):
            return []
        grace, payer = int(GRACE.total_seconds()), f"stripe:{found.customer}"
        begun = Event(f"{told.id}:1", Kind.ACTIVATE, at, plan, ends_at, grace_seconds=grace, payer=payer)
        canceled = Event(f"{told.id}:2", Kind.CANCEL, at, ends_at=ends_at)
        return [begun, canceled] if found.cancel_at_period_end else [begun]

"""What Stripe sold: from its subscription events to grants (Stripe's documentation, *The Subscription object*).

Each event holds the whole subscription at its time, and events of ours are folded in the order of those times: so
replayed, late and repeated ones do no harm. Stripe's times are whole seconds: within one, events count in the order in
which they first came, and what takes access away counts last. The subscription's metadata name the guild,
``guild_id``, and where it is known the Discord user who pays, ``user_id``.

A subscription that begins with a trial has it only where the guild and the payer have had none: else it gives access
from its first payment on.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import msgspec

from tonearm.errors import Refused
from tonearm.postgres import grants
from tonearm.postgres.pool import Pool
from tonearm.postgres.receipts import Receipt
from tonearm.premium.grants import GRACE, Event, Source
from tonearm.premium.plans import Shelf
from tonearm.premium.states import Kind
from tonearm.telemetry import LOG, context

DELETED = "customer.subscription.deleted"
LAST = 999_999
"""The last microsecond of a second."""

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
    start_date: int | None = None
    trial_start: int | None = None

    @property
    def begins_with_trial(self) -> bool:
        """Else the trial is time that the operator gave to who had paid."""
        return self.trial_start is None or self.start_date is None or self.trial_start <= self.start_date


class _Data(msgspec.Struct, frozen=True):
    object: msgspec.Raw


class _Told(msgspec.Struct, frozen=True):
    id: str
    type: str
    created: int
    data: _Data


class About(NamedTuple):
    """A grant: whose it is, and what Stripe calls it."""

    guild: int
    ref: str


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
            about, events = self.read(receipt.body, receipt.received_at)
        except msgspec.DecodeError as error:
            LOG.error("An event of Stripe's can't be read: %s", error, extra=context(receipt=receipt.id))
            return
        if about is None:
            return
        for event in events:
            try:
                await grants.record(self._pool, about.guild, Source.STRIPE, about.ref, event, now=self._clock())
            except Refused as refusal:
                LOG.warning("A trial at Stripe does not count: %s", refusal, extra=context(guild=about.guild))
        await self._forget(about.guild)

    def read(self, body: bytes, received_at: datetime) -> tuple[About | None, list[Event]]:
        """Which grant it is about, and what happened to it; ``None`` where it is none of ours.

        ``received_at`` is when it first came.

        Raises:
            msgspec.DecodeError: it can't be read.
        """
        told = _decode(body)
        if told.type not in ABOUT_SUBSCRIPTIONS:
            return None, []
        found = _decode_subscription(told.data.object)
        guild = _snowflake(found.metadata.get("guild_id", ""))
        return (None, []) if guild is None else (About(guild, found.id), self._events(told, found, received_at))

    def _events(self, told: _Told, found: _Subscription, received_at: datetime) -> list[Event]:
        """What it tells, in our words; those of one moment are folded in the order of their names."""
        second = datetime.fromtimestamp(told.created, UTC)
        # The milliseconds that it was under way, as microseconds: they order what happened in one second.
        under_way = (received_at - second) / timedelta(milliseconds=1)
        at = second + timedelta(microseconds=min(max(int(under_way), 0), LAST - 1))
        item = found.items.data[0] if found.items.data else None
        plan = self._shelf.plan_of(item.price.id) if item else None
        end = (item.current_period_end if item else None) or found.current_period_end
        ends_at = datetime.fromtimestamp(end, UTC) if end else None
        if told.type == DELETED or found.status in ("canceled", "incomplete_expired"):
            return [Event(f"9:{told.id}", Kind.REVOKE, second + timedelta(microseconds=LAST))]
        if plan is None or ends_at is None:
            return []
        if found.status in ("past_due", "unpaid"):
            return [Event(f"5:{told.id}", Kind.FAIL_PAYMENT, at)]
        if found.status not in ("active", "trialing"):
            return []
        grace, user = int(GRACE.total_seconds()), _snowflake(found.metadata.get("user_id", ""))
        payer = f"discord:{user}" if user is not None else f"stripe:{found.customer}"
        if found.status == "trialing" and found.begins_with_trial:
            # Who has canceled is not charged at the end, so no payment can be late.
            grace = 0 if found.cancel_at_period_end else grace
            return [Event(f"1:{told.id}", Kind.START_TRIAL, at, plan, ends_at, grace_seconds=grace, payer=payer)]
        begun = Event(f"1:{told.id}", Kind.ACTIVATE, at, plan, ends_at, grace_seconds=grace, payer=payer)
        canceled = Event(f"2:{told.id}", Kind.CANCEL, at, ends_at=ends_at)
        return [begun, canceled] if found.cancel_at_period_end else [begun]


def _snowflake(text: str) -> int | None:
    fits = text.isascii() and text.isdecimal() and len(text) <= 19 and 0 < int(text) < 2**63
    return int(text) if fits else None

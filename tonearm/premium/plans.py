"""The plans and what each of them allows. A feature is a number: how much of it; 0 is none, 1 is yes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum

import msgspec


class Feature(StrEnum):
    """What plans differ in. The comment says what the number of a plan counts."""

    QUEUE_LENGTH = "queue_length"  # tracks that may wait
    VOLUME = "volume"  # per cent of the track's own
    ALWAYS_ON = "always_on"  # 0 or 1: stay in the channel when alone or idle (24/7)
    HISTORY_LENGTH = "history_length"  # tracks that are remembered
    PLAYLISTS = "playlists"  # saved ones of a guild
    CUSTOM_FILTERS = "custom_filters"  # 0 or 1
    AUTOPLAY = "autoplay"  # 0 or 1
    EXPORTS = "exports"  # 0 or 1


SWITCHES = frozenset({Feature.ALWAYS_ON, Feature.CUSTOM_FILTERS, Feature.AUTOPLAY, Feature.EXPORTS})
"""Features that a plan has or has not."""


class PlanId(StrEnum):
    """The plans, the least first."""

    FREE = "free"
    PREMIUM = "premium"
    PRO = "pro"

    @property
    def rank(self) -> int:
        """0 for the least; who has a higher one has more of every feature."""
        return list(PlanId).index(self)


class Price(msgspec.Struct, frozen=True):
    """For a month; ``amount`` counts the minor units of ``currency`` (ISO 4217): 499 eur is 4.99 euros."""

    amount: int
    currency: str


class Plan(msgspec.Struct, frozen=True):
    """A plan. ``limits`` has every feature; ``price`` is ``None`` where nothing is paid."""

    id: PlanId
    name: str
    limits: Mapping[Feature, int]
    price: Price | None = None

    def limit(self, feature: Feature) -> int:
        """How much of ``feature`` it allows."""
        return self.limits[feature]


FREE = Plan(
    PlanId.FREE,
    "Free",
    {
        Feature.QUEUE_LENGTH: 500,
        Feature.VOLUME: 100,
        Feature.ALWAYS_ON: 0,
        Feature.HISTORY_LENGTH: 20,
        Feature.PLAYLISTS: 3,
        Feature.CUSTOM_FILTERS: 0,
        Feature.AUTOPLAY: 0,
        Feature.EXPORTS: 0,
    },
)
PREMIUM = Plan(
    PlanId.PREMIUM,
    "Premium",
    {
        Feature.QUEUE_LENGTH: 2_000,
        Feature.VOLUME: 200,
        Feature.ALWAYS_ON: 1,
        Feature.HISTORY_LENGTH: 100,
        Feature.PLAYLISTS: 50,
        Feature.CUSTOM_FILTERS: 1,
        Feature.AUTOPLAY: 1,
        Feature.EXPORTS: 0,
    },
    Price(499, "eur"),
)
PRO = Plan(
    PlanId.PRO,
    "Pro",
    {
        Feature.QUEUE_LENGTH: 10_000,
        Feature.VOLUME: 200,
        Feature.ALWAYS_ON: 1,
        Feature.HISTORY_LENGTH: 1_000,
        Feature.PLAYLISTS: 500,
        Feature.CUSTOM_FILTERS: 1,
        Feature.AUTOPLAY: 1,
        Feature.EXPORTS: 1,
    },
    Price(999, "eur"),
)

PLANS: Mapping[PlanId, Plan] = {plan.id: plan for plan in (FREE, PREMIUM, PRO)}
"""All plans, the least first."""


def least_with(feature: Feature, wanted: int) -> Plan | None:
    """The least plan that allows ``wanted`` of ``feature``; ``None`` where none does."""
    return next((plan for plan in PLANS.values() if plan.limit(feature) >= wanted), None)


class Shelf(msgspec.Struct, frozen=True):
    """Under which ids a seller sells the plans: Discord's SKUs, or Stripe's prices. A plan can have several ids."""

    items: tuple[tuple[PlanId, str], ...] = ()

    def plan_of(self, id: str) -> PlanId | None:
        """What is sold as ``id``; ``None`` for what is none of ours."""
        return next((plan for plan, known in self.items if known == id), None)

    def id_of(self, plan: PlanId) -> str | None:
        """The first id of ``plan``; ``None`` where it is not sold."""
        return next((id for known, id in self.items if known is plan), None)


def shelf(pairs: Iterable[tuple[str, str]]) -> Shelf:
    """A shelf from pairs of a plan's id and the seller's.

    Raises:
        ValueError: there is no such plan, nobody can buy it, or an id is there twice.
    """
    items = tuple((PlanId(plan), id) for plan, id in pairs)
    if any(plan is PlanId.FREE for plan, _ in items):
        raise ValueError("the plan free is not sold")
    if len({id for _, id in items}) < len(items):
        raise ValueError("an id is there twice")
    return Shelf(items)

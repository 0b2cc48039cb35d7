"""The plans, as they are sold here."""

from __future__ import annotations

import msgspec

from interactions.api.etags import tag_of
from interactions.api.operation import Call, Reply, operation
from interactions.api.parts import Parts
from tonearm.premium.plans import PLANS, Feature, Plan, PlanId, shelf


class PriceView(msgspec.Struct, frozen=True):
    """For a month; ``amount`` counts the minor units of ``currency`` (ISO 4217)."""

    amount: int
    currency: str


class PlanView(msgspec.Struct, frozen=True):
    """A plan. ``limits`` has every feature; a switch is 0 or 1. The last two are what its sellers call it."""

    id: PlanId
    name: str
    limits: dict[Feature, int]
    price: PriceView | None
    discord_sku: str | None
    stripe_price: str | None


class PlansView(msgspec.Struct, frozen=True):
    """All plans, the least first."""

    data: list[PlanView]


@operation("GET", "/plans", scope="premium:read", answer=PlansView, has_etag=True, statuses=(200, 304))
async def list_plans(call: Call) -> Reply:
    """All plans."""
    body = PlansView([_view(call.parts, plan) for plan in PLANS.values()])
    return Reply(body, headers={"ETag": tag_of(body)})


def _view(parts: Parts, plan: Plan) -> PlanView:
    return PlanView(
        plan.id,
        plan.name,
        dict(plan.limits),
        PriceView(plan.price.amount, plan.price.currency) if plan.price else None,
        shelf(parts.settings.discord_skus).id_of(plan.id),
        shelf(parts.settings.stripe_prices).id_of(plan.id),
    )

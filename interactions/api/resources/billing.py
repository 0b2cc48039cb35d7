"""Paying by card: the addresses of pages at Stripe, where a plan is bought, or what was bought is managed.

What comes of them Stripe tells by webhook. Asking again with the same Idempotency-Key gives the same page.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import msgspec

from interactions.api.operation import Call, Reply, Snowflake, operation
from interactions.api.resources.subscription import PATH, SoldPlan
from tonearm.errors import Conflict, Problem, Refused, StripeAway
from tonearm.postgres import grants, trials
from tonearm.premium import buying
from tonearm.premium.plans import PlanId
from tonearm.sentences import Sentence
from tonearm.telemetry import LOG, context

if TYPE_CHECKING:
    from tonearm.stripe.sessions import StripeSessions

MARGIN = 0.2
"""Seconds of the request's that are left for what follows Stripe's answer."""


class CheckoutWish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is to be bought, and which Discord user pays: their trial it is, and they manage it in Discord."""

    plan: SoldPlan
    user_id: Snowflake


class CheckoutView(msgspec.Struct, frozen=True):
    """``url`` is the page where it is paid; the first payment is due after ``trial_days``."""

    url: str
    trial_days: int


class PortalView(msgspec.Struct, frozen=True):
    """``url`` opens the portal for whoever has it, so it is given once: to a repeated request it is ``null``."""

    url: str | None


@operation("POST", PATH + "/checkout", scope="premium:write", body=CheckoutWish, answer=CheckoutView, statuses=(201,))
async def open_checkout(call: Call) -> Reply:
    """Opens a page where the plan is paid, with the trial where neither the guild nor the payer has had one."""
    stripe, plan, user = _shop(call), PlanId(call.body.plan), int(call.body.user_id)
    if not stripe.sells(plan):
        raise Problem("not-sold", f"The plan {plan} has no price at Stripe.")
    async with _asking(call):
        buying.require_no_purchase(await grants.fetch_grants(call.parts.pools.write, call.guild), call.now)
        guild_had_one, payer_had_one = await trials.fetch_used(call.parts.pools.write, call.guild, f"discord:{user}")
        days = buying.trial_days(guild_had_one=guild_had_one, payer_had_one=payer_had_one)
        url = await stripe.open_checkout(
            call.guild, user, plan, trial_days=days, idempotency_key=call.identity, within=call.budget_s() - MARGIN
        )
    return Reply(CheckoutView(url, days), 201)


@operation(
    "POST", PATH + "/portal", scope="premium:write", answer=PortalView, statuses=(201,), kept=lambda _: PortalView(None)
)
async def open_portal(call: Call) -> Reply:
    """Opens a page where who pays for the guild changes or cancels it."""
    stripe = _shop(call)
    async with _asking(call):
        theirs = await grants.fetch_grants(call.parts.pools.write, call.guild)
        bought = buying.find_purchase(theirs, call.now)
        url = await stripe.open_portal(
            bought.ref, idempotency_key=f"{call.identity}:portal", within=call.budget_s() - MARGIN
        )
    return Reply(PortalView(url), 201)


def _shop(call: Call) -> StripeSessions:
    if call.parts.stripe is None:
        raise Problem("no-shop", "Stripe is not set up here: its secret key, prices and return address are needed.")
    return call.parts.stripe


@asynccontextmanager
async def _asking(call: Call) -> AsyncIterator[None]:
    try:
        yield
    except Refused as refusal:
        if refusal.sentence is Sentence.BOUGHT_ALREADY:
            raise Problem("bought-already", "Somebody pays for the guild already: it can be managed.") from None
        raise Problem("nothing-bought", "Nothing was bought for the guild at Stripe.") from None
    except Conflict:
        raise Problem("changed-meanwhile", "The trial was used meanwhile. Ask again with a new key.") from None
    except StripeAway as away:
        LOG.warning("Stripe does not open a page: %s", away.detail, extra=context(request=call.request_id))
        detail = "Stripe does not answer, or refuses. Repeat the request with the same Idempotency-Key in a moment."
        raise Problem("shop-away", detail, headers={"Retry-After": "5"}) from None

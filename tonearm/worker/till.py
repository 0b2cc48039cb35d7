"""Where somebody in Discord pays by card, or changes what they pay: a page at Stripe, by a link for them only."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from typing import TYPE_CHECKING

from tonearm.discord.components import Message
from tonearm.discord.office import portal_message, subscribe_message
from tonearm.errors import Conflict, Refused, StripeAway
from tonearm.jobs.errand import ErrandJob
from tonearm.postgres import grants, trials
from tonearm.postgres.pool import Pool
from tonearm.premium import buying
from tonearm.premium.plans import PLANS, PlanId
from tonearm.sentences import Sentence
from tonearm.settings import Settings
from tonearm.stripe import sells_by_card

if TYPE_CHECKING:
    from tonearm.stripe.sessions import StripeSessions

WITHIN = 2.0
"""Seconds that Stripe may take: an answer is waited for."""


def payer_of(job: ErrandJob) -> str:
    """The caller, as who pays is named."""
    return f"discord:{job.user}"


class Till:
    """Opens the pages. Doing an errand again opens the same one."""

    def __init__(self, pool: Pool, sessions: StripeSessions, *, clock: Callable[[], datetime]) -> None:
        self._pool = pool
        self._sessions = sessions
        self._clock = clock

    async def subscribe(self, job: ErrandJob, plan: PlanId) -> Message:
        """Where the caller can pay for ``plan``.

        Raises:
            Refused: somebody pays already, or it is not sold.
            StripeAway: Stripe doesn't answer in time, or refuses.
            FAILURES: PostgreSQL doesn't answer, or refuses.
        """
        buying.require_no_purchase(await grants.fetch_grants(self._pool, job.guild), self._clock())
        if not self._sessions.sells(plan):
            raise Refused(Sentence.NOT_SOLD)
        guild_had_one, payer_had_one = await trials.fetch_used(self._pool, job.guild, payer_of(job))
        days = buying.trial_days(guild_had_one=guild_had_one, payer_had_one=payer_had_one)
        try:
            url = await self._sessions.open_checkout(
                job.guild, job.user, plan, trial_days=days, idempotency_key=job.id, within=WITHIN
            )
        except Conflict as error:  # the trial was used since the errand was first done: a new click is a new errand
            raise StripeAway(str(error)) from error
        return subscribe_message(PLANS[plan], url, trial_days=days)

    async def manage(self, job: ErrandJob) -> Message:
        """Where the caller can change or cancel what they pay; nobody else gets there.

        Raises:
            Refused: they pay nothing.
            StripeAway: Stripe doesn't answer in time, or refuses.
            FAILURES: PostgreSQL doesn't answer, or refuses.
        """
        theirs = await grants.fetch_grants(self._pool, job.guild)
        bought = buying.find_purchase(theirs, self._clock(), payer=payer_of(job))
        url = await self._sessions.open_portal(bought.ref, idempotency_key=f"{job.id}:portal", within=WITHIN)
        return portal_message(url)


@asynccontextmanager
async def open_till(settings: Settings, pool: Pool, *, clock: Callable[[], datetime]) -> AsyncIterator[Till | None]:
    """The till, where Stripe is set up. Nothing is connected before it is needed."""
    if not sells_by_card(settings):
        yield None
        return
    from tonearm.stripe.sessions import open_sessions  # slow to import, so only where it is used

    async with open_sessions(settings) as sessions:
        yield Till(pool, sessions, clock=clock)

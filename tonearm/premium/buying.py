"""Buying from a seller with pages of its own: when it may be offered, with which trial, and what is managed there."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from tonearm.errors import Refused
from tonearm.premium.grants import TRIAL, Grant, Source
from tonearm.sentences import Sentence

SELLERS = (Source.DISCORD, Source.STRIPE)


def require_no_purchase(grants: Iterable[Grant], now: datetime) -> None:
    """A guild pays once.

    Raises:
        Refused: one of its grants was bought, and is valid.
    """
    if any(grant.source in SELLERS and grant.is_valid(now) for grant in grants):
        raise Refused(Sentence.BOUGHT_ALREADY)


def trial_days(*, guild_had_one: bool, payer_had_one: bool) -> int:
    """How many days are free before the first payment."""
    return 0 if guild_had_one or payer_had_one else TRIAL.days


def find_purchase(grants: Iterable[Grant], now: datetime, *, payer: str | None = None) -> Grant:
    """What was bought from Stripe last, by ``payer`` where one is given; one that is valid goes before one that is not.

    Raises:
        Refused: nothing was.
    """
    bought = [grant for grant in grants if grant.source is Source.STRIPE and payer in (None, grant.payer)]
    if not bought:
        raise Refused(Sentence.NOTHING_BOUGHT)
    return max(bought, key=lambda grant: (grant.is_valid(now), grant.starts_at, grant.id))

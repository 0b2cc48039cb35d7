"""Whether Stripe sent it (Stripe's documentation, *Verify webhook signatures manually*)."""

from __future__ import annotations

import re
from collections.abc import Iterable

import stripe

TOLERANCE = 300
"""Seconds by which its timestamp may differ from our clock, either way."""

_TIMESTAMP = re.compile(r"(?:^|,)\s*t=(\d{1,12})(?:,|$)")


def is_signed(body: bytes, header: str, secrets: Iterable[str], now: float) -> bool:
    """Whether ``body`` was signed with one of ``secrets`` just now. ``now`` is in seconds since 1970."""
    stamps = _TIMESTAMP.findall(header)
    if len(stamps) != 1 or abs(now - int(stamps[0])) > TOLERANCE:
        return False
    return any(_verified(body, header, secret) for secret in secrets)


def _verified(body: bytes, header: str, secret: str) -> bool:
    try:
        # The time was judged above, by our clock: the library would ask the machine's.
        stripe.WebhookSignature.verify_header(body.decode(), header, secret, tolerance=None)
    except (stripe.SignatureVerificationError, UnicodeDecodeError, ValueError):
        return False
    return True

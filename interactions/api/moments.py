"""Moments that callers name (RFC 3339, with an offset)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from tonearm.errors import Problem

MOST_AHEAD = timedelta(days=36_525)
"""Further than this nobody sells, and calendars end."""


def require_future(moment: datetime, now: datetime) -> datetime:
    """``moment`` in UTC, if it lies ahead.

    Raises:
        Problem: it is over, or more than a hundred years away.
    """
    try:
        there = moment.astimezone(UTC)
    except OverflowError:
        there = now
    if not now < there <= now + MOST_AHEAD:
        raise Problem("end-not-in-reach", "The end must lie ahead, by at most 100 years.")
    return there

"""Acting on what Discord and Stripe sent, from the receipts that were kept, however often that takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Protocol

from tonearm.errors import TonearmError
from tonearm.postgres import receipts
from tonearm.postgres.pool import Pool
from tonearm.postgres.receipts import Receipt
from tonearm.telemetry import LOG, RECEIPT_LAG_SECONDS, context

LEASE = timedelta(seconds=60)
"""After so long, a receipt whose worker died is acted on by another."""

AGAIN_AFTER = tuple(timedelta(seconds=each) for each in (2, 5, 15, 60, 300, 900))
"""How long is waited after each failed attempt; the last one again and again."""

BATCH = 20


class Actor(Protocol):
    """Acts on what one source sent."""

    async def act(self, receipt: Receipt) -> None:
        """Doing it again must do no harm."""
        ...


async def act_on_receipts(pool: Pool, actors: Mapping[str, Actor], clock: Callable[[], datetime]) -> int:
    """Act on what is due, once; returns how many were finished.

    Raises:
        FAILURES: PostgreSQL doesn't answer, or refuses. What was acted on may be acted on again.
    """
    finished = 0
    for receipt in await receipts.claim(pool, clock(), lease=LEASE, most=BATCH):
        actor = actors.get(receipt.source)
        try:
            if actor is None:
                raise TonearmError(f"nobody acts on what {receipt.source} sends")
            await actor.act(receipt)
        except Exception as error:  # also PostgreSQL's: what it refuses for one receipt must not hold up the others
            wait = AGAIN_AFTER[min(receipt.attempts, len(AGAIN_AFTER)) - 1]
            said = f"{type(error).__name__}: {error}"
            LOG.warning("A receipt can't be acted on: %s", said, extra=context(receipt=receipt.id))
            await receipts.fail(pool, receipt.id, said, retry_at=clock() + wait)
            continue
        await receipts.finish(pool, receipt.id, now := clock())
        RECEIPT_LAG_SECONDS.observe(max(0.0, (now - receipt.received_at).total_seconds()))
        finished += 1
    return finished

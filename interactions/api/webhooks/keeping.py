"""Receiving what others send: read (bounded), keep, acknowledge."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from tonearm.errors import InvalidInteraction
from tonearm.postgres import receipts
from tonearm.postgres.pool import FAILURES, Pool
from tonearm.telemetry import WEBHOOK_RECEIPTS

LOG = logging.getLogger("tonearm.api")

MOST_BODY = 256 * 1024
"""Bytes. What Discord and Stripe send has a few thousand."""

BODY_TIMEOUT = 1.0
"""Seconds within which a body has to be here."""

KEEP_TIMEOUT = 1.5
"""Seconds that keeping it may take: Discord waits for 3 s in all, and sends it again later."""


for _source in ("discord", "stripe"):  # how many there were is seen from the first one on
    for _outcome in ("stored", "duplicate", "refused", "failed"):
        WEBHOOK_RECEIPTS.labels(_source, _outcome)


async def read(request: Request) -> bytes:
    """The raw body.

    Raises:
        InvalidInteraction: it is too long (413), or does not come (400).
    """
    pieces: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(BODY_TIMEOUT):
            async for piece in request.stream():
                size += len(piece)
                if size > MOST_BODY:
                    raise InvalidInteraction(f"longer than {MOST_BODY} bytes", status=413)
                pieces.append(piece)
    except (TimeoutError, ClientDisconnect):
        raise InvalidInteraction("the body did not come") from None
    return b"".join(pieces)


async def keep(pool: Pool, source: str, body: bytes, *, now: float, status: int) -> Response:
    """Keep ``body`` and say so with ``status``; 503 where it can't be kept, so that it is sent again.

    ``now`` is in seconds since 1970.
    """
    try:
        new = await receipts.store(pool, source, body, now=datetime.fromtimestamp(now, UTC), timeout=KEEP_TIMEOUT)
    except FAILURES as error:
        LOG.warning("What %s sent can't be kept: %r", source, error)
        WEBHOOK_RECEIPTS.labels(source, "failed").inc()
        return JSONResponse({"error": "it can't be kept at the moment"}, 503, {"Retry-After": "5"})
    WEBHOOK_RECEIPTS.labels(source, "stored" if new else "duplicate").inc()
    return Response(status_code=status)


def unreadable(source: str, error: InvalidInteraction) -> Response:
    """The answer to what can't be read."""
    return refused(source, JSONResponse({"error": str(error)}, error.status))


def refused(source: str, answer: Response) -> Response:
    """``answer``, which refuses what ``source`` sent, or somebody in its name."""
    WEBHOOK_RECEIPTS.labels(source, "refused").inc()
    return answer

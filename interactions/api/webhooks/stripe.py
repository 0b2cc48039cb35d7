"""POST /webhook-events/stripe: what Stripe tells (Stripe's documentation, *Receive Stripe events*).

The official library judges the signature. What is signed is kept under the hash of its raw body, and acted on later by
the worker, in whatever order it came.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from interactions.api.webhooks import keeping
from tonearm.errors import InvalidInteraction
from tonearm.postgres.pool import Pool
from tonearm.stripe.signatures import is_signed

PATH = "/webhook-events/stripe"
SOURCE = "stripe"


def routes(
    pool: Pool, secrets: Callable[[], tuple[str, ...]], *, clock: Callable[[], float] = time.time
) -> list[Route]:
    """The route of Stripe's webhook. ``secrets`` gives those that are live: two while one is rolled.

    An event is answered with 200 once it is kept; 400 answers a bad signature, 413 what is too long, 503 what can't be
    kept.
    """

    async def receive(request: Request) -> Response:
        try:
            body = await keeping.read(request)
        except InvalidInteraction as error:
            return keeping.unreadable(SOURCE, error)
        header = request.headers.get("stripe-signature", "")
        if not is_signed(body, header, secrets(), clock()):
            return keeping.refused(SOURCE, JSONResponse({"error": "bad signature"}, 400))
        return await keeping.keep(pool, SOURCE, body, now=clock(), status=200)

    return [Route(PATH, receive, methods=["POST"])]

"""POST /webhook-events: what Discord tells (Discord's documentation, *Webhook Events*).

An event has no id and comes more than once and in any order. It is kept under the hash of its raw body; the worker acts
on it by asking Discord how things stand now.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from interactions.api.webhooks import keeping
from interactions.discord.verify import Verifier
from tonearm.errors import InvalidInteraction
from tonearm.postgres.pool import Pool

PATH = "/webhook-events"
SOURCE = "discord"
PING, EVENT = 0, 1


class _Envelope(msgspec.Struct, frozen=True):
    type: int


_decode = msgspec.json.Decoder(_Envelope).decode


def routes(
    pool: Pool, public_keys: Callable[[], tuple[bytes, ...]], *, clock: Callable[[], float] = time.time
) -> list[Route]:
    """The route of Discord's webhook events, by the ``public_keys`` that hold when one comes.

    ``clock`` tells the time in seconds since 1970.

    A signed PING or event is answered with an empty 204, an event once it is kept; 401 answers a bad signature, 400 or
    413 what can't be read, 503 what can't be kept.
    """
    verified = Verifier(public_keys, clock)

    async def receive(request: Request) -> Response:
        try:
            body = await keeping.read(request)
        except InvalidInteraction as error:
            return keeping.unreadable(SOURCE, error)
        if not verified(_once(request, "x-signature-ed25519"), _once(request, "x-signature-timestamp"), body):
            return keeping.refused(SOURCE, Response(verified.refusal, 401, media_type="application/json"))
        try:
            kind = _decode(body).type
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            return keeping.unreadable(SOURCE, InvalidInteraction(str(error)))
        if kind == PING:
            return Response(status_code=204)
        if kind != EVENT:
            return keeping.unreadable(SOURCE, InvalidInteraction(f"{kind} is no type of webhook event"))
        return await keeping.keep(pool, SOURCE, body, now=clock(), status=204)

    return [Route(PATH, receive, methods=["POST"])]


def _once(request: Request, name: str) -> bytes | None:
    """A header that is there once; given twice, it is none."""
    values = request.headers.getlist(name)
    return values[0].encode("latin-1") if len(values) == 1 else None

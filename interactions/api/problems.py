"""What a request can't be given, as RFC 9457 says it: ``application/problem+json``.

The catalogue is for good: a kind keeps its name and its status. Its type is the anchor of the page at ``/api/v1/docs``.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec
from starlette.responses import Response

from tonearm.errors import Problem

BASE = "/api/v1"
MEDIA_TYPE = "application/problem+json"


class Entry(NamedTuple):
    """One kind of problem."""

    status: int
    title: str


CATALOGUE: dict[str, Entry] = {
    "malformed": Entry(400, "The request can't be read"),
    "idempotency-key-missing": Entry(400, "An Idempotency-Key is needed"),
    "unauthenticated": Entry(401, "No valid key was given"),
    "scope-missing": Entry(403, "The key lacks a scope"),
    "guild-not-allowed": Entry(403, "The key is not for this guild"),
    "beyond-own-reach": Entry(403, "A key can't give more than it has"),
    "plan-limit": Entry(403, "The guild's plan does not allow it"),
    "not-found": Entry(404, "There is nothing here"),
    "method-not-allowed": Entry(405, "This can't be done here"),
    "still-running": Entry(409, "The first request with this Idempotency-Key is still running"),
    "not-connected": Entry(409, "The bot is in no voice channel"),
    "subscription-state": Entry(409, "The subscription's state does not allow it"),
    "subscription-managed-elsewhere": Entry(409, "The subscription is managed by its seller"),
    "bought-already": Entry(409, "Somebody pays for the guild already"),
    "nothing-bought": Entry(409, "Nothing was bought by card"),
    "not-sold": Entry(409, "The plan is not sold"),
    "trial-used": Entry(409, "There was a trial already"),
    "end-not-in-reach": Entry(409, "The end is over, or too far away"),
    "too-many-open": Entry(409, "Too many of them are open"),
    "not-waiting": Entry(409, "It does not wait for that any more"),
    "changed-meanwhile": Entry(409, "It was changed at the same time"),
    "precondition-failed": Entry(412, "It was changed since it was read"),
    "too-large": Entry(413, "The request is too large"),
    "unsupported-media-type": Entry(415, "The body must be JSON"),
    "invalid": Entry(422, "The request does not fit"),
    "idempotency-key-reused": Entry(422, "The Idempotency-Key was used for something else"),
    "precondition-required": Entry(428, "If-Match is needed"),
    "too-many-requests": Entry(429, "Too many requests"),
    "headers-too-large": Entry(431, "The headers are too large"),
    "internal": Entry(500, "Something broke"),
    "no-streams": Entry(501, "Nothing is streamed here"),
    "no-storage": Entry(501, "No storage is set up"),
    "no-shop": Entry(501, "Nothing is sold by card here"),
    "shop-away": Entry(503, "Stripe does not answer"),
    "database-away": Entry(503, "The database does not answer"),
    "memory-away": Entry(503, "Redis does not answer"),
    "player-away": Entry(503, "No player can do it now"),
    "storage-away": Entry(503, "The storage does not answer"),
    "too-slow": Entry(503, "It took too long"),
}
"""All kinds, by name."""


def problem_type(kind: str) -> str:
    """The URI reference that names it."""
    return f"{BASE}/docs#{kind}"


def members(problem: Problem) -> dict[str, object]:
    """Its standard members and its own, without the request's."""
    entry = CATALOGUE[problem.kind]
    return {
        "type": problem_type(problem.kind),
        "title": entry.title,
        "status": entry.status,
        "detail": str(problem),
        **problem.extra,
    }


def render(problem: Problem, request_id: str) -> Response:
    """The answer."""
    body = members(problem) | {"request_id": request_id}
    status = CATALOGUE[problem.kind].status
    return Response(msgspec.json.encode(body), status, problem.headers, MEDIA_TYPE)


def malformed(detail: str) -> Problem:
    """It can't be read."""
    return Problem("malformed", detail)


def invalid(detail: str) -> Problem:
    """It can be read, and says what can't be."""
    return Problem("invalid", detail)


def not_found(detail: str = "There is nothing at this address. All addresses are at /api/v1/docs.") -> Problem:
    """There is no such thing."""
    return Problem("not-found", detail)


def database_away() -> Problem:
    """PostgreSQL does not answer, so what was asked for was not done, or not as far as anybody knows."""
    return Problem(
        "database-away",
        "The database does not answer at the moment. Repeat the request with the same Idempotency-Key in a moment.",
        headers={"Retry-After": "5"},
    )


def memory_away() -> Problem:
    """Redis does not answer."""
    return Problem(
        "memory-away",
        "Redis does not answer at the moment. Repeat the request with the same Idempotency-Key in a moment.",
        headers={"Retry-After": "5"},
    )


def storage_away() -> Problem:
    """The bucket does not answer."""
    return Problem(
        "storage-away",
        "The storage does not answer at the moment. Repeat the request with the same Idempotency-Key in a moment.",
        headers={"Retry-After": "5"},
    )


def too_slow() -> Problem:
    """The time is over."""
    return Problem(
        "too-slow",
        "It could not be done in time. Repeat the request with the same Idempotency-Key in a moment.",
        headers={"Retry-After": "5"},
    )

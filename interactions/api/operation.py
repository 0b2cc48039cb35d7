"""How an operation of the API is declared: once, and everything else is made from it.

An operation is a coroutine with :func:`operation` above it. The declaration says what it takes and gives, so that the
endpoint can check a request before the coroutine sees it, and tests can hold the OpenAPI document against it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any, NamedTuple

import msgspec
from starlette.responses import Response

from interactions.api.parts import Parts
from tonearm.postgres.api_keys import ApiKey

SNOWFLAKE_PATTERN = "^([1-9][0-9]{0,17}|[1-8][0-9]{18})$"
"""Discord's ids, as text: they are too long for the numbers of JavaScript."""

Snowflake = Annotated[str, msgspec.Meta(pattern=SNOWFLAKE_PATTERN)]

DEFAULT_LIMIT = 50
Limit = Annotated[int, msgspec.Meta(ge=1, le=100)]
Cursor = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


class Page(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The query of a list: ``limit`` at most, from ``cursor`` on."""

    limit: Limit = DEFAULT_LIMIT
    cursor: Cursor | None = None


class Reply(NamedTuple):
    """What an operation answers: ``body`` becomes JSON."""

    body: Any
    status: int = 200
    headers: Mapping[str, str] = {}


@dataclass(frozen=True)
class Call:
    """One request, checked. ``guild`` is 0 where it is about none.

    ``now`` is when it came. ``identity`` names what a POST does, whenever it is repeated. ``budget_s`` tells how many
    seconds are left until an answer must be given.
    """

    parts: Parts
    key: ApiKey | None
    now: datetime
    request_id: str
    headers: Mapping[str, str]
    budget_s: Callable[[], float]
    path: Mapping[str, str] = field(default_factory=dict)
    guild: int = 0
    body: Any = None
    query: Any = None
    identity: str = ""

    @property
    def owner(self) -> ApiKey:
        """The key, where the operation needs one."""
        assert self.key is not None
        return self.key


Handler = Callable[[Call], Awaitable[Reply | Response]]


@dataclass(frozen=True)
class Operation:
    """An operation as it is declared; ``path`` is below ``/api/v1``."""

    id: str
    method: str
    path: str
    handler: Handler
    scope: str | None
    body: type | None = None
    query: type | None = None
    answer: type | None = None
    statuses: tuple[int, ...] = (200,)
    needs_match: bool = False
    has_etag: bool = False
    kept: Callable[[Any], Any] = lambda body: body
    is_job: bool = False

    @property
    def is_repeatable(self) -> bool:
        """Whether it takes an Idempotency-Key."""
        return self.method == "POST"


def operation(
    method: str,
    path: str,
    *,
    scope: str | None,
    body: type | None = None,
    query: type | None = None,
    answer: type | None = None,
    statuses: tuple[int, ...] = (200,),
    needs_match: bool = False,
    has_etag: bool = False,
    kept: Callable[[Any], Any] = lambda body: body,
    is_job: bool = False,
) -> Callable[[Handler], Operation]:
    """Declares ``method path``; its id is the name of the function.

    ``scope`` is what a key needs, ``None`` for nothing, not even a key. A ``guild_id`` in the path, or in the body, is
    the guild that the key must be for. ``needs_match``: only with If-Match. ``kept`` is what of an answer's body is
    given again to a repeated request. ``is_job``: what it does is a job, which its name makes one wherever it is
    repeated, so that it needs no database.
    """

    def declare(handler: Handler) -> Operation:
        name: str = handler.__name__
        return Operation(
            _camel(name),
            method,
            path,
            handler,
            scope,
            body,
            query,
            answer,
            statuses,
            needs_match,
            has_etag,
            kept,
            is_job,
        )

    return declare


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(map(str.capitalize, rest))

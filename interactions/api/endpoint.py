"""A request of the API, from its headers to its answer, in this order:

who asks (401), how often (429), whether it may (403), what it says (4xx), whether it was done before, and only then the
operation. The whole of it has :data:`DEADLINE` seconds; what is not done by then was not done halfway: each operation
writes in one step, under a name that makes doing it again harmless.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from interactions.api import auth, limits, problems
from interactions.api.bodies import decode_body, decode_query, read_body
from interactions.api.etags import is_among
from interactions.api.operation import SNOWFLAKE_PATTERN, Call, Operation, Reply
from interactions.api.parts import Parts
from interactions.api.repeating import Repeatable, identity_of, require_key
from tonearm.errors import Problem, RedisAway, StorageAway
from tonearm.postgres.api_keys import ApiKey
from tonearm.postgres.pool import FAILURES as DATABASE_FAILURES
from tonearm.telemetry import API_REQUESTS, API_SECONDS, LOG, context

DEADLINE = 2.3
"""Seconds from a request to its answer, whatever is down, hanging or slow."""

_SNOWFLAKE = re.compile(SNOWFLAKE_PATTERN)


class Endpoint:
    """The ASGI application behind one path."""

    def __init__(self, parts: Parts, operations: Sequence[Operation]) -> None:
        self._parts = parts
        self._operations = {each.method: each for each in operations}
        if "GET" in self._operations:
            self._operations["HEAD"] = self._operations["GET"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        request = Request(scope, receive)
        request_id: str = scope["state"]["request_id"]
        began = time.perf_counter()
        operation = self._operations.get(request.method)
        given: dict[str, str] = {}
        try:
            if operation is None:
                raise self._not_allowed(request.method)
            try:
                async with asyncio.timeout(DEADLINE):
                    response = await self._answer(operation, request, request_id, began, given)
            except TimeoutError:
                raise problems.too_slow() from None
        except Problem as problem:
            response = problems.render(problem, request_id)
        for name, value in given.items():
            response.headers.setdefault(name, value)
        API_REQUESTS.labels(operation.id if operation else "none", str(response.status_code)).inc()
        API_SECONDS.observe(time.perf_counter() - began)
        await response(scope, receive, send)

    def _not_allowed(self, method: str) -> Problem:
        allowed = ", ".join(sorted(self._operations))
        return Problem(
            "method-not-allowed",
            f"{method[:16]} is none of {allowed}, which this address knows.",
            headers={"Allow": allowed},
        )

    async def _answer(
        self, operation: Operation, request: Request, request_id: str, began: float, given: dict[str, str]
    ) -> Response:
        """What the operation says, or what stands in its way.

        ``given`` takes headers that go with every answer.

        Raises:
            Problem: something stands in its way.
        """
        now = self._parts.clock()
        key = None
        if operation.scope is not None:
            key = await auth.authenticate(self._parts.keyring, request.headers)
            given |= await limits.count(
                self._parts.redis, key.id, per_minute=self._parts.settings.api_requests_per_minute
            )
            auth.require_scope(key, operation.scope)
        guild = _guild(request.path_params, key)
        call = Call(
            self._parts,
            key,
            now,
            request_id,
            request.headers,
            lambda: DEADLINE - (time.perf_counter() - began),
            dict(request.path_params),
            guild,
            query=decode_query(operation.query, request.query_params.multi_items()),
        )
        if operation.needs_match and not request.headers.get("if-match", "").strip():
            raise Problem("precondition-required", "Send the ETag that you have read as If-Match.")
        if not operation.is_repeatable:
            body = decode_body(operation.body, request.headers, await read_body(request)) if operation.body else None
            return _rendered(operation, await _run(operation, _with(call, body, key)), request)
        return await self._once(operation, call, request)

    async def _once(self, operation: Operation, call: Call, request: Request) -> Response:
        """A POST: done once for its Idempotency-Key."""
        idempotency_key = require_key(request.headers)
        raw = await read_body(request)
        body = decode_body(operation.body, request.headers, raw)
        owner = call.owner
        call = _with(call, body, owner, identity=identity_of(owner.id, idempotency_key))
        repeatable = Repeatable(
            self._parts.pools.write, owner.id, idempotency_key, operation.kept, is_job=operation.is_job
        )
        return await repeatable.do(
            request.method,
            request.url.path,
            raw,
            call,
            lambda: _run(operation, call),
            lambda answer: _rendered(operation, answer, request),
        )


async def _run(operation: Operation, call: Call) -> Reply | Response:
    try:
        return await operation.handler(call)
    except RedisAway as error:
        raise problems.memory_away() from error
    except StorageAway as error:
        raise problems.storage_away() from error
    except DATABASE_FAILURES as error:
        raise problems.database_away() from error


def _with(call: Call, body: Any, key: ApiKey | None, *, identity: str = "") -> Call:
    """``call`` with its body; a guild in it must be one that the key is for."""
    guild = call.guild
    named = getattr(body, "guild_id", None)
    if isinstance(named, str) and key is not None:
        guild = int(named)
        auth.require_guild(key, guild)
    return Call(
        call.parts,
        call.key,
        call.now,
        call.request_id,
        call.headers,
        call.budget_s,
        call.path,
        guild,
        body,
        call.query,
        identity,
    )


def _guild(path: Mapping[str, str], key: ApiKey | None) -> int:
    text = path.get("guild_id")
    if text is None:
        return 0
    if not _SNOWFLAKE.fullmatch(text):
        raise problems.not_found("A guild's id is Discord's, in digits.")
    if key is not None:
        auth.require_guild(key, int(text))
    return int(text)


def _rendered(operation: Operation, answer: Reply | Response, request: Request) -> Response:
    if isinstance(answer, Response):
        return answer
    headers = {"Cache-Control": "no-store", **answer.headers}
    tag = headers.get("ETag")
    if operation.has_etag and tag and is_among(request.headers.get("if-none-match", ""), tag):
        return Response(status_code=304, headers={"ETag": tag, "Cache-Control": headers["Cache-Control"]})
    if answer.body is None:
        return Response(status_code=answer.status, headers=headers)
    return Response(msgspec.json.encode(answer.body), answer.status, headers, "application/json")


def log_failure(request_id: str, error: BaseException) -> None:
    """Write down what nobody expected."""
    LOG.error("A request of the API failed", exc_info=error, extra=context(request=request_id))

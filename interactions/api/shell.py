"""What is around every request: its id, its size, what browsers may do, and what is said when something breaks."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from interactions.api import problems
from interactions.api.endpoint import log_failure
from tonearm.errors import Problem

MOST_HEADERS = 16 * 1024
"""Bytes of all headers and the address together."""

_ONCE = frozenset(
    (b"authorization", b"content-length", b"content-type", b"idempotency-key", b"last-event-id", b"origin")
)
"""Headers that are there once: of two, somebody between us and the caller may have looked at the other one."""

_METHODS = "GET, POST, PATCH, DELETE"
_ALLOWED = "Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, Last-Event-ID, Prefer"
_EXPOSED = "ETag, Idempotent-Replayed, Link, Location, RateLimit, RateLimit-Policy, Retry-After, X-Request-Id"
_PREFLIGHT_SECONDS = "600"


class Shell:
    """Pure ASGI middleware. ``origins`` are those whose pages may use the API; ``start`` makes ready."""

    def __init__(self, app: ASGIApp, *, start: Callable[[], Awaitable[None]], origins: tuple[str, ...] = ()) -> None:
        self._app = app
        self._start = start
        self._origins = frozenset(origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes one request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = "req_" + secrets.token_hex(12)
        scope.setdefault("state", {})["request_id"] = request_id
        origin = self._origin(scope)
        begun = False

        async def tell(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                headers = MutableHeaders(raw=message["headers"])
                headers["X-Request-Id"] = request_id
                headers["X-Content-Type-Options"] = "nosniff"
                if self._origins:
                    headers.add_vary_header("Origin")
                if origin is not None:
                    headers["Access-Control-Allow-Origin"] = origin
                    headers["Access-Control-Expose-Headers"] = _EXPOSED
                message["headers"] = headers.raw
            await send(message)

        try:
            if (size := _size(scope)) > MOST_HEADERS:
                raise Problem("headers-too-large", f"The headers have {size} bytes, and {MOST_HEADERS} are the most.")
            if (twice := _twice(scope)) is not None:
                raise Problem("invalid", f"The header {twice} is there twice.")
            if origin is not None and _is_preflight(scope):
                await _preflight()(scope, receive, tell)
                return
            await self._start()
            await self._app(scope, receive, tell)
        except Problem as problem:
            await problems.render(problem, request_id)(scope, receive, tell)
        except Exception as error:
            log_failure(request_id, error)
            if begun:
                raise
            broken = Problem("internal", f"It was written down. Tell the operator: {request_id}.")
            await problems.render(broken, request_id)(scope, receive, tell)

    def _origin(self, scope: Scope) -> str | None:
        origin = Headers(scope=scope).get("origin")
        return origin if origin in self._origins else None


def _size(scope: Scope) -> int:
    address = len(scope.get("raw_path") or scope["path"]) + len(scope["query_string"])
    return address + sum(len(name) + len(value) + 4 for name, value in scope["headers"])


def _twice(scope: Scope) -> str | None:
    seen: set[bytes] = set()
    for name, _ in scope["headers"]:
        if name in _ONCE and name in seen:
            return str(name.decode())
        seen.add(name)
    return None


def _is_preflight(scope: Scope) -> bool:
    return scope["method"] == "OPTIONS" and "access-control-request-method" in Headers(scope=scope)


def _preflight() -> Response:
    return Response(
        status_code=204,
        headers={
            "Access-Control-Allow-Methods": _METHODS,
            "Access-Control-Allow-Headers": _ALLOWED,
            "Access-Control-Max-Age": _PREFLIGHT_SECONDS,
        },
    )

"""The REST API as HTTP: authorization, limits, schemas, errors and the log around the routes."""

from __future__ import annotations

import asyncio
import hmac
import logging
import math
import time
from email.utils import formatdate
from typing import Any

import msgspec
from aiohttp import web

from playground.twin.errors import DiscordError, invalid_form, unauthorized
from playground.twin.rest import account, channels, commands, guilds, monetization, webhooks
from playground.twin.rest.calls import Call, Result, Route, Services
from playground.twin.rest.holds import Holds
from playground.twin.rest.limits import Limiter, Scope, Verdict
from playground.twin.schemas import Schemas

log = logging.getLogger(__name__)

PREFIX = "/api/v10"

ROUTES = [*account.ROUTES, *guilds.ROUTES, *commands.ROUTES, *channels.ROUTES, *webhooks.ROUTES, *monetization.ROUTES]

_encode = msgspec.json.Encoder().encode


class Rest:
    """The API on a server."""

    def __init__(self, services: Services, schemas: Schemas, limiter: Limiter, holds: Holds) -> None:
        self._services = services
        self._schemas = schemas
        self._limiter = limiter
        self._holds = holds

    def routes(self) -> list[web.RouteDef]:
        """Return the routes to mount; whatever else is under the prefix is 404."""
        made = [web.route(route.method, PREFIX + route.template, self._handler(route)) for route in ROUTES]
        return [*made, web.route("*", "/api/{rest:.*}", self._nothing)]

    async def _nothing(self, request: web.Request) -> web.Response:
        error = DiscordError(404, 0, "404: Not Found")
        self._log(request, error.status, time.monotonic_ns(), error.code)
        return _response(error.body(), 404, {})

    def _handler(self, route: Route) -> Any:
        async def handle(request: web.Request) -> web.Response:
            started = time.monotonic_ns()
            path = request.path.removeprefix(PREFIX)
            if (banned := self._limiter.banned_for()) is not None:
                self._log(request, 429, started, None)
                return _banned(banned)
            if (faked := await self._holds.pass_through(request.method, path)) is not None:
                self._log(request, faked, started, None)
                return _response({"message": f"{faked}: held by a test", "code": 0}, faked, _REFUSED.get(faked, {}))
            verdict, raw = Verdict({}), b""
            try:
                if route.bot:
                    self._authorize(request)
                major = ":".join(request.match_info.get(each, "") for each in route.major)
                verdict = self._limiter.take(route.limit, major, (request.method, path), counts_globally=route.bot)
                if verdict.retry_after is not None:
                    self._log(request, 429, started, None)
                    self._count(429, verdict.scope)
                    return _response(verdict.body(), 429, verdict.headers)
                raw = await request.read()
                result = await self._answer(route, request, raw)
            except DiscordError as error:
                self._refused(request, error, raw)
                self._log(request, error.status, started, error.code)
                self._count(error.status)
                return _response(error.body(), error.status, verdict.headers)
            except asyncio.CancelledError:
                raise
            except Exception:
                log.exception("%s %s failed", request.method, request.path)
                self._services.journal.violation("twin_failed", f"{request.method} {request.path}: see the twin's log")
                return _response({"message": "500: Internal Server Error", "code": 0}, 500, verdict.headers)
            self._log(request, result.status, started, None, raw)
            return _response(result.body, result.status, verdict.headers)

        return handle

    def _count(self, status: int, scope: Scope = Scope.USER) -> None:
        if self._limiter.answered(status, scope):
            reason = f"{self._limiter.invalid_requests} answers with 401, 403 or 429 in ten minutes"
            self._services.journal.violation("invalid_requests", reason)

    def _authorize(self, request: web.Request) -> None:
        given = request.headers.get("Authorization", "")
        if not hmac.compare_digest(given.encode(), f"Bot {self._services.world.token}".encode()):
            raise unauthorized()

    async def _answer(self, route: Route, request: web.Request, raw: bytes) -> Result:
        body = await self._body(request, raw)
        if request.method in ("POST", "PUT", "PATCH"):
            problems = self._schemas.request(request.method, route.template, body)
            if problems:
                raise invalid_form(problems)
        call = Call(dict(request.match_info), dict(request.query), body)
        return await route.handler(self._services, call)

    async def _body(self, request: web.Request, raw: bytes) -> Any:
        if not raw:
            return None
        if request.content_type == "multipart/form-data":
            form = await request.post()
            raw = str(form.get("payload_json", "{}")).encode()
        elif request.content_type != "application/json":
            raise DiscordError(400, 50109, "The request body contains invalid JSON.", violation=True)
        try:
            return msgspec.json.decode(raw)
        except msgspec.DecodeError:
            raise DiscordError(400, 50109, "The request body contains invalid JSON.", violation=True) from None

    def _refused(self, request: web.Request, error: DiscordError, raw: bytes) -> None:
        if error.violation:
            body = raw[:2000].decode(errors="replace")
            where = f"{request.method} {request.path.removeprefix(PREFIX)}"
            self._services.journal.violation("rest_request", str(error.args[0]), request=where, body=body)

    def _log(self, request: web.Request, status: int, started: int, code: int | None, raw: bytes = b"") -> None:
        about: dict[str, Any] = {
            "method": request.method,
            "path": request.path.removeprefix(PREFIX),
            "status": status,
            "started_at_ns": started,
        }
        if code is not None:
            about["code"] = code
        if raw:
            about["body"] = raw[:20_000].decode(errors="replace")
        self._services.journal.add("rest", "request", about)


_REFUSED = {429: {"Via": "1.1 google", "Retry-After": "1"}}


def _banned(seconds: float) -> web.Response:
    """The answer of the network before Discord: no JSON, no ``Via``, nothing of buckets."""
    headers = {"Retry-After": str(math.ceil(seconds)), "Server": "cloudflare", "Date": formatdate(usegmt=True)}
    return web.Response(text="error code: 1015", status=429, headers=headers)


def _response(body: Any, status: int, headers: dict[str, str]) -> web.Response:
    everything = {"Date": formatdate(usegmt=True), "Via": "1.1 google", **headers}
    if status == 204:
        return web.Response(status=204, headers=everything)
    everything["Content-Type"] = "application/json"
    return web.Response(body=_encode(body), status=status, headers=everything)

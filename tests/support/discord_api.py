"""A small Discord for tests: it keeps the rules of interactions' messages, checks what it gets, and can misbehave."""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections import deque
from collections.abc import Awaitable, Callable
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import jsonschema_rs
from aiohttp import web

from tests.support.messages import broken_rules

GROUND_TRUTH = os.environ.get("TONEARM_GROUND_TRUTH", "")
EPHEMERAL, LOADING = 1 << 6, 1 << 7

Json = dict[str, Any]
Fault = Callable[[web.Request], Awaitable[web.StreamResponse | None]]

ROUTES = [
    (re.compile(pattern), path)
    for pattern, path in (
        (r"/webhooks/\d+/[^/]+/messages/@original", "/webhooks/{webhook_id}/{webhook_token}/messages/@original"),
        (r"/webhooks/\d+/[^/]+", "/webhooks/{webhook_id}/{webhook_token}"),
        (r"/channels/\d+/messages", "/channels/{channel_id}/messages"),
        (r"/channels/\d+/messages/\d+", "/channels/{channel_id}/messages/{message_id}"),
        (r"/applications/\d+/commands", "/applications/{application_id}/commands"),
        (r"/applications/\d+/guilds/\d+/commands", "/applications/{application_id}/guilds/{guild_id}/commands"),
        (r"/guilds/\d+/voice-states/\d+", "/guilds/{guild_id}/voice-states/{user_id}"),
        (r"/applications/@me", "/applications/@me"),
        (r"/gateway/bot", "/gateway/bot"),
    )
]


@lru_cache
def document() -> Json:
    """Discord's OpenAPI document, with closed request schemas."""
    loaded: Json = json.loads((Path(GROUND_TRUTH) / "discord-openapi.json").read_text())
    return loaded


@lru_cache
def validator(method: str, path: str) -> Any:
    """A validator for the bodies of one operation; ``None`` when it takes none."""
    operation = document()["paths"][path][method.lower()]
    content = operation.get("requestBody", {}).get("content", {}).get("application/json")
    if content is None:
        return None
    schema = {"allOf": [content["schema"]], "components": document()["components"]}
    return jsonschema_rs.Draft202012Validator(schema, validate_formats=True, ignore_unknown_formats=True)


def complaints(method: str, path: str, body: Any) -> list[str]:
    """What Discord's document and the rules it lacks say against a body."""
    found: list[str] = []
    if GROUND_TRUTH:
        check = validator(method, path)
        if check is not None:
            found += [f"{list(error.instance_path)}: {error.message[:300]}" for error in check.iter_errors(body)]
        elif body is not None:
            found.append("no body is expected")
    if not found and isinstance(body, dict) and "components" in body:
        found += broken_rules(body)
    return found


class Request(NamedTuple):
    """What arrived."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any


class Interaction:
    """One interaction's messages. ``unknown`` is how many times it is not known yet; ``dead``: its token is."""

    def __init__(self, original: Json | None, *, unknown: int = 0, dead: bool = False) -> None:
        self.original = original
        self.follow_ups: list[Json] = []
        self.unknown = unknown
        self.dead = dead


def deferred(*, private: bool = False) -> Json:
    """The message that a deferral of a command shows."""
    return {"id": "1", "flags": LOADING | (EPHEMERAL if private else 0)}


class DiscordApi:
    """A server on this machine. ``faults`` are what the next requests meet before anything else, one each."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.complaints: list[str] = []
        self.faults: deque[Fault] = deque()
        self.interactions: dict[str, Interaction] = {}
        self.posted: dict[str, Json] = {}
        self.answers: dict[tuple[str, str], tuple[int, Any]] = {}
        self.silent = asyncio.Event()
        self.url = ""
        self._arrived = asyncio.Condition()
        app = web.Application()
        app.router.add_route("*", "/api/v10{path:/.*}", self._handle)
        self._runner = web.AppRunner(app, handler_cancellation=True, access_log=None)

    async def __aenter__(self) -> DiscordApi:
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/api/v10"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.silent.set()
        await self._runner.cleanup()

    async def received(self, number: int) -> list[Request]:
        """The requests, once there are ``number`` of them."""
        async with asyncio.timeout(10), self._arrived:
            await self._arrived.wait_for(lambda: len(self.requests) >= number)
        return self.requests

    def calls(self) -> list[str]:
        """What was asked, in short: ``PATCH @original`` and the like."""
        return [f"{request.method} {request.path.rsplit('/', 1)[-1]}" for request in self.requests]

    # Faults.

    @staticmethod
    def status(status: int, body: Any = None, headers: dict[str, str] | None = None) -> Fault:
        """Answer with ``status``."""

        async def fault(_request: web.Request) -> web.StreamResponse:
            if isinstance(body, str):
                return web.Response(status=status, text=body, headers=headers)
            return web.json_response(body if body is not None else {}, status=status, headers=headers)

        return fault

    @staticmethod
    async def drop(request: web.Request) -> web.StreamResponse | None:
        """Close the connection instead of answering."""
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    async def hang(self, _request: web.Request) -> web.StreamResponse | None:
        """Never answer."""
        await self.silent.wait()
        return web.Response()

    async def forget(self, request: web.Request) -> web.StreamResponse | None:
        """Do it, and answer with 502."""
        await self._act(request.method, self._path(request), await self._json(request))
        return web.Response(status=502)

    # Answers.

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        path, body = self._path(request), await self._json(request)
        self.requests.append(Request(request.method, path, dict(request.query), dict(request.headers), body))
        async with self._arrived:
            self._arrived.notify_all()
        if self.faults:
            answer = await self.faults.popleft()(request)
            if answer is not None:
                return answer
        template = next((template for pattern, template in ROUTES if pattern.fullmatch(path)), None)
        if template is None:
            self.complaints.append(f"no such address: {path}")
            return web.json_response({"code": 0, "message": "404: Not Found"}, status=404)
        if found := complaints(request.method, template, body):
            self.complaints += [f"{request.method} {template}: {complaint}" for complaint in found]
            return web.json_response({"code": 50035, "message": "Invalid Form Body"}, status=400)
        status, answer_body = await self._act(request.method, path, body)
        return web.Response(status=204) if status == 204 else web.json_response(answer_body, status=status)

    @staticmethod
    def _path(request: web.Request) -> str:
        return request.rel_url.raw_path.removeprefix("/api/v10")

    @staticmethod
    async def _json(request: web.Request) -> Any:
        return await request.json() if request.can_read_body else None

    async def _act(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        if (method, path) in self.answers:
            return self.answers[method, path]
        if path.startswith("/webhooks/"):
            return self._interaction(method, path, body)
        if method == "POST" and path.endswith("/messages"):
            message = self.posted.setdefault(body["nonce"], {"id": str(len(self.posted) + 100), "path": path, **body})
            return 200, message
        if method == "DELETE":
            return 204, None
        return 200, body if isinstance(body, list) else {"id": "5", "path": path}

    def _interaction(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        it = self.interactions.get(path.split("/")[3])
        if it is None or it.unknown:
            if it is not None:
                it.unknown -= 1
            return 404, {"code": 10015, "message": "Unknown Webhook"}
        if it.dead:
            return 401, {"code": 50027, "message": "Invalid Webhook Token"}
        if method == "POST":
            if it.original is not None and it.original["flags"] & LOADING:
                # It is taken for the edit of the original, whose visibility stays.
                return self._edit(it, body)
            it.follow_ups.append(body)
            return 200, {"id": "2", **body}
        if it.original is None:
            return 404, {"code": 10008, "message": "Unknown Message"}
        if method == "DELETE":
            it.original = None
            return 204, None
        return self._edit(it, body) if method == "PATCH" else (200, it.original)

    @staticmethod
    def _edit(it: Interaction, body: Json) -> tuple[int, Any]:
        assert it.original is not None
        hidden = it.original["flags"] & EPHEMERAL
        it.original = {**it.original, **body, "flags": (body.get("flags", 0) & ~EPHEMERAL) | hidden}
        return 200, it.original

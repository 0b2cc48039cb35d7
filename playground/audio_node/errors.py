"""Errors in the shape that Lavalink gives them: https://lavalink.dev/api/rest.html (Error Responses)."""

from __future__ import annotations

import json
import time
import traceback
from http import HTTPStatus

from aiohttp import web


class RestError(Exception):
    """A request that can't be done: `status` is the HTTP status, `message` the sentence for the client."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


def error_response(request: web.Request, status: int, message: str, cause: BaseException | None = None) -> web.Response:
    """The JSON body of an error; with a stack trace where the client asked for it by `trace=true`."""
    body: dict[str, object] = {
        "timestamp": time.time_ns() // 1_000_000,
        "status": status,
        "error": HTTPStatus(status).phrase,
        "message": message,
        "path": request.path,
    }
    if request.query.get("trace") == "true":
        body["trace"] = "".join(traceback.format_exception(cause)) if cause else ""
    return json_response(body, status)


def json_response(body: object, status: int = 200) -> web.Response:
    """JSON with the exact content type `application/json`, as the real server sends it."""
    return web.Response(body=json.dumps(body).encode(), status=status, content_type="application/json")

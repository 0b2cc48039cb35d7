"""What a function on AWS Lambda is made of: an ASGI application behind mangum, settings, metrics that are log lines.

Clients are made once and kept from one invocation to the next. Between two invocations the process is frozen, so
nothing runs after a response: no subscription, no cache that others would have to tell of changes, and an answer is
confirmed just before its response is handed to Lambda.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from mangum import Mangum

from interactions.commands import catalogue
from interactions.discord.endpoint import Endpoint
from interactions.discord.handling import CommandHandling
from interactions.discord.verify import Verifier
from interactions.memory import Memory
from interactions.reply_lists import ReplyLists
from tonearm import settings as tonearm_settings
from tonearm.aws import emf
from tonearm.redis.lean import connect_lean
from tonearm.settings import Settings
from tonearm.telemetry import set_up_logging

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

Handler = Callable[[dict[str, Any], Any], dict[str, Any]]

LOG = logging.getLogger("tonearm.interactions")

NEEDED = ("discord_application_id", "discord_public_key", "redis_url")

DEFAULTS = {"TONEARM_INLINE_REPLY_MS": "300", "TONEARM_LOG_FORMAT": "json"}
"""Of settings that are not set: waiting is billed here, and nobody reads a terminal."""

PATH = "/interactions"


def make_handler(settings: Settings, clock: Callable[[], float] = time.time) -> Handler:
    """What Lambda calls with each event of a Function URL. ``clock`` tells the time in seconds since 1970."""
    client = connect_lean(settings.redis_url)
    memory = Memory(client, settings.shard_count, lambda error: LOG.critical("%s", error))
    replies = ReplyLists(client, settings.shard_count)
    handling = CommandHandling(catalogue(), memory, replies, inline_reply_ms=settings.inline_reply_ms, clock=clock)
    endpoint = Endpoint(Verifier(settings.discord_public_key, clock), lambda: handling, clock)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] != PATH or scope["method"] != "POST":
            await _refuse(send, 404 if scope["path"] != PATH else 405)
            return
        await endpoint(scope, receive, send)

    return writing_metrics(Mangum(app, lifespan="off"))


def writing_metrics(answer: Handler) -> Handler:
    """``answer``, which then writes what was counted meanwhile."""

    def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
        try:
            return answer(event, context)
        finally:
            emf.write(sys.stdout)

    return handler


def load_settings(needed: tuple[str, ...]) -> Settings:
    """This function's settings.

    Raises:
        SettingsError: one is missing or wrong.
    """
    settings = tonearm_settings.load(needed, DEFAULTS | os.environ)
    set_up_logging(settings.log_format)
    return settings


async def _refuse(send: Send, status: int) -> None:
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": b""})

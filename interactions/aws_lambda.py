"""The HTTP side as a function on AWS Lambda: ``interactions.aws_lambda.handler``.

What a PING needs is imported when the function starts, all else with the first interaction; clients are made then, and
kept from one invocation to the next. Between two invocations the process is frozen, so nothing runs after a response:
no subscription, no cache that others would have to tell of changes, and an answer is confirmed just before its
response is handed to Lambda.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

from mangum import Mangum

from interactions.discord.endpoint import Endpoint
from interactions.discord.verify import Verifier
from tonearm import settings as tonearm_settings
from tonearm.aws import emf
from tonearm.settings import Settings
from tonearm.telemetry import set_up_logging

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from interactions.discord.handling import CommandHandling

Handler = Callable[[dict[str, Any], Any], dict[str, Any]]

LOG = logging.getLogger("tonearm.interactions")

NEEDED = ("discord_application_id", "discord_public_key", "redis_url")

DEFAULTS = {"TONEARM_INLINE_REPLY_MS": "300", "TONEARM_LOG_FORMAT": "json"}
"""Of settings that are not set: waiting is billed here, and nobody reads a terminal."""

PATH = "/interactions"


def make_handler(settings: Settings, clock: Callable[[], float] = time.time) -> Handler:
    """What Lambda calls with each event of a Function URL or an HTTP API. ``clock``: seconds since 1970."""
    endpoint = Endpoint(Verifier(settings.discord_public_key, clock), _handling_later(settings, clock), clock)

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


def _handling_later(settings: Settings, clock: Callable[[], float]) -> Callable[[], CommandHandling]:
    @cache
    def handling() -> CommandHandling:
        from interactions.commands import catalogue
        from interactions.discord.handling import CommandHandling
        from interactions.memory import Memory
        from interactions.reply_lists import ReplyLists
        from tonearm.redis.kept import connect_kept

        client = connect_kept(settings.redis_url)
        memory = Memory(client, settings.shard_count, lambda error: LOG.critical("%s", error))
        replies = ReplyLists(client, settings.shard_count)
        return CommandHandling(catalogue(), memory, replies, inline_reply_ms=settings.inline_reply_ms, clock=clock)

    return handling


async def _refuse(send: Send, status: int) -> None:
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": b""})


if "AWS_LAMBDA_FUNCTION_NAME" in os.environ:
    handler = make_handler(load_settings(NEEDED))

"""The HTTP side as a function on AWS Lambda: ``interactions.aws_lambda.handler``.

Discord's PING is answered with what is imported at the start, which is next to nothing: neither an event loop nor
mangum. All else is imported with the first interaction; clients are made then, and kept from one invocation to the
next. Between two invocations the process is frozen, so nothing runs after a response: no subscription, no cache that
others would have to tell of changes, and an answer is confirmed just before its response is handed to Lambda.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from base64 import b64decode
from binascii import Error as NotBase64
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

from interactions.discord.at_once import PONG
from interactions.discord.decode import Ping, decode
from interactions.discord.verify import Verifier
from tonearm import settings as tonearm_settings
from tonearm.aws import emf
from tonearm.discord.snowflake import made_ms
from tonearm.errors import InvalidInteraction
from tonearm.settings import Settings
from tonearm.telemetry import ANSWER_SECONDS, INTERACTIONS, set_up_logging

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
    verifier = Verifier(settings.discord_public_key, clock)

    @cache
    def whatever_comes() -> Handler:
        return _through_asgi(settings, verifier, clock)

    def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
        return pong(event, verifier, clock) or whatever_comes()(event, context)

    return writing_metrics(handler)


def pong(event: dict[str, Any], verifier: Verifier, clock: Callable[[], float]) -> dict[str, Any] | None:
    """The answer to a PING that Discord signed; ``None`` for all else."""
    body, headers = event.get("body") or "", event.get("headers") or {}
    try:
        raw = b64decode(body) if event.get("isBase64Encoded") else body.encode()
        interaction = decode(raw)
    except (NotBase64, InvalidInteraction):
        return None
    signature, timestamp = (headers.get(f"x-signature-{part}", "").encode() for part in ("ed25519", "timestamp"))
    is_here = (event.get("rawPath"), event["requestContext"]["http"]["method"]) == (PATH, "POST")
    if type(interaction) is not Ping or not is_here or not verifier(signature, timestamp, raw):
        return None
    ANSWER_SECONDS.observe(max(0.0, clock() - made_ms(interaction.id) / 1000))
    INTERACTIONS.labels("ping", "answered").inc()
    return {"statusCode": 200, "headers": {"content-type": "application/json"}, "body": PONG.decode()}


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


def _through_asgi(settings: Settings, verifier: Verifier, clock: Callable[[], float]) -> Handler:
    from mangum import Mangum

    from interactions.commands import catalogue
    from interactions.discord.endpoint import Endpoint
    from interactions.discord.handling import CommandHandling
    from interactions.memory import Memory
    from interactions.reply_lists import ReplyLists
    from tonearm.redis.kept import connect_kept

    client = connect_kept(settings.redis_url)
    memory = Memory(client, settings.shard_count, lambda error: LOG.critical("%s", error))
    replies = ReplyLists(client, settings.shard_count)
    handling = CommandHandling(catalogue(), memory, replies, inline_reply_ms=settings.inline_reply_ms, clock=clock)
    endpoint = Endpoint(verifier, lambda: handling, clock)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] != PATH or scope["method"] != "POST":
            await _refuse(send, 404 if scope["path"] != PATH else 405)
            return
        await endpoint(scope, receive, send)

    return Mangum(app, lifespan="off")


async def _refuse(send: Send, status: int) -> None:
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": b""})


if "AWS_LAMBDA_FUNCTION_NAME" in os.environ:
    handler = make_handler(load_settings(NEEDED))

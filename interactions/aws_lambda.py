"""The HTTP side as a function on AWS Lambda: ``interactions.aws_lambda.handler``.

Discord's PING is verified and answered with what is imported here, which is next to nothing (no event loop, no
settings, no metrics), so a function that was just started answers at once. All else is imported with the first
interaction.
"""

from __future__ import annotations

import gc
import json
import os
from base64 import b64decode
from functools import cache

from interactions.discord.verify import Verifier

TYPE_CHECKING = False  # typing's own would have to be imported
if TYPE_CHECKING:
    from typing import Any

    from interactions.aws_asgi import Handler

PATH = "/interactions"
PING = 1
PONG = {"statusCode": 200, "headers": {"content-type": "application/json"}, "body": '{"type":1}'}


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """What Lambda calls with each event of its Function URL.

    Raises:
        SettingsError: a setting is missing or wrong.
    """
    return pong(event) or _whatever_comes()(event, context)


def pong(event: dict[str, Any]) -> dict[str, Any] | None:
    """The answer to a PING that Discord signed; ``None`` for all else, and where the keys are wrong."""
    body, headers, asked = event.get("body") or "", event.get("headers") or {}, event["requestContext"]["http"]
    if (event["rawPath"], asked["method"]) != (PATH, "POST"):
        return None
    signature, timestamp = (headers.get(f"x-signature-{part}", "").encode() for part in ("ed25519", "timestamp"))
    try:
        raw = b64decode(body) if event.get("isBase64Encoded") else body.encode()
        said = json.loads(raw)
        if not isinstance(said, dict) or said.get("type") != PING:
            return None
        keys = os.environ["TONEARM_DISCORD_PUBLIC_KEY"].split(",")
        verified = Verifier(tuple(bytes.fromhex(key.strip()) for key in keys))
    except (KeyError, ValueError, RecursionError):
        return None
    return PONG if verified(signature, timestamp, raw) else None


@cache
def _whatever_comes() -> Handler:
    gc.disable()  # it would look for garbage in what is imported, again and again, where there is none
    try:
        from tonearm.late_import import import_late

        import_late("redis")  # of which tonearm.redis.lean needs next to nothing
        from interactions.aws_asgi import NEEDED, load_settings, make_handler

        return make_handler(load_settings(NEEDED))
    finally:
        gc.freeze()
        gc.enable()

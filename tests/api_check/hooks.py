"""What schemathesis can't know: a new wish has a new Idempotency-Key, and few people wish for a thousand things."""

import re
import secrets

import schemathesis

from interactions.api.repeating import KEY_PATTERN

SNOWFLAKE = re.compile("[1-9][0-9]{16,18}")


@schemathesis.hook
def before_call(context, case, kwargs) -> None:
    """A valid Idempotency-Key becomes one that nobody has used; who wishes for music, and where, is somebody new.

    Our own limits of a person and of a guild would refuse nearly all of it otherwise, before anything else is tried.
    """
    headers = case.headers or {}
    for name, value in list(headers.items()):
        if name.lower() == "idempotency-key" and isinstance(value, str) and re.fullmatch(KEY_PATTERN, value):
            case.headers[name] = secrets.token_hex(16)
    if "/music/" in case.path and isinstance(case.body, dict):
        for name in ("actor", "guild_id"):
            if isinstance(value := case.body.get(name), str) and SNOWFLAKE.fullmatch(value):
                case.body[name] = str(10**17 + secrets.randbelow(10**17))

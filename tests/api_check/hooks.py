"""What schemathesis can't know: a new wish has a new Idempotency-Key."""

import re
import secrets

import schemathesis

from interactions.api.repeating import KEY_PATTERN


@schemathesis.hook
def before_call(context, case, kwargs) -> None:
    """A valid Idempotency-Key becomes one that nobody has used."""
    headers = case.headers or {}
    for name, value in list(headers.items()):
        if name.lower() == "idempotency-key" and isinstance(value, str) and re.fullmatch(KEY_PATTERN, value):
            case.headers[name] = secrets.token_hex(16)

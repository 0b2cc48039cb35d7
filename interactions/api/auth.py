"""Who asks: the key, its scopes and its guilds."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from datetime import datetime

from interactions.api.problems import database_away
from tonearm.errors import Problem
from tonearm.postgres.api_keys import PREFIX, ApiKey, fetch_key, hash_key, touch_key
from tonearm.postgres.pool import FAILURES, Pool
from tonearm.scopes import allows
from tonearm.telemetry import LOG, context

LOOKUP_TIMEOUT = 0.8
"""Seconds that finding a key may take."""

MOST_KEY = 200
"""Characters of a key that are looked at."""


async def authenticate(pool: Pool, headers: Mapping[str, str], now: datetime) -> ApiKey:
    """The key of a request.

    Raises:
        Problem: it has none that is valid, or nobody can say.
    """
    scheme, _, secret = headers.get("authorization", "").partition(" ")
    secret = secret.strip()
    if scheme.lower() != "bearer" or not secret.startswith(PREFIX) or len(secret) > MOST_KEY or not secret.isascii():
        raise _unauthenticated("Send a key as `Authorization: Bearer tnk_live_…`.")
    try:
        key = await fetch_key(pool, secret, timeout=LOOKUP_TIMEOUT)
    except FAILURES as error:
        raise database_away() from error
    # The index has found it by its hash; this compares in constant time whatever the index did.
    if key is None or not hmac.compare_digest(key.hash, hash_key(secret)) or not key.is_valid(now):
        raise _unauthenticated("The key is not known, was revoked, or has expired.", error="invalid_token")
    try:
        await touch_key(pool, key, now)
    except FAILURES as error:
        LOG.warning("The last use of a key was not noted: %r", error, extra=context(key=key.id))
    return key


def require_scope(key: ApiKey, scope: str) -> None:
    """The key may do what ``scope`` stands for.

    Raises:
        Problem: it may not.
    """
    if not allows(key.scopes, scope):
        raise Problem(
            "scope-missing",
            f"This key lacks the scope {scope}.",
            headers={"WWW-Authenticate": f'Bearer error="insufficient_scope", scope="{scope}"'},
        )


def require_guild(key: ApiKey, guild: int) -> None:
    """The key is for ``guild``.

    Raises:
        Problem: it is not.
    """
    if not key.is_for(guild):
        raise Problem("guild-not-allowed", f"This key is not for the guild {guild}.")


def _unauthenticated(detail: str, *, error: str = "") -> Problem:
    challenge = f'Bearer error="{error}"' if error else "Bearer"
    return Problem("unauthenticated", detail, headers={"WWW-Authenticate": challenge})

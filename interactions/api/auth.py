"""Who asks: the key, its scopes and its guilds."""

from __future__ import annotations

from collections.abc import Mapping

from interactions.api.problems import database_away
from tonearm.errors import Problem
from tonearm.keyring import Keyring
from tonearm.postgres.api_keys import PREFIX, ApiKey, hash_key
from tonearm.postgres.pool import FAILURES
from tonearm.scopes import allows

MOST_KEY = 200
"""Characters of a key that are looked at."""


async def authenticate(keyring: Keyring, headers: Mapping[str, str]) -> ApiKey:
    """The key of a request.

    Raises:
        Problem: it has none that is valid, or nobody can say.
    """
    scheme, _, secret = headers.get("authorization", "").partition(" ")
    secret = secret.strip()
    if scheme.lower() != "bearer" or not secret.startswith(PREFIX) or len(secret) > MOST_KEY or not secret.isascii():
        raise _unauthenticated("Send a key as `Authorization: Bearer tnk_live_…`.")
    try:
        key = await keyring.find(hash_key(secret))
    except FAILURES as error:
        raise database_away() from error
    if key is None:
        raise _unauthenticated("The key is not known, was revoked, or has expired.", error="invalid_token")
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

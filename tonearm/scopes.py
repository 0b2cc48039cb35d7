"""What a key of the API may do. A scope is ``<area>:<read|write>``; ``<area>:*`` is both."""

from __future__ import annotations

from collections.abc import Iterable

AREAS = ("premium", "settings", "music", "data", "keys")
SCOPES = tuple(f"{area}:{what}" for area in AREAS for what in ("read", "write"))
"""What operations ask for."""

GIVEN = (*SCOPES, *(f"{area}:*" for area in AREAS))
"""What keys can have."""


def spread(scopes: Iterable[str]) -> frozenset[str]:
    """The single scopes among ``scopes``; words that are none of ours open nothing."""
    found = {scope for scope in scopes if scope in SCOPES}
    for scope in scopes:
        area, _, what = scope.partition(":")
        if what == "*" and area in AREAS:
            found |= {f"{area}:read", f"{area}:write"}
    return frozenset(found)


def allows(scopes: Iterable[str], wanted: str) -> bool:
    """Whether a key with ``scopes`` may do what ``wanted`` stands for."""
    return wanted in spread(scopes)

"""Rate limits (Discord documentation, "Rate Limits")."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass

GLOBAL_LIMIT = 50
"""Requests a second of a bot, interaction endpoints aside."""

KEPT = 10_000


@dataclass(slots=True)
class Window:
    """A fixed window of one bucket. ``ends`` is in seconds of Unix time."""

    left: int
    ends: float


@dataclass(frozen=True, slots=True)
class Limit:
    """``requests`` in ``seconds``, counted apart for each value of the bucket's major parameters."""

    name: str
    requests: int = 50
    seconds: float = 1.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a request is told. ``retry_after`` is None when it may pass; ``shared`` names a global refusal."""

    headers: dict[str, str]
    retry_after: float | None = None
    is_global: bool = False

    def body(self) -> dict[str, object]:
        """Return the JSON body of the 429."""
        return {
            "message": "You are being rate limited.",
            "retry_after": self.retry_after,
            "global": self.is_global,
        }


class Limiter:
    """All buckets, and the global one."""

    def __init__(self) -> None:
        self.enabled = True
        self._windows: dict[tuple[str, str], Window] = {}
        self._global = Window(GLOBAL_LIMIT, 0.0)

    def take(self, limit: Limit, major: str, *, counts_globally: bool) -> Verdict:
        """Count a request in the bucket of ``limit`` and ``major``."""
        now = time.time()
        if counts_globally and self.enabled and (verdict := self._take_global(now)) is not None:
            return verdict
        key = (limit.name, major)
        window = self._windows.get(key)
        if window is None or window.ends <= now:
            if len(self._windows) > KEPT:
                self._windows = {each: one for each, one in self._windows.items() if one.ends > now}
            window = self._windows[key] = Window(limit.requests, now + limit.seconds)
        refused = window.left <= 0 and self.enabled
        window.left = max(0, window.left - 1)
        after = window.ends - now
        headers = {
            "X-RateLimit-Limit": str(limit.requests),
            "X-RateLimit-Remaining": str(window.left),
            "X-RateLimit-Reset": f"{window.ends:.3f}",
            "X-RateLimit-Reset-After": f"{after:.3f}",
            "X-RateLimit-Bucket": hashlib.sha256(limit.name.encode()).hexdigest()[:32],
        }
        if not self.enabled:
            headers["X-RateLimit-Remaining"] = str(max(1, window.left))
        if not refused:
            return Verdict(headers)
        return Verdict(headers | _refusal(after, "user"), round(after, 3))

    def _take_global(self, now: float) -> Verdict | None:
        if self._global.ends <= now:
            self._global = Window(GLOBAL_LIMIT, now + 1.0)
        if self._global.left <= 0:
            after = self._global.ends - now
            return Verdict(_refusal(after, "global") | {"X-RateLimit-Global": "true"}, round(after, 3), is_global=True)
        self._global.left -= 1
        return None


def _refusal(after: float, scope: str) -> dict[str, str]:
    return {"Retry-After": str(max(1, round(after + 0.5))), "X-RateLimit-Scope": scope, "Via": "1.1 google"}

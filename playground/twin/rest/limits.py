"""Rate limits (Discord documentation, "Rate Limits")."""

from __future__ import annotations

import hashlib
import math
import re
import time
from collections import deque
from dataclasses import dataclass
from enum import StrEnum

GLOBAL_LIMIT = 50
"""Requests a second of a bot, interaction endpoints aside."""

INVALID_LIMIT = 10_000
INVALID_SECONDS = 600.0
"""So many answers with 401, 403 or 429 in so many seconds, and the address is banned."""

BAN_SECONDS = 3600.0
"""An assumption: Discord says no more than "temporarily"."""

KEPT = 10_000


class Scope(StrEnum):
    """Whose limit it is, as ``X-RateLimit-Scope`` says; a ban comes from the network before Discord and has none."""

    USER = "user"
    GLOBAL = "global"
    SHARED = "shared"
    BAN = "ban"


@dataclass(frozen=True, slots=True)
class Imposed:
    """A limit that a test wants reached until ``ends`` (Unix seconds), for requests that match."""

    scope: Scope
    ends: float
    method: str | None
    pattern: re.Pattern[str]

    def matches(self, method: str, path: str, *, counts_globally: bool) -> bool:
        """Return whether this request is refused by it; a global limit and a ban know no paths."""
        if self.scope is Scope.GLOBAL:
            return counts_globally
        return self.method in (None, method) and self.pattern.match(path) is not None


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
    """What a request is told: ``retry_after`` (seconds) is None when it may pass, ``scope`` whose limit refused it."""

    headers: dict[str, str]
    retry_after: float | None = None
    scope: Scope = Scope.USER

    @property
    def is_global(self) -> bool:
        """Whether nothing else may pass either."""
        return self.scope is Scope.GLOBAL

    def body(self) -> dict[str, object]:
        """Return the JSON body of the 429, as the OpenAPI document has it; its examples leave the code out."""
        return {
            "message": "You are being rate limited.",
            "code": 0,
            "retry_after": self.retry_after,
            "global": self.is_global,
        }


class Limiter:
    """All buckets, the global one, invalid requests, and what tests impose.

    Attributes:
        enabled: whether anything is refused but by what is imposed.
        invalid_requests: see ``INVALID_LIMIT``.
        ban_seconds: how long a ban is.
    """

    def __init__(self) -> None:
        self.enabled = True
        self.invalid_requests = INVALID_LIMIT
        self.ban_seconds = BAN_SECONDS
        self._windows: dict[tuple[str, str], Window] = {}
        self._global = Window(GLOBAL_LIMIT, 0.0)
        self._imposed: list[Imposed] = []
        self._invalid: deque[float] = deque()
        self._banned_until = 0.0

    def impose(self, scope: Scope, seconds: float, method: str | None = None, pattern: str = "/") -> None:
        """Let a limit be reached for so many seconds.

        Raises:
            ValueError: the pattern is not a regular expression.
        """
        ends = time.time() + seconds
        if scope is Scope.BAN:
            self._banned_until = ends
            return
        try:
            compiled = re.compile(pattern)
        except re.error as error:
            raise ValueError(f"{pattern!r}: {error}") from None
        self._imposed.append(Imposed(scope, ends, method and method.upper(), compiled))

    def lift(self) -> None:
        """End what was imposed, and a ban."""
        self._imposed.clear()
        self._invalid.clear()
        self._banned_until = 0.0

    def banned_for(self) -> float | None:
        """Return for how many seconds more nothing gets through to Discord; None when all is well."""
        left = self._banned_until - time.time()
        return left if left > 0 else None

    def answered(self, status: int, scope: Scope = Scope.USER) -> bool:
        """Count an answer that was sent; return whether it was the one too many that brings the ban.

        Refusals of a shared limit are nobody's fault and don't count.
        """
        if status not in (401, 403, 429) or scope is Scope.SHARED or not self.enabled:
            return False
        now = time.time()
        self._invalid.append(now)
        while self._invalid[0] <= now - INVALID_SECONDS:
            self._invalid.popleft()
        if len(self._invalid) < self.invalid_requests:
            return False
        self._invalid.clear()
        self._banned_until = now + self.ban_seconds
        return True

    def take(self, limit: Limit, major: str, request: tuple[str, str] = ("", ""), *, counts_globally: bool) -> Verdict:
        """Count a request (method and path) in the bucket of ``limit`` and ``major``."""
        now = time.time()
        if self._imposed and (verdict := self._take_imposed(limit, request, now, counts_globally)) is not None:
            return verdict
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
        headers = _bucket(limit, window.left, window.ends, after)
        if not self.enabled:
            headers["X-RateLimit-Remaining"] = str(max(1, window.left))
        if not refused:
            return Verdict(headers)
        return Verdict(headers | _refusal(after, Scope.USER), round(after, 3))

    def _take_imposed(
        self, limit: Limit, request: tuple[str, str], now: float, counts_globally: bool
    ) -> Verdict | None:
        self._imposed = [each for each in self._imposed if each.ends > now]
        found = next((each for each in self._imposed if each.matches(*request, counts_globally=counts_globally)), None)
        if found is None:
            return None
        after = found.ends - now
        headers = _refusal(after, found.scope)
        if found.scope is not Scope.GLOBAL:
            headers |= _bucket(limit, 0, found.ends, after)
        return Verdict(headers, round(after, 3), found.scope)

    def _take_global(self, now: float) -> Verdict | None:
        if self._global.ends <= now:
            self._global = Window(GLOBAL_LIMIT, now + 1.0)
        if self._global.left <= 0:
            after = self._global.ends - now
            return Verdict(_refusal(after, Scope.GLOBAL), round(after, 3), Scope.GLOBAL)
        self._global.left -= 1
        return None


def _bucket(limit: Limit, left: int, ends: float, after: float) -> dict[str, str]:
    return {
        "X-RateLimit-Limit": str(limit.requests),
        "X-RateLimit-Remaining": str(left),
        "X-RateLimit-Reset": f"{ends:.3f}",
        "X-RateLimit-Reset-After": f"{after:.3f}",
        "X-RateLimit-Bucket": hashlib.sha256(limit.name.encode()).hexdigest()[:32],
    }


def _refusal(after: float, scope: Scope) -> dict[str, str]:
    headers = {"Retry-After": str(max(1, math.ceil(after))), "X-RateLimit-Scope": scope.value, "Via": "1.1 google"}
    return headers | {"X-RateLimit-Global": "true"} if scope is Scope.GLOBAL else headers

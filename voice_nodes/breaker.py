"""Keeps calls away from a server that does not answer, and lets one through now and then to see whether it does."""

from __future__ import annotations

import time
from collections.abc import Callable

OPENS_AFTER = 2
"""Calls in a row that were not answered."""

FIRST = 1.0
LONGEST = 30.0
"""Seconds before the first attempt, and at most between two: each one waits twice as long."""


class Breaker:
    """Closed: calls are made. Open: none are, until an attempt is due. ``clock`` is monotonic, in seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._pause = FIRST
        self._until: float | None = None
        self.failures = 0
        """Calls in a row that were not answered."""

    @property
    def closed(self) -> bool:
        """Whether calls may be made."""
        return self._until is None

    def due(self) -> float:
        """Seconds until an attempt may be made; 0 when it may now."""
        return 0.0 if self._until is None else max(0.0, self._until - self._clock())

    def succeeded(self) -> None:
        """A call was answered."""
        self.failures = 0
        self._until = None
        self._pause = FIRST

    def failed(self) -> bool:
        """A call was not answered; ``True`` when that has opened it."""
        self.failures += 1
        if self.failures < OPENS_AFTER:
            return False
        opened = self.closed
        if opened or self.due() == 0:  # Calls that were under way when it opened are no attempts.
            self._until = self._clock() + self._pause
            self._pause = min(self._pause * 2, LONGEST)
        return opened

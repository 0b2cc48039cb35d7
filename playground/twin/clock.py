"""The clock by which tokens age; tests can put it forward, nothing else moves with it."""

from __future__ import annotations

import time
from datetime import UTC, datetime


class Clock:
    """Seconds that never go back, plus the seconds tests have skipped."""

    def __init__(self) -> None:
        self._skipped = 0.0

    def now(self) -> float:
        """Return the twin's time in seconds; only differences mean something."""
        return time.monotonic() + self._skipped

    def advance(self, seconds: float) -> None:
        """Skip ``seconds``: interaction tokens and remembered nonces age by it, sockets and ids do not.

        Raises:
            ValueError: ``seconds`` is negative; time does not go back.
        """
        if seconds < 0:
            raise ValueError("the clock cannot go back")
        self._skipped += seconds


def timestamp() -> str:
    """Return the current time as Discord writes it (ISO 8601 with microseconds and offset)."""
    return datetime.now(UTC).isoformat(timespec="microseconds")

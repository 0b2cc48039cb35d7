"""Whether this machine stood still: figures in seconds mean nothing of programs that did not get to run."""

from __future__ import annotations

import threading
import time
from typing import Self

STEP_SECONDS = 0.01
STALL_MS = 100.0
"""Half of what is heard as a hole. A machine that has time for everybody stays far below it."""
LONG_SECONDS = 0.5
"""So long a stall is kept, with its time: programs that had to answer within 3 s had that much less."""


class Stalls:
    """A context manager with a thread of its own that sleeps, and looks how late it wakes."""

    def __init__(self) -> None:
        self.long: list[tuple[float, float]] = []
        """Stalls that were long, from and to (monotonic, s)."""
        self._lock = threading.Lock()
        self._woke = time.monotonic()
        self._worst = 0.0
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="stalls", daemon=True)

    def mark(self) -> None:
        """Look from now on."""
        with self._lock:
            self._look()
            self._worst = 0.0

    @property
    def worst_ms(self) -> float:
        """How late it woke since the mark, at worst; or how late it is now."""
        with self._lock:
            return max(self._worst, self._late()) * 1000

    @property
    def stood_still(self) -> bool:
        """The machine did, since the mark, for so long that a figure in seconds is one of the machine's."""
        return self.worst_ms > STALL_MS

    def __enter__(self) -> Self:
        self._woke = time.monotonic()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._end.is_set():
            time.sleep(STEP_SECONDS)
            with self._lock:
                self._look()

    def _look(self) -> None:
        late, now = self._late(), time.monotonic()
        self._worst = max(self._worst, late)
        if late > LONG_SECONDS:
            self.long.append((self._woke, now))
        self._woke = now

    def _late(self) -> float:
        return time.monotonic() - self._woke - STEP_SECONDS

"""From the hand-over of a /play to its sound, for one guild."""

from __future__ import annotations

from collections.abc import Callable

from tonearm.telemetry import SOUND_SECONDS, SOUNDS_MISSED

PROMISED_MS = 5_000
"""Within which a /play is to be heard."""


class FirstSound:
    """Waits for the first sound of music that somebody started. ``now_ms`` tells Redis' time."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self._now_ms = now_ms
        self._play: str | None = None
        self._asked_ms = 0

    def wait(self, play: str, asked_ms: int) -> None:
        """``play`` is to be heard; it was asked for at ``asked_ms``."""
        self._play, self._asked_ms = play, asked_ms

    def heard(self, play: str) -> None:
        """Lavalink plays ``play``."""
        if self._play is not None and play == self._play:
            SOUND_SECONDS.observe(max(0, self._now_ms() - self._asked_ms) / 1000)
            self._play = None

    def now_playing(self, play: str | None, *, by_person: bool) -> None:
        """``play`` is what should be heard now. What a person has stopped or skipped in time is waited for no more;
        else it was missed: who gives up after longer silence was promised more."""
        if self._play is not None and play != self._play:
            if not by_person or self._now_ms() - self._asked_ms > PROMISED_MS:
                SOUNDS_MISSED.inc()
            self._play = None

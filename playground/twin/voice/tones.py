"""Which tones were heard, one after the other."""

from collections import deque
from typing import Final

import msgspec
import numpy as np

from playground.twin.voice.analysis import Decoder, Pcm, dominant_frequency, mono
from playground.twin.voice.rtp import SILENCE_FRAME

WINDOW_FRAMES: Final = 5
STEP_FRAMES: Final = 2
AGREEING: Final = 4
"""So many windows in a row must agree: the first and the last do not overlap, so no click or seek is in both."""
SAME_HZ: Final = 4.0
_BREAK_NS: Final = 200_000_000


class Start(msgspec.Struct, frozen=True):
    """A tone began: its frequency in Hz, and when its first packet came (CLOCK_MONOTONIC, ns; within 60 ms)."""

    frequency: float
    started_ns: int


_NONE: Final = Start(0.0, 0)


class ToneTracker:
    """Decodes every frame, and notes each tone that differs from the one before.

    A tone counts once four windows of 100 ms, 40 ms apart, agree on it: it must last for a quarter of a second.
    The same tone after a pause, a loss or a seek is no new one; a glide is followed without starts.
    """

    def __init__(self) -> None:
        self.starts: list[Start] = []
        self._decoder = Decoder()
        self._ssrc: int | None = None
        self._order = 0
        self._last_ns = 0
        self._window: deque[tuple[int, Pcm]] = deque(maxlen=WINDOW_FRAMES)
        self._since_look = 0
        self._fresh = True
        self._candidate = _NONE
        self._agreeing = 0
        self._current = 0.0

    def add(self, ssrc: int, order: int, arrival: int, payload: bytes) -> None:
        """Take the next frame; `order` tells whether one is missing before it."""
        if ssrc != self._ssrc:
            self._decoder, self._ssrc = Decoder(), ssrc
            self._clear()
        elif arrival - self._last_ns > _BREAK_NS:
            self._clear()
        elif order != self._order + 1:
            self._window.clear()
        self._last_ns, self._order = arrival, order
        if payload == SILENCE_FRAME:
            self._clear()
            self._decoder.decode(payload)
            return
        self._window.append((arrival, mono(self._decoder.decode(payload))))
        self._since_look += 1
        if len(self._window) == WINDOW_FRAMES and self._since_look >= STEP_FRAMES:
            self._since_look = 0
            self._look()

    def _clear(self) -> None:
        self._window.clear()
        self._fresh = True
        self._agreeing = 0

    def _look(self) -> None:
        frequency = dominant_frequency(np.concatenate([samples for _, samples in self._window]))
        # After a break the tone fills the window; after another tone it won the window at about its middle.
        began = self._window[0 if self._fresh else WINDOW_FRAMES // 2][0]
        self._fresh = frequency == 0.0
        if frequency == 0.0:
            self._agreeing = 0
        elif abs(frequency - self._current) <= SAME_HZ:
            self._current = frequency
            self._agreeing = 0
        elif self._agreeing and abs(frequency - self._candidate.frequency) <= SAME_HZ:
            self._agreeing += 1
            self._candidate = Start(frequency, self._candidate.started_ns)
        else:
            self._agreeing = 1
            self._candidate = Start(frequency, began)
        if self._agreeing == AGREEING:
            self._current = frequency
            self._agreeing = 0
            self.starts.append(self._candidate)

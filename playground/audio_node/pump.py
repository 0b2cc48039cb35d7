"""The pump: one thread that takes a frame from every playing player each 20 ms and sends it.

Why a thread: the event loop also calls into the JVM and encodes JSON, and a frame must not wait for that. Why one:
a thread for each player would make them all fight for the interpreter lock. A frame costs two calls into the JVM
(ask for a frame, read its length; the bytes themselves are read through a buffer that both sides share), one AES-GCM
seal and one `send`. Both kinds of calls let go of the lock and must get it back, for which the pump would wait up to
5 ms each time while the loop computes; so the node sets the switch interval to SWITCH_INTERVAL.

The schedule is absolute (tick n is due at start + n x 20 ms), so it does not drift. A late pump sends what it owes
at once, but at most MAX_CATCH_UP ticks: after a longer stop (a suspended process) the time is simply lost.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from playground.audio_node.rtp import SILENCE, RtpLink

TICK = 0.02
MAX_CATCH_UP = 10
SILENCE_FRAMES = 5
SWITCH_INTERVAL = 0.0005
"""Seconds; for sys.setswitchinterval."""

log = logging.getLogger(__name__)


class Sink:
    """Where a player's frames go. The event loop sets `link` and `wanted`; the rest belongs to the pump's thread."""

    __slots__ = ("_on_speaking", "_provide", "_silence_left", "_speaking", "link", "nulled", "sent", "wanted")

    def __init__(self, provide: Callable[[Any], bool], on_speaking: Callable[[bool], None]) -> None:
        self._provide = provide
        self._on_speaking = on_speaking
        self._silence_left = 0
        self._speaking = False
        self.link: RtpLink | None = None
        self.wanted = False
        self.sent = 0
        self.nulled = 0

    def tick(self, frame: Any, payload: memoryview) -> bool:
        """Send what is due. False when nothing is and nothing is wanted, so that the pump may forget this sink."""
        link = self.link
        if link is None:
            self._silence_left = 0
            self._speaking = False
            return False
        if self._provide(frame):
            if not self._speaking:
                self._speak(True)
            link.send(payload[: frame.getDataLength()])
            self._silence_left = SILENCE_FRAMES
            self.sent += 1
            return True
        if self.wanted:
            self.nulled += 1
        if self._silence_left:
            link.send(SILENCE)
            self._silence_left -= 1
            return True
        if self._speaking:
            self._speak(False)
        return self.wanted

    def _speak(self, speaking: bool) -> None:
        self._speaking = speaking
        self._on_speaking(speaking)


class Pump:
    """The thread and its sinks. `start` and `stop` it from the event loop; `arm` a sink whenever it has work."""

    def __init__(self, frame: Any, payload: memoryview) -> None:
        self._frame = frame
        self._payload = payload
        self._sinks: dict[int, Sink] = {}
        self._lock = threading.Lock()
        self._work = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="pump", daemon=True)

    def start(self) -> None:
        """Start sending."""
        self._thread.start()

    def stop(self) -> None:
        """Stop the thread, waiting at most a second for it."""
        self._stopping = True
        self._work.set()
        self._thread.join(1.0)

    def arm(self, sink: Sink) -> None:
        """Ask this sink for frames from the next tick on, until it has nothing left and is not wanted."""
        with self._lock:
            self._sinks[id(sink)] = sink
        self._work.set()

    def _run(self) -> None:
        due = time.monotonic()
        while not self._stopping:
            sinks = self._armed()
            if not sinks:
                self._work.wait()
                due = time.monotonic()
                continue
            for sink in sinks:
                try:
                    alive = sink.tick(self._frame, self._payload)
                except Exception:
                    log.exception("a player's frame could not be sent")
                    alive = True
                if not alive:
                    self._forget(sink)
            due += TICK
            now = time.monotonic()
            if now < due:
                time.sleep(due - now)
            elif now - due > MAX_CATCH_UP * TICK:
                log.warning("%.0f ms late: skipped", (now - due) * 1000)
                due = now

    def _armed(self) -> list[Sink]:
        with self._lock:
            if not self._sinks and not self._stopping:
                self._work.clear()
            return list(self._sinks.values())

    def _forget(self, sink: Sink) -> None:
        with self._lock:
            if not (sink.wanted and sink.link is not None):
                self._sinks.pop(id(sink), None)

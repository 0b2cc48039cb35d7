"""The node's own figures, for `stats` messages and GET /v4/stats.

https://lavalink.dev/api/websocket.html (Stats Object).
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

FRAMES_PER_SECOND = 50
"""One frame each 20 ms: what a playing player is expected to send."""


class CountsFrames(Protocol):
    """What a player tells about its frames since the last count."""

    def take_frames(self) -> tuple[int, int] | None:
        """Frames sent and missing since the last call; None if it did not play for the whole of that time."""


class CpuMeter:
    """Shares of the machine, each since it was last asked, 0 to 1 of all cores."""

    def __init__(self) -> None:
        self._cores = os.cpu_count() or 1
        self._system = self._read_system()
        self._process = (time.monotonic(), time.process_time())

    def read(self) -> dict[str, object]:
        """The `cpu` object."""
        busy, total = self._read_system()
        was_busy, was_total = self._system
        self._system = (busy, total)
        wall, used = time.monotonic(), time.process_time()
        was_wall, was_used = self._process
        self._process = (wall, used)
        return {
            "cores": self._cores,
            "systemLoad": (busy - was_busy) / max(total - was_total, 1),
            "lavalinkLoad": (used - was_used) / max(wall - was_wall, 0.001) / self._cores,
        }

    @staticmethod
    def _read_system() -> tuple[int, int]:
        """Busy and all ticks of /proc/stat; zeros where there is none."""
        try:
            fields = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
        except (OSError, ValueError):
            return 0, 0
        return sum(fields) - fields[3] - fields[4], sum(fields)


def frame_stats(players: Iterable[CountsFrames], seconds: float) -> dict[str, int] | None:
    """Frames of the last ``seconds``, averaged over the players that played through them; None if none did."""
    counted = [frames for player in players if (frames := player.take_frames()) is not None]
    if not counted:
        return None
    sent = sum(frames[0] for frames in counted) // len(counted)
    nulled = sum(frames[1] for frames in counted) // len(counted)
    return {"sent": sent, "nulled": nulled, "deficit": round(FRAMES_PER_SECOND * seconds) - sent - nulled}

"""Tracks that can't be started at a position: begun again from their beginning, and then sought.

lavaplayer fails at once where it is to start Ogg at a position, though it can seek in it once it plays.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from typing import Any

from voice_nodes.wishes import Wanted, request_for

AT_ONCE = 5.0
"""Seconds after its start within which a track that ends, though more than that is left of it, has failed to start."""

BEGIN_SECONDS = 3.0
BEGIN_LOOK = 0.05
"""Seconds that a track may take to begin, and between two looks whether it has: Lavalink itself tells each 5 s only."""


async def start_and_seek(
    wanted: Wanted, patch: Callable[[dict[str, Any]], Awaitable[None]], fetch_position: Callable[[], Awaitable[int]]
) -> None:
    """Start a track silently, and seek once it plays: a seek that came before would be a start at that position.

    ``patch`` updates the player; ``fetch_position`` tells where it is in ms: 0 until it plays, -1 where it plays
    nothing.
    """
    data = request_for(wanted, new_track=True)
    position, begun = int(data.pop("position", 0)), time.monotonic()
    await patch(data | {"volume": 0, "paused": False})
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(BEGIN_SECONDS):
            while await fetch_position() == 0:  # noqa: ASYNC110 - another process
                await asyncio.sleep(BEGIN_LOOK)
    if not wanted.paused:
        position += round((time.monotonic() - begun) * 1000)
    await patch({"position": position, "volume": wanted.volume, "paused": wanted.paused})


class Restarts:
    """One guild's. ``clock`` is monotonic, in seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._play = ""
        self._until = 0.0
        self._excused = ""
        self._sought = ""

    def started(self, play: str | None, position_ms: int, length_ms: int) -> None:
        """``play`` was started at a position. ``length_ms`` is 0 where the track has none."""
        self._play = self._excused = ""
        if play is not None and position_ms > 0 and (not length_ms or length_ms - position_ms > AT_ONCE * 1000):
            self._play, self._until = play, self._clock() + AT_ONCE
            self._excused = play

    def excuses(self, play: str) -> bool:
        """Whether an error of ``play`` is that of a start which is tried again; true once. It may come before the
        end or after it."""
        if play != self._excused or self._clock() > self._until:
            return False
        self._excused = ""
        return True

    def again(self, play: str) -> bool:
        """``play`` is over: whether it is to be started again, as it never was."""
        if play != self._play or self._clock() > self._until:
            return False
        self._play, self._sought = "", play
        return True

    def seeks(self, play: str | None) -> bool:
        """Whether ``play`` is one that must be sought."""
        return play is not None and play == self._sought

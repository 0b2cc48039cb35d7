"""Arms the timers in a player's state: submits what is due, when it is due."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from tonearm.music.events import Event
from tonearm.music.player import Player
from tonearm.music.timers import Settle, Timer, TimerDue, due_ms

START_SECONDS = 2.0
"""How long a new owner waits with what is overdue: who came meanwhile is told by the gateway's RESUME."""

AGAIN_MS = 60_000
"""After so long it is told again that a timer is due, if nothing came of it."""


class Timers:
    """One guild's."""

    def __init__(
        self,
        guild: int,
        *,
        now_ms: Callable[[], int],
        submit: Callable[[Event], None],
        start_seconds: float | None = None,
    ) -> None:
        self._guild = guild
        self._now_ms = now_ms
        self._submit = submit
        self._start_seconds = START_SECONDS if start_seconds is None else start_seconds
        self._player = Player()
        self._judge_ms: int | None = None
        self._told: dict[Timer, tuple[int, int]] = {}
        self._changed = asyncio.Event()

    def show(self, player: Player, judge_again_ms: int | None = None) -> None:
        """The player is so from now on; its plan may be another one at ``judge_again_ms``."""
        self._player = player
        self._judge_ms = judge_again_ms
        self._changed.set()

    async def run(self) -> None:
        """Submit what is due until cancelled. The first is that the player is to be settled: the world has gone on."""
        await asyncio.sleep(self._start_seconds)
        if self._player.voice_channel is not None:
            self._submit(Settle(f"taken:{self._now_ms()}"))
        while True:
            self._changed.clear()
            wait_ms = self._tell()
            try:
                async with asyncio.timeout(None if wait_ms is None else wait_ms / 1000):
                    await self._changed.wait()
            except TimeoutError:
                continue

    def _tell(self) -> int | None:
        """Submit what is due; the ms until the next is."""
        now = self._now_ms()
        next_ms = []
        for timer in Timer:
            due = due_ms(self._player, timer)
            if due is None:
                self._told.pop(timer, None)
                continue
            known, told_ms = self._told.get(timer, (0, 0))
            at = max(due, told_ms + AGAIN_MS) if known == due else due
            if now >= at:
                self._told[timer] = due, now
                self._submit(TimerDue(self._guild, timer, due))
                at = now + AGAIN_MS
            next_ms.append(at)
        if self._judge_ms is not None and self._player.voice_channel is not None:
            if now >= self._judge_ms:
                self._submit(Settle(f"judged:{self._judge_ms}"))
                self._judge_ms = None
            else:
                next_ms.append(self._judge_ms)
        return max(1, min(next_ms) - now) if next_ms else None

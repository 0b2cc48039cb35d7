"""Timers that are armed: what is due is told when it is due, once, and an overdue one at once."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.support.scenes import NOW, idle
from tests.support.voice_nodes import running
from tonearm.music.events import Event
from tonearm.music.player import Player
from tonearm.music.timers import Settle, Timer, TimerDue
from voice_nodes.timers import AGAIN_MS, Timers

GUILD = 5 << 22


class Bench:
    """Timers with a clock that is set, and what they submit."""

    def __init__(self) -> None:
        self.now = NOW
        self.told: asyncio.Queue[Event] = asyncio.Queue()
        self.timers = Timers(GUILD, now_ms=lambda: self.now, submit=self.told.put_nowait, start_seconds=0)

    async def next(self) -> Event:
        async with asyncio.timeout(5):
            return await self.told.get()

    async def at(self, now_ms: int, player: Player, judge_again_ms: int | None = None) -> None:
        """It is ``now_ms``, and the player is shown again."""
        self.now = now_ms
        self.timers.show(player, judge_again_ms)
        for _ in range(3):  # once through the loop
            await asyncio.sleep(0)


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    bench = Bench()
    bench.timers.show(idle())
    async with running(bench.timers.run()):
        assert await bench.next() == Settle(f"taken:{NOW}")
        yield bench


async def test_nothing_is_told_before_it_is_due(bench: Bench) -> None:
    player = idle(alone_at_ms=NOW + 60_000, idle_at_ms=NOW + 90_000)
    await bench.at(NOW, player)
    await bench.at(NOW + 59_999, player)
    assert bench.told.empty()
    await bench.at(NOW + 60_000, player)
    assert await bench.next() == TimerDue(GUILD, Timer.ALONE, NOW + 60_000)
    await bench.at(NOW + 90_000, player)
    assert await bench.next() == TimerDue(GUILD, Timer.IDLE, NOW + 90_000)


async def test_it_wakes_by_itself_when_something_is_due(bench: Bench) -> None:
    bench.timers.show(idle(idle_at_ms=NOW + 30))
    bench.now = NOW + 30  # after it was looked at
    assert await bench.next() == TimerDue(GUILD, Timer.IDLE, NOW + 30)


async def test_an_overdue_timer_is_told_once(bench: Bench) -> None:
    player = idle(alone_at_ms=NOW - 1_000_000)
    await bench.at(NOW, player)
    assert await bench.next() == TimerDue(GUILD, Timer.ALONE, NOW - 1_000_000)
    await bench.at(NOW + 1, player)
    await bench.at(NOW + AGAIN_MS - 1, player)
    assert bench.told.empty()


async def test_what_came_to_nothing_is_told_again_later(bench: Bench) -> None:
    player = idle(alone_at_ms=NOW)
    await bench.at(NOW, player)
    await bench.next()
    await bench.at(NOW + AGAIN_MS, player)
    assert await bench.next() == TimerDue(GUILD, Timer.ALONE, NOW)


async def test_a_timer_that_is_set_anew_is_told_anew(bench: Bench) -> None:
    await bench.at(NOW, idle(alone_at_ms=NOW))
    await bench.next()
    await bench.at(NOW + 1, idle())
    await bench.at(NOW + 2, idle(alone_at_ms=NOW + 2))
    assert await bench.next() == TimerDue(GUILD, Timer.ALONE, NOW + 2)


async def test_a_plan_that_time_changes_is_judged_again_once(bench: Bench) -> None:
    await bench.at(NOW, idle(), NOW + 5_000)
    assert bench.told.empty()
    await bench.at(NOW + 5_000, idle(), NOW + 5_000)
    assert await bench.next() == Settle(f"judged:{NOW + 5_000}")
    await bench.at(NOW + 5_001, Player(), NOW + 5_000)
    assert bench.told.empty()


async def test_a_player_that_is_nowhere_has_nothing_to_settle() -> None:
    bench = Bench()
    async with running(bench.timers.run()):
        await bench.at(NOW, Player(), NOW)
        assert bench.told.empty()

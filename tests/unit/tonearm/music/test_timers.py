"""When the bot leaves by itself, and when it stays."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.scenes import HERE, NOW, busy, entry, idle, scene
from tonearm.music.guild_settings import GuildSettings
from tonearm.music.player import Player
from tonearm.music.timers import Settle, Timer, TimerDue, due_ms, settled, stays
from tonearm.premium.plans import FREE, PREMIUM, PRO, Plan

SETTINGS = GuildSettings(alone_seconds=60, idle_seconds=120)
GUILD = 5 << 22


def at(player: Player, *, plan: Plan = FREE, **changes: Any) -> Player:
    return settled(scene(player, **{"plan": plan, "settings": SETTINGS, "alone": False, **changes}))


def timers(player: Player) -> tuple[int | None, int | None]:
    return player.alone_at_ms, player.idle_at_ms


@pytest.mark.parametrize(
    ("player", "alone", "expected"),
    [
        (busy(), False, (None, None)),
        (busy(), True, (NOW + 60_000, None)),
        (idle(), False, (None, NOW + 120_000)),
        (idle(), True, (NOW + 60_000, NOW + 120_000)),
        (Player(), True, (None, None)),
        (Player(), None, (None, None)),
        (busy(paused=True), False, (None, None)),
    ],
)
def test_timers_follow_from_where_the_player_is(
    player: Player, alone: bool | None, expected: tuple[int | None, int | None]
) -> None:
    assert timers(at(player, alone=alone)) == expected


def test_a_timer_that_runs_keeps_its_time_and_one_whose_reason_is_gone_is_cleared() -> None:
    waiting = at(idle(), alone=True)
    later = at(waiting, alone=True, now_ms=NOW + 30_000)
    assert timers(later) == timers(waiting)
    assert timers(at(later, alone=False, now_ms=NOW + 30_000)) == (None, NOW + 120_000)
    assert timers(at(busy(alone_at_ms=5, idle_at_ms=6))) == (None, None)


def test_what_is_not_known_changes_nothing() -> None:
    assert timers(at(busy(), alone=None)) == (None, None)
    assert timers(at(busy(alone_at_ms=5), alone=None)) == (5, None)
    unknown: dict[str, Any] = {"plan_known": False, "alone": True}
    assert timers(at(idle(), **unknown)) == (None, None)
    assert timers(at(idle(alone_at_ms=5, idle_at_ms=6), **unknown)) == (5, 6)
    assert at(busy(volume=150), **unknown).volume == 150
    assert timers(at(idle(alone_at_ms=5), plan_known=False, alone=False)) == (None, None)


@pytest.mark.parametrize(
    ("setting", "plan", "known", "expected"),
    [
        (True, PREMIUM, True, True),
        (True, FREE, True, False),
        (True, FREE, False, True),
        (False, PRO, True, False),
        (False, FREE, False, False),
    ],
)
def test_who_stays(setting: bool, plan: Plan, known: bool, expected: bool) -> None:
    settings = GuildSettings(always_on=setting)
    seen = scene(idle(), plan=plan, plan_known=known, settings=settings, alone=True)
    assert stays(seen) is expected
    if known:
        assert (timers(settled(seen)) == (None, None)) is expected


def test_a_plan_that_ends_locks_24_7_and_a_new_one_unlocks_it() -> None:
    settings = msgspec.structs.replace(SETTINGS, always_on=True)
    player = at(idle(), plan=PREMIUM, alone=True, settings=settings)
    assert timers(player) == (None, None)
    locked = at(player, plan=FREE, alone=True, settings=settings)
    assert timers(locked) == (NOW + 60_000, NOW + 120_000)
    assert timers(at(locked, plan=PREMIUM, alone=True, settings=settings)) == (None, None)


def test_a_volume_beyond_the_plan_is_kept_as_a_wish() -> None:
    loud = busy(volume=180)
    locked = at(loud, plan=FREE)
    assert (locked.volume, locked.wished_volume) == (100, 180)
    assert at(locked, plan=FREE) == locked
    again = at(locked, plan=PREMIUM)
    assert (again.volume, again.wished_volume) == (180, 0)
    assert at(busy(volume=30), plan=FREE).volume == 30


@pytest.mark.parametrize("timer", Timer)
def test_what_is_due_leaves_and_keeps_the_queue(timer: Timer) -> None:
    waiting = at(idle(), alone=True)
    due = due_ms(waiting, timer)
    assert due is not None
    event = TimerDue(GUILD, timer, due)
    assert event.id == f"t:{GUILD}:{timer}:{due}"
    change = event.apply(scene(waiting, plan=FREE, settings=SETTINGS, alone=True, now_ms=due, queue_length=3))
    assert change is not None
    assert change.player.voice_channel is None
    assert change.what == f"left {timer}"
    assert not change.queue.clear
    assert timers(at(change.player, alone=None)) == (None, None)


def test_alone_it_leaves_in_the_middle_of_a_track() -> None:
    player = at(busy("now"), alone=True)
    change = TimerDue(GUILD, Timer.ALONE, NOW + 60_000).apply(
        scene(player, plan=FREE, settings=SETTINGS, alone=True, now_ms=NOW + 70_000)
    )
    assert change is not None
    assert change.played == entry("now")
    assert change.player.playing is None


WAITING = at(idle(), alone=True)
DUE = TimerDue(GUILD, Timer.ALONE, NOW + 60_000)


def test_what_is_due_is_done() -> None:
    assert DUE.apply(scene(WAITING, plan=FREE, settings=SETTINGS, alone=True, now_ms=NOW + 60_000)) is not None


@pytest.mark.parametrize(
    ("player", "changes"),
    [
        (WAITING, {"now_ms": NOW + 59_999}),  # too early
        (WAITING, {"alone": False}),  # somebody came
        (WAITING, {"alone": None}),  # nobody knows
        (msgspec.structs.replace(WAITING, alone_at_ms=NOW + 90_000), {}),  # alone again, since later
        (msgspec.structs.replace(WAITING, alone_at_ms=None), {}),
        (Player(), {}),  # it left, and the timer with it
        (WAITING, {"plan": PRO, "settings": msgspec.structs.replace(SETTINGS, always_on=True)}),
    ],
)
def test_what_is_not_due_any_more_does_nothing(player: Player, changes: dict[str, Any]) -> None:
    seen = {"plan": FREE, "settings": SETTINGS, "alone": True, "now_ms": NOW + 60_000, **changes}
    assert DUE.apply(scene(player, **seen)) is None


def test_settling_changes_only_what_is_different() -> None:
    assert Settle("x").apply(scene(busy(), plan=FREE, settings=SETTINGS, alone=False)) is None
    change = Settle("x").apply(scene(busy(), plan=FREE, settings=SETTINGS, alone=True))
    assert change is not None
    assert change.what == ""
    assert timers(change.player) == (NOW + 60_000, None)


players = st.builds(
    Player,
    voice_channel=st.none() | st.just(HERE),
    volume=st.integers(0, 200),
    wished_volume=st.integers(0, 200),
    alone_at_ms=st.none() | st.integers(NOW - 1_000, NOW + 1_000),
    idle_at_ms=st.none() | st.integers(NOW - 1_000, NOW + 1_000),
)


@given(players, st.sampled_from([FREE, PREMIUM, PRO]), st.booleans(), st.none() | st.booleans())
def test_settling_twice_is_settling_once(player: Player, plan: Plan, known: bool, alone: bool | None) -> None:
    once = at(player, plan=plan, plan_known=known, alone=alone)
    assert at(once, plan=plan, plan_known=known, alone=alone, now_ms=NOW + 5_000) == once
    if player.voice_channel is None:
        assert timers(once) == (None, None)
    if known:
        assert once.volume <= (100 if plan is FREE else 200)

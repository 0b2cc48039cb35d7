"""What is done to a player by those who keep its data."""

import pytest

from tests.support.scenes import ELSEWHERE, HERE, busy, changed, entry, idle, scene
from tonearm.errors import Refused
from tonearm.music.player import Player
from tonearm.music.saved import Forget, Restore
from tonearm.premium.plans import FREE

TWO = (entry("one"), entry("two"))


def test_behind_what_plays_and_waits() -> None:
    player = busy("now")
    change = Restore(TWO).apply(scene(player, queue_length=1, first=entry("first")))
    assert (change.player, change.what) == (player, "restore")
    assert changed([entry("first")], change.queue) == [entry("first"), *TWO]
    assert (change.outcome.position, change.outcome.left_out) == (2, 0)


def test_where_nothing_plays_the_first_begins_in_the_channel_that_was_named() -> None:
    change = Restore(TWO).apply(scene(Player(), caller_channel=ELSEWHERE))
    assert (change.player.voice_channel, change.player.text_channel) == (ELSEWHERE, ELSEWHERE)
    assert change.player.playing.entry == TWO[0]
    assert changed([], change.queue) == [TWO[1]]


def test_what_waited_before_begins_first() -> None:
    waiting = [entry("a"), entry("b")]
    change = Restore(TWO).apply(scene(idle(), queue_length=2, first=waiting[0]))
    assert change.player.playing.entry == waiting[0]
    assert changed(waiting, change.queue) == [waiting[1], *TWO]


@pytest.mark.parametrize(
    ("player", "channel"), [(Player(), None), (idle(), ELSEWHERE), (busy(), ELSEWHERE)], ids=["nowhere", "idle", "busy"]
)
def test_else_it_waits(player: Player, channel: int | None) -> None:
    change = Restore(TWO).apply(scene(player, caller_channel=channel))
    assert change.player == player
    assert changed([], change.queue) == list(TWO)


def test_what_the_plan_has_no_room_for_is_left_out() -> None:
    change = Restore(TWO).apply(scene(busy(), plan=FREE, queue_length=499, first=entry("first")))
    assert (change.queue.append, change.outcome.left_out) == (TWO[:1], 1)
    with pytest.raises(Refused, match="500 with the plan"):
        Restore(TWO).apply(scene(busy(), plan=FREE, queue_length=500, first=entry("first")))
    # One of them plays, so there is room for another.
    begun = Restore(TWO).apply(scene(idle(), plan=FREE, queue_length=499, first=entry("first")))
    assert (begun.queue.append, begun.outcome.left_out) == (TWO, 0)


def test_to_forget_leaves_nothing_to_tell_of() -> None:
    change = Forget().apply(scene(busy(), queue_length=2, first=entry("first"), caller_channel=HERE))
    assert (change.player, change.what, change.forget) == (Player(), "", True)
    assert changed(list(TWO), change.queue) == []

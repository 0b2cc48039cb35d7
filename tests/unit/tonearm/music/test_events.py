import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.scenes import ELSEWHERE, HERE, NOW, busy, entry, idle, scene
from tonearm.music.change import QueueChange
from tonearm.music.events import Announced, Disconnected, Moved, TrackOver
from tonearm.music.player import HEARD_AFTER_MS, Player, PlayerMessage

PLAY = busy().last_play


@pytest.mark.parametrize(("failed", "what"), [(False, "end"), (True, "failed")])
def test_the_end_of_a_track_starts_the_next(failed: bool, what: str) -> None:
    change = TrackOver(PLAY, failed).apply(scene(busy(), queue_length=1, first=entry("next")))
    assert change is not None
    assert change.player.playing is not None
    assert change.player.playing.entry == entry("next")
    assert change.player.playing.heard_from_ms == NOW + HEARD_AFTER_MS
    assert change.queue == QueueChange(take_first=True)
    assert change.played == entry("now")
    assert change.what == what
    assert change.outcome is None


@pytest.mark.parametrize("failed", [False, True])
def test_a_pause_outlives_the_end_of_its_track(failed: bool) -> None:
    paused = msgspec.structs.replace(busy(), paused=True)
    change = TrackOver(PLAY, failed).apply(scene(paused, queue_length=1, first=entry("next")))
    assert change is not None
    assert change.player.paused
    assert change.player.position_ms(NOW + 60_000) == 0


def test_the_end_of_the_last_is_silence_in_the_channel() -> None:
    change = TrackOver(PLAY).apply(scene(busy()))
    assert change is not None
    assert change.player.playing is None
    assert change.player.voice_channel == HERE


def test_a_replayed_end_does_nothing() -> None:
    before = scene(busy(), queue_length=2, first=entry("next"))
    change = TrackOver(PLAY).apply(before)
    assert change is not None
    again = scene(change.player, queue_length=1, first=entry("after"))
    assert TrackOver(PLAY).apply(again) is None
    assert TrackOver(PLAY, failed=True).apply(again) is None


@given(st.text(max_size=12), st.sampled_from([busy(), idle(), Player()]))
def test_an_end_of_another_play_does_nothing(play: str, player: Player) -> None:
    if player.playing is not None and play == player.playing.play:
        return
    assert TrackOver(play).apply(scene(player, queue_length=1, first=entry("next"))) is None


def test_an_end_has_one_name_however_it_came() -> None:
    assert TrackOver("abc").id == TrackOver("abc", failed=True).id
    assert TrackOver("abc").id != TrackOver("abd").id


@pytest.mark.parametrize("player", [busy(), msgspec.structs.replace(busy(), paused=True), idle()])
def test_taken_out_of_its_channel_the_player_is_nowhere_and_keeps_its_queue(player: Player) -> None:
    change = Disconnected(HERE, "x").apply(scene(player, queue_length=3, first=entry("next")))
    assert change is not None
    assert (change.player.voice_channel, change.player.playing, change.player.paused) == (None, None, False)
    assert change.queue == QueueChange()
    assert change.played == (player.playing.entry if player.playing else None)


@pytest.mark.parametrize("player", [Player(), busy(voice_channel=ELSEWHERE)])
def test_out_of_a_channel_in_which_it_should_not_be_is_no_news(player: Player) -> None:
    assert Disconnected(HERE, "x").apply(scene(player)) is None


def test_moved_it_plays_on() -> None:
    player = busy()
    change = Moved(ELSEWHERE, "x").apply(scene(player))
    assert change is not None
    assert change.player == msgspec.structs.replace(player, voice_channel=ELSEWHERE)


@pytest.mark.parametrize(("player", "channel"), [(Player(), HERE), (busy(), HERE)])
def test_a_move_to_where_it_is_or_from_nowhere_is_no_news(player: Player, channel: int) -> None:
    assert Moved(channel, "x").apply(scene(player)) is None


def test_another_message_with_the_buttons_is_kept_and_not_logged() -> None:
    message = PlayerMessage(1, 2)
    change = Announced(message).apply(scene(busy()))
    assert change is not None
    assert change.player.message == message
    assert change.what == ""
    assert Announced(message).apply(scene(change.player)) is None
    gone = Announced(None).apply(scene(change.player))
    assert gone is not None
    assert gone.player.message is None


def test_events_have_names_of_their_own() -> None:
    events = [
        TrackOver("1"),
        Disconnected(1, "a"),
        Moved(1, "b"),
        Announced(PlayerMessage(1, 2)),
        Announced(PlayerMessage(1, 3)),
        Announced(None, PlayerMessage(1, 2)),
        Announced(None, PlayerMessage(1, 3)),
    ]
    assert len({event.id for event in events}) == len(events)

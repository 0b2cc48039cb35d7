"""Every action in every state."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.scenes import ELSEWHERE, HERE, NOW, TEXT, USER, busy, entry, idle, loaded, scene, track
from tonearm.errors import Refused
from tonearm.music.actions import AnyAction, Leave, Pause, Play, Resume, Seek, SetVolume, Skip, Stop
from tonearm.music.change import (
    Left,
    Paused,
    QueueChange,
    Queued,
    Resumed,
    Skipped,
    Sought,
    Started,
    Stopped,
    VolumeSet,
    Where,
)
from tonearm.music.player import HEARD_AFTER_MS, MAX_QUEUE, MAX_VOLUME, Player
from tonearm.music.track import Entry
from tonearm.sentences import Sentence

NOWHERE = Player()
PAUSED = msgspec.structs.replace(busy(), paused=True)


def refusal(action: AnyAction, player: Player, **changes: Any) -> Sentence:
    with pytest.raises(Refused) as caught:
        action.apply(scene(player, **changes))
    return caught.value.sentence


# Who may do what, where.

CONTROLS: list[AnyAction] = [Pause(), Resume(), Skip(), Stop(), Leave(), Seek(5_000), SetVolume(50)]


@pytest.mark.parametrize("action", CONTROLS)
def test_controls_need_a_player_in_a_channel(action: AnyAction) -> None:
    assert refusal(action, NOWHERE) is Sentence.NOT_CONNECTED


@pytest.mark.parametrize("channel", [None, ELSEWHERE])
@pytest.mark.parametrize("player", [idle(), busy(), PAUSED])
@pytest.mark.parametrize("action", CONTROLS)
def test_controls_are_for_those_who_listen(action: AnyAction, player: Player, channel: int | None) -> None:
    with pytest.raises(Refused) as caught:
        action.apply(scene(player, caller_channel=channel))
    assert caught.value.sentence is Sentence.OTHER_CHANNEL
    assert f"<#{HERE}>" in str(caught.value)


@pytest.mark.parametrize("action", [Pause(), Resume(), Skip(), Stop(), Seek(0)])
def test_there_must_be_something_to_control(action: AnyAction) -> None:
    assert refusal(action, idle()) is Sentence.NOTHING_PLAYING


@pytest.mark.parametrize("action", [Pause(), Resume(), Skip()])
def test_who_meant_a_track_that_is_over_is_told_so(action: AnyAction) -> None:
    assert refusal(action, idle(), seen_play="gone") is Sentence.TRACK_ENDED
    assert refusal(action, busy(), seen_play="gone") is Sentence.TRACK_ENDED
    button = type(action)(play="gone")  # type: ignore[call-arg]
    assert refusal(button, busy()) is Sentence.TRACK_ENDED
    assert refusal(button, idle()) is Sentence.TRACK_ENDED


def test_a_button_counts_more_than_what_was_seen() -> None:
    player = busy()
    assert player.playing is not None
    change = Skip(player.playing.play).apply(scene(player, seen_play="another"))
    assert change.player.playing is None


@given(st.text(max_size=12), st.sampled_from([Pause, Resume, Skip, Stop]), st.booleans())
def test_a_button_of_another_play_never_changes_anything(play: str, kind: type, paused: bool) -> None:
    player = PAUSED if paused else busy()
    assert player.playing is not None
    if play in ("", player.playing.play):
        return
    with pytest.raises(Refused):
        kind(play).apply(scene(player, queue_length=3, first=entry("next")))


# Play.


def test_who_plays_must_be_somewhere() -> None:
    assert refusal(Play("x"), NOWHERE, caller_channel=None, loaded=loaded("a")) is Sentence.NOT_IN_VOICE
    assert refusal(Play("x"), busy(), caller_channel=None, loaded=loaded("a")) is Sentence.NOT_IN_VOICE


def test_a_player_that_plays_is_not_called_away() -> None:
    assert refusal(Play("x"), busy(), caller_channel=ELSEWHERE, loaded=loaded("a")) is Sentence.OTHER_CHANNEL
    assert refusal(Play("x"), PAUSED, caller_channel=ELSEWHERE, loaded=loaded("a")) is Sentence.OTHER_CHANNEL


@pytest.mark.parametrize("player", [NOWHERE, idle()])
def test_a_silent_player_comes(player: Player) -> None:
    change = Play("x").apply(scene(player, caller_channel=ELSEWHERE, text_channel=99, loaded=loaded("a")))
    assert (change.player.voice_channel, change.player.text_channel) == (ELSEWHERE, 99)


@pytest.mark.parametrize("found", [None, loaded()])
def test_nothing_found_is_said(found: Any) -> None:
    assert refusal(Play("no such song"), idle(), loaded=found) is Sentence.NOTHING_FOUND


@pytest.mark.parametrize("where", Where)
@pytest.mark.parametrize("player", [NOWHERE, idle(), idle(paused=True)])
def test_the_first_track_starts(player: Player, where: Where) -> None:
    change = Play("x", where).apply(scene(player, loaded=loaded("a")))
    started = change.player.playing
    assert started is not None
    assert started.entry == Entry("i:1:0", track("a"), USER)
    assert (started.position_ms, started.at_ms, started.heard_from_ms) == (0, NOW, NOW)
    assert change.player.last_play == started.play
    assert not change.player.paused
    assert change.outcome == Started(track("a"))
    assert change.queue == QueueChange()
    assert change.played is None
    assert change.what == "play"


def test_a_list_starts_and_its_rest_waits() -> None:
    change = Play("x").apply(scene(idle(), loaded=loaded("a", "b", "c", playlist="List")))
    assert change.outcome == Started(track("a"), 2, "List")
    assert [entry.id for entry in change.queue.append] == ["i:1:1", "i:1:2"]
    assert change.queue.prepend == ()


def test_what_waits_is_kept_when_a_silent_player_starts() -> None:
    change = Play("x").apply(scene(NOWHERE, loaded=loaded("a", "b"), queue_length=5, first=entry("kept")))
    assert change.player.playing is not None
    assert change.player.playing.entry.track == track("a")
    assert not change.queue.clear
    assert not change.queue.take_first
    assert [entry.track.title for entry in change.queue.append] == ["b"]


def test_more_waits_at_the_end() -> None:
    player = busy()
    change = Play("x").apply(scene(player, loaded=loaded("a", "b"), queue_length=4))
    assert change.player.playing == player.playing
    assert change.outcome == Queued((track("a"), track("b")), 5)
    assert [entry.track.title for entry in change.queue.append] == ["a", "b"]
    assert change.what == "queue"


def test_next_waits_in_front() -> None:
    player = busy()
    change = Play("x", Where.NEXT).apply(scene(player, loaded=loaded("a", "b"), queue_length=4))
    assert change.player.playing == player.playing
    assert change.outcome == Queued((track("a"), track("b")), 1)
    assert [entry.track.title for entry in change.queue.prepend] == ["a", "b"]


def test_now_takes_the_place_of_what_plays() -> None:
    player = busy()
    assert player.playing is not None
    change = Play("x", Where.NOW).apply(scene(player, loaded=loaded("a", "b"), queue_length=4))
    assert change.player.playing is not None
    assert change.player.playing.entry.track == track("a")
    assert change.player.playing.play != player.playing.play
    assert change.played == player.playing.entry
    assert [entry.track.title for entry in change.queue.prepend] == ["b"]


def test_now_goes_on_from_a_pause() -> None:
    assert not Play("x", Where.NOW).apply(scene(PAUSED, loaded=loaded("a"))).player.paused
    assert Play("x").apply(scene(PAUSED, loaded=loaded("a"))).player.paused


def test_a_full_queue_takes_no_more() -> None:
    assert refusal(Play("x"), busy(), loaded=loaded("a"), queue_length=MAX_QUEUE) is Sentence.QUEUE_FULL


def test_a_nearly_full_queue_takes_what_fits_and_says_so() -> None:
    change = Play("x").apply(scene(busy(), loaded=loaded("a", "b", "c"), queue_length=MAX_QUEUE - 2))
    assert change.outcome == Queued((track("a"), track("b")), MAX_QUEUE - 1, None, 1)
    assert len(change.queue.append) == 2


def test_a_start_takes_only_what_fits_too() -> None:
    change = Play("x").apply(scene(idle(), loaded=loaded("a", "b", "c"), queue_length=MAX_QUEUE - 1))
    assert len(change.queue.append) == 1
    assert change.outcome == Started(track("a"), 1, left_out=1)
    change = Play("x").apply(scene(idle(), loaded=loaded("a", "b", "c"), queue_length=MAX_QUEUE))
    assert change.queue.append == ()
    assert change.outcome == Started(track("a"), 0, left_out=2)


# Pause, resume.


def test_a_pause_holds_the_position() -> None:
    change = Pause().apply(scene(busy()))
    assert change.player.paused
    assert change.player.position_ms(NOW + 99_999) == 10_000
    assert change.outcome == Paused(track("now"), 10_000)


@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_pausing_twice_is_pausing_once(first: int, second: int) -> None:
    once = Pause().apply(scene(busy(), now_ms=NOW + first)).player
    twice = Pause().apply(scene(once, now_ms=NOW + first + second)).player
    assert twice.paused
    assert twice.position_ms(0) == once.position_ms(0)


@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_resuming_twice_is_resuming_once(first: int, second: int) -> None:
    once = Resume().apply(scene(PAUSED, now_ms=NOW + first)).player
    twice = Resume().apply(scene(once, now_ms=NOW + first + second)).player
    assert not twice.paused
    later = NOW + first + second + 5_000
    assert twice.position_ms(later) == once.position_ms(later)


@given(st.lists(st.integers(0, 10_000), min_size=1, max_size=10))
def test_time_in_pause_does_not_count(steps: list[int]) -> None:
    player, now, heard = busy(), NOW, 10_000
    for number, step in enumerate(steps):
        now += step
        if number % 2 == 0:
            heard += step
            player = Pause().apply(scene(player, now_ms=now)).player
        else:
            player = Resume().apply(scene(player, now_ms=now)).player
        assert player.position_ms(now) == min(heard, 200_000)


def test_the_same_play_goes_on() -> None:
    change = Resume().apply(scene(PAUSED))
    assert change.player.playing is not None
    assert PAUSED.playing is not None
    assert change.player.playing.play == PAUSED.playing.play
    assert change.outcome == Resumed(track("now"), PAUSED.position_ms(NOW))


# Skip, stop.


@pytest.mark.parametrize("player", [busy(), PAUSED])
def test_a_skip_starts_the_next(player: Player) -> None:
    change = Skip().apply(scene(player, queue_length=1, first=entry("next")))
    assert player.playing is not None
    assert change.player.playing is not None
    assert change.player.playing.entry == entry("next")
    assert int(change.player.playing.play, 36) > int(player.playing.play, 36)
    assert not change.player.paused
    assert change.queue == QueueChange(take_first=True)
    assert change.played == player.playing.entry
    assert change.outcome == Skipped(track("now"), track("next"))


def test_a_skip_of_the_last_is_silence() -> None:
    change = Skip().apply(scene(busy()))
    assert change.player.playing is None
    assert change.player.voice_channel == HERE
    assert change.outcome == Skipped(track("now"), None)
    assert change.queue == QueueChange()


def test_a_skip_given_before_the_track_was_heard_meant_the_one_before() -> None:
    player = busy()
    assert player.playing is not None
    moved = msgspec.structs.replace(player.playing, heard_from_ms=NOW + HEARD_AFTER_MS)
    player = msgspec.structs.replace(player, playing=moved)
    assert refusal(Skip(), player, seen_play=None) is Sentence.TRACK_ENDED
    assert Skip().apply(scene(player, asked_ms=NOW + HEARD_AFTER_MS)).player.playing is None
    # The button names its track, so it is meant as it says.
    assert Skip(moved.play).apply(scene(player)).player.playing is None


@pytest.mark.parametrize(("player", "waiting"), [(busy(), 0), (busy(), 7), (PAUSED, 7), (idle(), 7)])
def test_a_stop_is_silence_and_an_empty_queue(player: Player, waiting: int) -> None:
    change = Stop().apply(scene(player, queue_length=waiting, first=entry("next") if waiting else None))
    assert change.player.playing is None
    assert not change.player.paused
    assert change.player.voice_channel == HERE
    assert change.queue == QueueChange(clear=True)
    assert change.outcome == Stopped(waiting)
    assert change.played == (player.playing.entry if player.playing else None)


def test_a_stop_by_its_button() -> None:
    player = busy()
    assert player.playing is not None
    assert Stop(player.playing.play).apply(scene(player)).player.playing is None


# Leave, volume.


@pytest.mark.parametrize("player", [idle(), busy(), PAUSED])
def test_leaving_keeps_the_queue(player: Player) -> None:
    change = Leave().apply(scene(player, queue_length=3, first=entry("next")))
    assert change.player.voice_channel is None
    assert change.player.playing is None
    assert not change.player.paused
    assert change.queue == QueueChange()
    assert change.outcome == Left(HERE)
    assert change.played == (player.playing.entry if player.playing else None)


@given(st.integers(-1_000, 1_000))
def test_volumes(volume: int) -> None:
    player = busy()
    if 0 <= volume <= MAX_VOLUME:
        change = SetVolume(volume).apply(scene(player))
        assert change.player == msgspec.structs.replace(player, volume=volume)
        assert change.outcome == VolumeSet(volume)
    else:
        assert refusal(SetVolume(volume), player) is Sentence.VOLUME_RANGE


@pytest.mark.parametrize("paused", [False, True])
def test_a_seek_is_a_position_from_now_on(paused: bool) -> None:
    player = PAUSED if paused else busy()
    assert player.playing is not None
    change = Seek(150_000, player.playing.play).apply(scene(player))
    after = change.player.playing
    assert after == msgspec.structs.replace(player.playing, position_ms=150_000, at_ms=NOW, seeks=1)
    assert change.player == msgspec.structs.replace(player, playing=after)
    assert change.player.position_ms(NOW + 1_000) == (150_000 if paused else 151_000)
    assert change.outcome == Sought(player.playing.entry.track, 150_000)
    assert (change.queue, change.played) == (QueueChange(), None)


@pytest.mark.parametrize("position", [-1, 200_000, 10**12])
def test_a_position_lies_within_the_track(position: int) -> None:
    with pytest.raises(Refused) as caught:
        Seek(position).apply(scene(busy()))
    assert caught.value.sentence is Sentence.SEEK_RANGE
    assert "3:20" in str(caught.value)


@pytest.mark.parametrize("changes", [{"is_stream": True}, {"length_ms": 0}])
def test_what_is_live_has_no_positions(changes: dict[str, Any]) -> None:
    player = busy()
    assert player.playing is not None
    live = msgspec.structs.replace(player.playing.entry.track, **changes)
    playing = msgspec.structs.replace(player.playing, entry=Entry("old:live", live, 7))
    assert refusal(Seek(0), msgspec.structs.replace(player, playing=playing)) is Sentence.LIVE_CANT_SEEK


# What all have in common.

ALL: list[AnyAction] = [Play("x"), Play("x", Where.NEXT), Play("x", Where.NOW), *CONTROLS]
STATES = [NOWHERE, idle(), busy(), PAUSED, idle(volume=3), busy(volume=0)]


@pytest.mark.parametrize("player", STATES)
@pytest.mark.parametrize("action", ALL)
@pytest.mark.parametrize("waiting", [0, 1, MAX_QUEUE])
def test_what_nobody_asked_for_stays(action: AnyAction, player: Player, waiting: int) -> None:
    first = entry("next") if waiting else None
    try:
        change = action.apply(scene(player, queue_length=waiting, first=first, loaded=loaded("a")))
    except Refused:
        return
    after = change.player
    assert change.what
    assert change.outcome is not None
    assert after.message == player.message
    assert (after.volume == player.volume) or isinstance(action, SetVolume)
    assert after.text_channel in (player.text_channel, TEXT)
    assert int(after.last_play or "0", 36) >= int(player.last_play or "0", 36)
    if after.playing is not None:
        assert after.voice_channel is not None
        assert after.playing.play == after.last_play
    else:
        assert not after.paused


@pytest.mark.parametrize("action", ALL)
def test_an_action_is_read_as_it_was_written(action: AnyAction) -> None:
    assert msgspec.json.decode(msgspec.json.encode(action), type=AnyAction) == action
    assert action.needs_caller

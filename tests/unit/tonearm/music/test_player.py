import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tonearm.music.player import Player, PlayerMessage, Playing, next_play
from tonearm.music.track import Entry, Track

NOW = 1_700_000_000_000
times = st.integers(0, 2**45)


def playing(*, length: int = 0, position: int = 0, at: int = NOW) -> Playing:
    return Playing("abc", Entry("e", Track("x", "Song", length_ms=length), 42), position, at, at)


@given(st.lists(times, min_size=1, max_size=30))
def test_plays_are_strictly_later_whatever_the_clock_does(clock: list[int]) -> None:
    last, numbers = "", []
    for now in clock:
        last = next_play(last, now)
        numbers.append(int(last, 36))
    assert numbers == sorted(set(numbers))


@given(times, times)
def test_a_play_after_a_loss_of_data_is_later_than_any_before(before: int, later: int) -> None:
    forgotten = next_play("", before)
    assert int(next_play("", before + later + 1), 36) > int(forgotten, 36)


@given(times)
def test_a_play_is_a_short_word(now: int) -> None:
    play = next_play("", now)
    assert play.isalnum()
    assert play == play.lower()
    assert len(play) <= 10


def test_the_first_play_of_all_has_a_name() -> None:
    assert next_play("", 0) == "0"
    assert next_play("0", 0) == "1"


@given(st.integers(0, 10**9), st.integers(0, 10**9), st.integers(-(10**6), 10**9), st.booleans())
def test_a_position_stays_within_its_track(length: int, position: int, passed: int, paused: bool) -> None:
    player = Player(playing=playing(length=length, position=min(position, length or position)), paused=paused)
    now = player.position_ms(NOW + passed)
    assert now >= 0
    if length:
        assert now <= length
    if paused:
        assert now == player.position_ms(NOW)


@given(st.integers(0, 10**7), st.integers(0, 10**7))
def test_a_stream_has_no_end(position: int, passed: int) -> None:
    player = Player(playing=playing(position=position))
    assert player.position_ms(NOW + passed) == position + passed


def test_nothing_is_at_its_beginning() -> None:
    assert Player().position_ms(NOW) == 0


@pytest.mark.parametrize(
    "player",
    [Player(), Player(1, 2, playing(length=5), True, 0, "abc", PlayerMessage(3, 4))],
)
def test_a_player_is_read_as_it_was_written(player: Player) -> None:
    assert msgspec.json.decode(msgspec.json.encode(player), type=Player) == player


def test_an_idle_player_is_small() -> None:
    assert msgspec.json.encode(Player()) == b"{}"

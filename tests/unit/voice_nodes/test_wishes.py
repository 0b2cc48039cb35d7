"""What Lavalink is told: volumes, which are other numbers there, and positions."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from voice_nodes.wishes import Wanted, number_for, percent_of, request_for


def test_half_is_half_of_the_level_and_all_is_left_alone() -> None:
    assert (number_for(0), number_for(100)) == (0, 100)
    assert abs(20 * math.log10(math.tan(number_for(50) * 0.0079)) + 6.02) < 0.1


@given(st.integers(0, 200))
def test_what_is_asked_for_is_read_again(percent: int) -> None:
    assert abs(percent_of(number_for(percent)) - percent) <= (1 if percent <= 100 else 3)


def test_a_position_goes_with_a_new_track_or_a_seek_and_never_with_another_change() -> None:
    wanted = Wanted("p", "encoded", 7_000, False, 100)
    assert "position" not in request_for(wanted, new_track=False)
    assert request_for(wanted, new_track=True)["position"] == 7_000
    sought = request_for(wanted, new_track=False, seek=True)
    assert (sought["position"], "track" in sought) == (7_000, False)

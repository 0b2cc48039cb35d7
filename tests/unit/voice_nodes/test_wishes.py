"""Volumes: what we mean, and the number that Lavalink needs for it."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from voice_nodes.wishes import number_for, percent_of


def test_half_is_half_of_the_level_and_all_is_left_alone() -> None:
    assert (number_for(0), number_for(100)) == (0, 100)
    assert abs(20 * math.log10(math.tan(number_for(50) * 0.0079)) + 6.02) < 0.1


@given(st.integers(0, 200))
def test_what_is_asked_for_is_read_again(percent: int) -> None:
    assert abs(percent_of(number_for(percent)) - percent) <= (1 if percent <= 100 else 3)

"""/seek: a moment of a track, as people write it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interactions.commands.seek import moment_ms
from tonearm.errors import Refused
from tonearm.sentences import Sentence
from tonearm.wording import clock


@pytest.mark.parametrize(
    ("text", "seconds"), [("0", 0), ("90", 90), (" 1:30 ", 90), ("1:02:03", 3723), ("75:00", 4500), ("0:05", 5)]
)
def test_a_moment_is_read(text, seconds):
    assert moment_ms(text) == seconds * 1000


@pytest.mark.parametrize("text", ["", "-5", "1:3", "1:60", "1:60:00", "1:2:3:4", "1.5", "٣", "90s", "1:", ":30", "1e3"])
def test_what_is_none_is_told_how_to_write_one(text):
    with pytest.raises(Refused) as caught:
        moment_ms(text)
    assert caught.value.sentence is Sentence.SEEK_FORM


@given(st.integers(0, 359_999))
def test_what_is_shown_can_be_said(seconds):
    assert moment_ms(clock(seconds * 1000)) == seconds * 1000

"""A tone that begins again, as nobody told that it had begun."""

from __future__ import annotations

import pytest

from playground.twin.voice.tones import Start
from tests.chaos.faults import Struck
from tests.chaos.plan import PARTS, Fault, Kind, Part, tone_hz
from tests.chaos.unanswered import without_unanswered


def heard(part: Part, at: float, number: int = 2) -> Start:
    return Start(tone_hz(number) + PARTS[part][0], round(at * 1e9))


def struck(kind: Kind, begun: float, mended: float) -> Struck:
    return Struck(Fault(begun, kind, 0, mended - begun), begun, mended, "audio-1")


def once(at: float) -> list[Start]:
    return [heard(part, at + 0.8 * number) for number, part in enumerate(Part)]


@pytest.mark.parametrize(
    ("kind", "again", "left_out"),
    [(Kind.AUDIO_TERM, 12.3, 1), (Kind.AUDIO_TERM, 15.0, 0), (Kind.VOICE_KILL, 12.3, 0)],
)
def test_only_at_once_and_only_where_an_audio_node_was_in_trouble(kind: Kind, again: float, left_out: int) -> None:
    starts = [*once(10.0), *once(again)]
    frequencies, found = without_unanswered(starts, [struck(kind, 10.4, 20.0)])
    assert found == left_out
    assert len(frequencies) == len(starts) - left_out


def test_another_tone_and_the_first_opening_are_never_left_out() -> None:
    starts = [*once(10.0), heard(Part.OPENING, 12.0, number=3)]
    frequencies, found = without_unanswered(starts, [struck(Kind.AUDIO_STOP, 9.0, 14.0)])
    assert (len(frequencies), found) == (len(starts), 0)

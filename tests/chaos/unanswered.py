"""A start that was heard, but of which the audio node never told: it is made again at another one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from playground.twin.voice.tones import Start
from tests.chaos.causes import AUDIO, Cause, explained
from tests.chaos.faults import Struck
from tests.chaos.plan import Part, tone_of

UNANSWERED: Final = 4.0
BY: Final = Cause("audio nodes", AUDIO, 2.0)
"""For how many seconds a start may be unanswered until another audio node is asked, and whose fault that is."""


def without_unanswered(starts: Iterable[Start], struck: Iterable[Struck]) -> tuple[list[float], int]:
    """The frequencies, without such openings, and how many those were.

    The audio node that had begun the tone stood still before it said so: nobody knows that it was heard, and so it
    begins again elsewhere.
    """
    faults = tuple(struck)
    first: dict[int, int] = {}
    kept: list[float] = []
    left_out = 0
    for start in starts:
        heard = tone_of(start.frequency)
        if heard is not None and heard[1] is Part.OPENING:
            began, again = first.setdefault(heard[0], start.started_ns) / 1e9, start.started_ns / 1e9
            if 0 < again - began <= UNANSWERED and explained(BY, began, again, faults):
                left_out += 1
                continue
        kept.append(start.frequency)
    return kept, left_out

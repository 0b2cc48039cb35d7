"""Plays that were heard, and those that should have been."""

import pytest

from tests.support.metrics import counts
from voice_nodes.first_sound import PROMISED_MS, FirstSound

SOUND, MISSED = "tonearm_sound_seconds_count", "tonearm_sounds_missed_total"
ASKED_MS = 1_000_000


@pytest.mark.parametrize(("after_ms", "missed"), [(PROMISED_MS, 0), (PROMISED_MS + 1, 1)])
def test_who_gives_up_after_the_promised_time_has_missed_it(after_ms: int, missed: int) -> None:
    first = FirstSound(lambda: ASKED_MS + after_ms)
    first.wait("one", ASKED_MS)
    with counts(MISSED, missed), counts(SOUND, 0):
        first.now_playing(None, by_person=True)
        first.now_playing(None, by_person=True)


def test_what_nobody_ended_was_missed_however_soon() -> None:
    first = FirstSound(lambda: ASKED_MS)
    first.wait("one", ASKED_MS)
    with counts(MISSED):
        first.now_playing("two", by_person=False)

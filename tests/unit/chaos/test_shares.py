"""Refusals and silence are excused near a fault that explains them, and never altogether."""

from __future__ import annotations

from typing import Any

import pytest

from tests.chaos.causes import CAUSES, HTTP, RESTART_SECONDS
from tests.chaos.checker import DONE, FAILED, NOT_JOINED, REFUSED, TAKEN_OUT, Sent, Verdict
from tests.chaos.faults import Struck
from tests.chaos.outcome import Happened, Outcome
from tests.chaos.plan import Fault, Kind
from tests.chaos.shares import Shares
from tonearm.sentences import Sentence

S = 1_000_000_000


def job(number: int, outcome: str = DONE, word: str = "", **given: Any) -> Sent:
    """Each second one."""
    about = {"kind": "play", "answered": None, "outcome": outcome, "word": word, "sent": number * S}
    return Sent(**{"id": f"i:{number}", "guild": 1, **about, **given})


def judge(*sent: Sent, struck: tuple[Struck, ...] = (), **found: Any) -> Shares:
    return Shares(Outcome(Verdict(), list(sent), {}, list(struck), [], {}, {}, [], [], **found))


def struck(kind: Kind, begun: float, mended: float, whom: str = "somebody") -> Struck:
    return Struck(Fault(begun, kind, 0, 0.0), begun, mended, whom)


DONE_JOBS = [job(number) for number in range(100, 120)]


@pytest.mark.parametrize("refused", [("NO_PLAYER", REFUSED), ("", FAILED)])
def test_a_system_that_does_nothing_is_missed_whatever_its_excuse(refused: tuple[str, str]) -> None:
    word, outcome = refused
    always = tuple(struck(kind, 0.0, 10_000.0) for kind in Kind)
    found = judge(*(job(number, outcome, word) for number in range(10_000)), struck=always)
    assert "only 0 of 10000 jobs were done, not 33%" in found.missed
    assert "done: 0 of 10000 (0%, at least 33%)" in found.lines[0]


@pytest.mark.parametrize(("least", "good"), [(0.5, True), (0.6, False)])
def test_the_long_form_wants_more(least: float, good: bool) -> None:
    always = (struck(Kind.VOICE_KILL, 0.0, 10_000.0),)
    refused = [job(number, REFUSED, "NO_PLAYER") for number in range(20)]
    assert (not judge(*DONE_JOBS, *refused, struck=always, least_done=least).missed) is good


def test_a_kind_that_is_never_done_is_missed_though_its_refusals_may_be_true() -> None:
    skips = [job(number, REFUSED, "NOTHING_PLAYING", kind="skip") for number in range(20)]
    assert judge(*DONE_JOBS, *skips).missed == ["skip: only 0 of 20 were done, not 2%"]


@pytest.mark.parametrize(
    ("at", "good"), [(97, False), (98, True), (102, True), (104 + RESTART_SECONDS, True), (113, False)]
)
def test_silence_is_explained_by_a_fault_of_the_http_side_for_a_while(at: float, good: bool) -> None:
    silent = job(0, FAILED, sent=int(at * S))
    found = judge(*DONE_JOBS, silent, struck=(struck(Kind.HTTP_STOP, 101.0, 104.0),))
    assert (not found.missed) is good
    assert "1 not delivered (4.8%)" in found.lines[1]
    assert CAUSES["not delivered"].kinds == HTTP


def test_a_fault_elsewhere_explains_nothing() -> None:
    found = judge(*DONE_JOBS, job(101, REFUSED, "MEMORY_AWAY"), struck=(struck(Kind.AUDIO_KILL, 100.0, 102.0),))
    assert len(found.missed) == 1
    assert "MEMORY_AWAY, with no fault that explains it" in found.missed[0]


def test_a_refusal_may_come_long_after_it_was_asked_for() -> None:
    late = job(101, REFUSED, "DISCORD_AWAY", ended=140 * S)
    assert not judge(*DONE_JOBS, late, struck=(struck(Kind.REST_500, 135.0, 136.0),)).missed
    assert judge(*DONE_JOBS, late, struck=(struck(Kind.REST_500, 141.0, 142.0),)).missed


@pytest.mark.parametrize("word", ["", "not of the catalogue", "INTERNAL", Sentence.NOT_DONE_IN_TIME.name])
def test_what_has_no_cause_is_missed(word: str) -> None:
    always = tuple(struck(kind, 0.0, 10_000.0) for kind in Kind)
    assert "was refused for no reason" in judge(*DONE_JOBS, job(1, REFUSED, word), struck=always).missed[0]


def test_that_nothing_plays_is_no_reason_to_play_nothing() -> None:
    assert not judge(*DONE_JOBS, job(1, kind="skip"), job(2, REFUSED, "NOTHING_PLAYING", kind="skip")).missed
    assert judge(*DONE_JOBS, job(1, REFUSED, "NOTHING_PLAYING")).missed


def test_what_a_machine_that_stood_still_may_have_done_is_void() -> None:
    found = judge(*DONE_JOBS, job(101, FAILED), stalls=[(100.0, 101.5)])
    assert not found.missed
    assert "the machine stood still" in found.void[0]


def test_what_was_asked_when_all_was_mended_is_judged_by_its_end() -> None:
    assert not judge(*DONE_JOBS, job(101, REFUSED, "NO_PLAYER", mended=True)).missed


@pytest.mark.parametrize(
    ("what", "by", "good"),
    [
        (TAKEN_OUT, struck(Kind.VOICE_CUT, 99.0, 99.5, "Room 3"), True),
        (TAKEN_OUT, struck(Kind.VOICE_CUT, 99.0, 99.5, "Room 4"), False),
        (TAKEN_OUT, struck(Kind.VOICE_CUT, 80.0, 80.5, "Room 3"), False),
        (TAKEN_OUT, struck(Kind.VOICE_KILL, 99.0, 99.5), False),
        (NOT_JOINED, struck(Kind.VOICE_KILL, 99.0, 99.5), True),
        (NOT_JOINED, struck(Kind.GATEWAY_CUT, 80.0, 80.5), False),
        (NOT_JOINED, struck(Kind.REDIS_KILL, 99.0, 99.5), False),
        ("moved", struck(Kind.VOICE_MOVED, 99.0, 99.5, "Room 3"), False),
        ("failed", struck(Kind.AUDIO_KILL, 99.0, 99.5), True),
        ("failed", struck(Kind.AUDIO_KILL, 101.0, 101.5), False),
        ("failed", struck(Kind.REDIS_KILL, 99.0, 99.5), False),
    ],
)
def test_what_befalls_a_guild_needs_a_cause_too(what: str, by: Struck, good: bool) -> None:
    found = judge(*DONE_JOBS, struck=(by,), happened=[Happened(what, "Room 3", "e:x", 100.0)])
    assert (not found.missed) is good
    assert found.lines[-1].startswith(f"{what}, though nobody asked for it: 1")

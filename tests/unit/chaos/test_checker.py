"""The checker finds what is planted, and nothing where nothing is."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.chaos.checker import (
    DONE,
    FAILED,
    NOT_JOINED,
    REFUSED,
    SILENT,
    TAKEN_OUT,
    Befallen,
    Found,
    Sent,
    Verdict,
    check,
)

MS = 1_000_000


def sent(number: int, kind: str = "play", **given: Any) -> Sent:
    """Job `number`, sent and answered in the hundred ms that are its own."""
    begin = number * 100 * MS
    about = {"answered": begin + 10 * MS, "outcome": DONE, "where": "end" if kind == "play" else None}
    return Sent(f"i:{number}", 1, kind, begin, **{**about, **given})


def entry(number: int, what: str, play: str | None = None) -> dict[str, Any]:
    return {"id": f"i:{number}", "what": what, "at_ms": number * 100, "play": play}


def over(play: str, following: str) -> dict[str, Any]:
    return {"id": f"e:{play}:over", "what": "end", "at_ms": 0, "play": following}


JOBS = [
    sent(1),
    sent(2),
    sent(3, where="next"),
    sent(4, "volume", percent=50),
    sent(5, "pause"),
    sent(6, "skip"),
    sent(7, where="now"),
    sent(8, "skip", outcome=REFUSED, text="That track had already ended."),
    sent(9, "resume", outcome=FAILED, answered=None),
]
LOG = [
    entry(1, "play", "a"),
    entry(2, "queue", "a"),
    entry(3, "queue", "a"),
    entry(4, "volume", "a"),
    entry(5, "pause", "a"),
    entry(6, "skip", "b"),
    entry(7, "play", "c"),
    over("c", "d"),
]
FOUND = Found(LOG, {"playing": {"entry": {"id": "i:2:0"}}, "volume": 50}, [], heard=["one", "three", "seven", "two"])


def judge(jobs: list[Sent] = JOBS, **changes: Any) -> Verdict:
    return check(jobs, replace(FOUND, **changes))


def test_nothing_wrong_is_found_where_nothing_is() -> None:
    assert judge().good
    assert check([], Found([], {}, [])).good


def test_a_job_that_failed_for_its_person_may_have_been_done() -> None:
    assert judge(log=[*LOG, {**entry(9, "resume", "d")}]).good


@pytest.mark.parametrize("missing", range(7))
def test_a_lost_job(missing: int) -> None:
    verdict = judge(log=[line for number, line in enumerate(LOG) if number != missing])
    assert verdict.jobs == {f"i:{missing + 1}": "lost"}


@pytest.mark.parametrize("again", range(7))
def test_a_job_done_twice(again: int) -> None:
    verdict = judge(log=[*LOG, LOG[again]])
    assert verdict.jobs == {f"i:{again + 1}": "doubled"}


def test_an_accepted_job_that_became_a_dead_letter() -> None:
    verdict = judge(log=LOG[:3] + LOG[4:], player={"playing": {"entry": {"id": "i:2:0"}}}, dead=["i:4"])
    assert verdict.jobs == {"i:4": "dead"}
    assert not verdict.lost


def test_a_job_done_before_one_that_had_been_answered_before_it_was_sent() -> None:
    verdict = judge(log=[*LOG[:3], LOG[4], LOG[3], *LOG[5:]])
    assert verdict.jobs == {"i:4": "out of order"} or verdict.jobs == {"i:5": "out of order"}


def test_jobs_that_were_under_way_together_may_be_done_in_any_order() -> None:
    late = replace(JOBS[3], answered=JOBS[4].sent + 1)
    assert judge([*JOBS[:3], late, *JOBS[4:]], log=[*LOG[:3], LOG[4], LOG[3], *LOG[5:]]).good


def test_an_answer_that_never_came() -> None:
    verdict = judge([*JOBS[:3], replace(JOBS[3], outcome=SILENT), *JOBS[4:]])
    assert verdict.jobs == {"i:4": "silent"}


def test_a_refusal_that_was_done_all_the_same() -> None:
    assert "refused, and done" in judge([*JOBS[:3], replace(JOBS[3], outcome=REFUSED), *JOBS[4:]]).wrong[0]


def test_a_job_that_nobody_sent() -> None:
    assert any("nobody sent" in line for line in judge(log=[*LOG, entry(77, "pause", "d")]).wrong)


@pytest.mark.parametrize(
    "changes",
    [
        {"queue": ["i:2:0"]},
        {"player": {"playing": {"entry": {"id": "i:7:0"}}, "volume": 50}},
        {"player": {"volume": 50}},
        {"player": {"playing": {"entry": {"id": "i:2:0"}}, "volume": 60}},
        {"player": {"playing": {"entry": {"id": "i:2:0"}}, "volume": 50, "paused": True}},
    ],
)
def test_a_state_that_is_not_what_the_log_says(changes: dict[str, Any]) -> None:
    verdict = judge(**changes)
    assert verdict.wrong
    assert not verdict.good


def test_the_order_in_the_queue_counts() -> None:
    jobs, log = [sent(1), sent(2), sent(3)], [entry(1, "play", "a"), entry(2, "queue", "a"), entry(3, "queue", "a")]
    player = {"playing": {"entry": {"id": "i:1:0"}}}
    assert check(jobs, Found(log, player, ["i:2:0", "i:3:0"])).good
    assert check(jobs, Found(log, player, ["i:3:0", "i:2:0"])).wrong


def test_an_end_that_speaks_of_a_play_that_was_over() -> None:
    assert judge(log=[*LOG[:-1], over("b", "d")]).wrong


@pytest.mark.parametrize(
    ("what", "id", "named"),
    [
        ("disconnected", "e:out:7:9", TAKEN_OUT),
        ("disconnected", "e:join:7:9", NOT_JOINED),
        ("moved", "e:to:7:9", "moved"),
        ("failed", "e:d:over", "failed"),
    ],
)
def test_what_nobody_asked_for_is_told(what: str, id: str, named: str) -> None:
    entry = {"id": id, "what": what, "at_ms": 900, "play": "e"}
    assert judge(log=[*LOG, entry]).befallen == [Befallen(named, id, 900)]
    assert judge().befallen == []


def test_a_name_of_a_play_that_was_given_before() -> None:
    assert judge(log=[*LOG[:-1], over("c", "b")]).wrong


def test_a_tone_heard_twice() -> None:
    verdict = judge(heard=["one", "three", "seven", "three"])
    assert verdict.doubled == ["three began 2 times at the listener"]
    assert not verdict.good


def test_verdicts_add_up() -> None:
    whole = judge()
    whole.add(judge(log=LOG[1:]))
    whole.add(judge(heard=["one", "one"]))
    assert whole.jobs == {"i:1": "lost"}
    assert len(whole.doubled) == 1

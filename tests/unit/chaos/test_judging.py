"""From what was measured to what is promised."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import msgspec
import pytest

from playground.twin.seen import RawReply
from playground.twin.voice import counting
from playground.twin.voice.counting import Report
from tests.chaos import part_failover, part_handover, part_jobs, part_sentences
from tests.chaos.checker import DONE, Befallen, Sent, Verdict
from tests.chaos.faults import Struck
from tests.chaos.jobs import shows_done
from tests.chaos.outcome import Outcome, Watch
from tests.chaos.part_failover import Heard
from tests.chaos.part_handover import ASKED, CONTROL_SECONDS, KILLED, Measured
from tests.chaos.part_sentences import Asked
from tests.chaos.plan import Fault, Kind
from tests.chaos.report import Row, Sheet
from tests.chaos.troubles import FAILED, TROUBLES
from tonearm.sentences import Sentence

SKIPPED = "⏭️ Skipped **tone0001**\nThe queue is at its end."


def struck(kind: Kind, begun: float, seconds: float = 0.0, whom: str = "somebody") -> Struck:
    return Struck(Fault(begun, kind, 0, seconds), begun, begun + seconds, whom)


def outcome(verdict: Verdict, missed: list[str] | None = None, made: list[Struck] | None = None) -> Outcome:
    """Two jobs, one of them after a kill."""
    sent = [Sent(f"i:{number}", 1, "skip", number, number, DONE) for number in (1, 2)]
    watches = [Watch(Kind.VOICE_KILL.value, 1_500, 3, 4)]
    made = [struck(Kind.VOICE_KILL, 1.5)] if made is None else made
    moments = ({"i:1": 1_000, "i:2": 2_000}, {"i:1": 1_010, "i:2": 4_500})
    return Outcome(verdict, sent, {Kind.VOICE_KILL: 1}, made, watches, *moments, [], missed or [])


def test_a_job_is_laid_to_the_fault_before_it() -> None:
    result = part_jobs.judge(outcome(Verdict()))
    assert result.good
    before, killed = (row.cells for row in result.sheets[1].rows)
    assert list(before) == ["(before the first)", "", "0.01", 0, 0, 0, 0]
    assert list(killed) == [Kind.VOICE_KILL, 1, "2.50", 4, 0, 0, 0]


def test_what_was_found_is_kept_whole() -> None:
    found = outcome(Verdict(lost=["skip i:2"], befallen=[Befallen("moved", "e:x", 5)]))
    found.planned = Counter(found.planned)
    found.books = Sheet("Subscriptions", ("deal",), [Row(("buy",))])
    kept = msgspec.json.decode(msgspec.json.encode(found, enc_hook=str))
    assert kept["planned"] == {Kind.VOICE_KILL.value: 1}
    assert (kept["struck"][0][3], kept["verdict"]["befallen"][0][0]) == ("somebody", "moved")


def test_a_fault_that_was_not_made_is_missed_though_it_was_planned() -> None:
    result = part_jobs.judge(outcome(Verdict(), made=[]))
    assert result.missed == [f"{Kind.VOICE_KILL}: made 0 times, not 1"]
    assert (result.sheets[1].rows[1].cells[1], result.sheets[1].rows[1].good) == (0, False)


@pytest.mark.parametrize(
    ("spaces", "good"),
    [([2.9] * 50, True), ([2.9] * 50 + [6.0], True), ([2.9] * 50 + [16.0], False), ([2.9] * 17 + [3.1, 3.1], False)],
)
def test_faults_come_soon_after_one_another(spaces: list[float], good: bool) -> None:
    moments = [sum(spaces[:number]) for number in range(len(spaces) + 1)]
    result = part_jobs.judge(outcome(Verdict(), made=[struck(Kind.VOICE_KILL, at) for at in moments]))
    assert result.good is good
    assert f"at most {max(spaces):.1f} s" in result.lines[0]


@pytest.mark.parametrize(
    ("verdict", "column"),
    [
        (Verdict(lost=["skip i:2"], jobs={"i:2": "lost"}), 4),
        (Verdict(dead=["skip i:2"], jobs={"i:2": "dead"}), 4),
        (Verdict(silent=["skip i:2"], jobs={"i:2": "silent"}), 4),
        (Verdict(doubled=["skip i:2"], jobs={"i:2": "doubled"}), 5),
        (Verdict(disordered=["skip i:2"], jobs={"i:2": "out of order"}), 6),
    ],
)
def test_what_was_wrong_is_counted_and_missed(verdict: Verdict, column: int) -> None:
    result = part_jobs.judge(outcome(verdict))
    assert not result.good
    row = result.sheets[1].rows[1]
    assert (row.cells[column], row.good) == (1, False)
    assert result.sheets[1].rows[0].good


def test_no_control_in_the_end_is_missed() -> None:
    assert not part_jobs.judge(outcome(Verdict(), ["guild 3: no control"])).good
    assert not part_jobs.judge(outcome(Verdict(wrong=["the queue should be"]))).good


@pytest.mark.parametrize(("times", "good"), [(part_jobs.MOST_VOID, True), (part_jobs.MOST_VOID + 1, False)])
def test_a_twin_that_was_busy_at_times_is_told_and_one_that_always_was_voids_the_run(times: int, good: bool) -> None:
    found = outcome(Verdict())
    found.void = ["the twin did not say"] * times
    result = part_jobs.judge(found)
    assert result.good is good
    assert result.lines.count("void: the twin did not say") == times


@pytest.mark.parametrize(
    ("status", "body", "done"),
    [
        (200, {"type": 4, "data": {"components": [{"type": 10, "content": SKIPPED}]}}, True),
        (200, {"type": 4, "data": {"components": [{"type": 10, "content": str(Sentence.MEMORY_AWAY)}]}}, False),
        (200, {"type": 5}, False),
        (None, {}, False),
    ],
)
def test_the_other_delivery_shows_that_it_is_done(status: int | None, body: dict[str, Any], done: bool) -> None:
    raw = {"status": status, "headers": {}, "error": None, "sent_at_ns": 1, "written_at_ns": 2, "answered_at_ns": 3}
    assert shows_done(RawReply(raw, json.dumps(body).encode())) == done
    assert not shows_done(None)


def report(**changes: Any) -> Report:
    counter = counting.Counter(1, 0)
    for number in range(50):
        counter.add(1, number, number * 960, number * 20_000_000, b"music")
    return msgspec.structs.replace(counter.report(1_000_000_000), **changes)


ONCE = {ASKED: 1}


def measured(*reports: Report, control: float = 1.0, stall_ms: float = 0.0) -> dict[str, Measured]:
    found = Measured(CONTROL_SECONDS[ASKED])
    found.take(list(reports), [control], stall_ms)
    return {ASKED: found}


def test_music_without_a_hole_and_control_in_time_is_kept() -> None:
    assert part_handover.judge(measured(report(), report()), Measured(), ONCE).good


@pytest.mark.parametrize(
    "changes",
    [
        {"lost": 1},
        {"step_errors": 1},
        {"silence_runs": 1},
        {"late_gaps": 1, "largest_gap_ms": 201.0},
        {"breaks": 1},
        {"socket_drops": 1},
    ],
)
def test_a_hole_is_missed(changes: dict[str, Any]) -> None:
    assert not part_handover.judge(measured(report(), report(**changes)), Measured(), ONCE).good


@pytest.mark.parametrize(
    ("control", "gap_ms", "stall_ms"), [(3.1, 20.0, 150.0), (1.0, 349.0, 150.0), (3.149, 349.0, 150.0)]
)
def test_what_is_late_by_no_more_than_the_machine_stood_still_is_made_again(
    control: float, gap_ms: float, stall_ms: float
) -> None:
    found = Measured(CONTROL_SECONDS[ASKED])
    late = report(late_gaps=int(gap_ms > 200), largest_gap_ms=gap_ms)
    assert not found.take([late], [control], stall_ms)
    assert not part_handover.judge({ASKED: found}, Measured(), ONCE).good, "nothing was judged"
    assert found.take([report()], [1.0], 0.0)
    result = part_handover.judge({ASKED: found}, Measured(), ONCE)
    assert result.good
    assert result.sheets[0].rows[1].cells[1:3] == (1, 1)
    assert f"1 made again: control back after {control:.2f} s, gap {gap_ms:.0f} ms" in result.lines[-1]
    assert f"stood still for up to {stall_ms:.0f} ms" in result.lines[-1]


@pytest.mark.parametrize(("control", "gap_ms"), [(29.9, 20.0), (1.0, 9_000.0), (3.2, 20.0), (1.0, 310.0)])
def test_no_stall_excuses_more_than_its_own_length(control: float, gap_ms: float) -> None:
    found = Measured(CONTROL_SECONDS[ASKED])
    assert found.take([report(late_gaps=int(gap_ms > 200), largest_gap_ms=gap_ms)], [control], 101.0)
    result = part_handover.judge({ASKED: found}, Measured(), ONCE)
    assert not result.good
    assert result.sheets[0].rows[1].cells[1] == 1


def test_what_is_lost_on_a_machine_that_stood_still_is_lost_all_the_same() -> None:
    found = Measured(CONTROL_SECONDS[ASKED])
    found.take([report(lost=1)], [3.1], 150.0)
    found.take([report()], [1.0], 0.0)
    assert not part_handover.judge({ASKED: found}, Measured(), ONCE).good


def test_as_many_must_be_judged_as_were_planned() -> None:
    result = part_handover.judge(measured(report()), Measured(), {ASKED: 20})
    assert result.missed == [f"{ASKED}: only 1 of 20 repetitions could be judged"]


def test_a_repetition_that_broke_off_is_missed() -> None:
    found = measured(report())
    found[ASKED].broken_off.append("TimeoutError('voice-1 was not ready')")
    assert not part_handover.judge(found, Measured(), ONCE).good


def test_control_that_is_late_is_missed() -> None:
    assert not part_handover.judge(measured(report(), control=3.1), Measured(), ONCE).good
    killed = Measured(CONTROL_SECONDS[KILLED])
    killed.take([report()], [9.0], 0.0)
    assert part_handover.judge({KILLED: killed}, Measured(), {KILLED: 1}).good


@pytest.mark.parametrize(
    ("found", "lost", "good"),
    [
        ([Heard(1.0, 0.4, "")], [], True),
        ([Heard(1.0, 0.4, ""), Heard(3.1, 0.0, "")], [], False),
        ([Heard(1.0, 0.4, ""), Heard(0.5, 1.1, "")], [], False),
        ([Heard(1.0, 0.4, "")], ["guild 1: nothing"], False),
        ([], [], False),
    ],
)
def test_failover(found: list[Heard], lost: list[str], good: bool) -> None:
    assert part_failover.judge(found, lost, [len(found)]).good is good


@pytest.mark.parametrize(("outcome", "back", "wrong"), [(DONE, 1.0, 0), (FAILED, 1.0, 1), (DONE, None, 1)])
def test_what_is_read_in_time_and_lasting_loss_of_control_are_judged_though_a_cell_is_made_again(
    outcome: str, back: float | None, wrong: int
) -> None:
    assert len(part_sentences._wrong(TROUBLES[0], [Asked("help", 10.0, outcome, False, "any")], back)) == wrong

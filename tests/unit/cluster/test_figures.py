"""From what was measured to what is said."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from playground.twin.voice.counting import Counter, Report
from playground.twin.voice.rtp import SILENCE_FRAME
from tests.cluster.figures import ColdStarts, Heard, percentile, readings, restarts, running_problems

FRAME_NS = 20_000_000


def report(frames: int = 100, *, without: frozenset[int] = frozenset(), **changes: Any) -> Report:
    counter = Counter(1, 0)
    for number in range(frames):
        if number not in without:
            counter.add(7, number, number * 960, number * FRAME_NS, b"music")
    return msgspec.structs.replace(counter.report(frames * FRAME_NS), **changes)


def heard(*reports: Report) -> Heard:
    found = Heard()
    for each in reports:
        found.add(each)
    return found


@pytest.mark.parametrize(("share", "value"), [(0.5, 2), (0.51, 3), (0.95, 4), (1.0, 4), (0.0, 1)])
def test_percentiles_are_values_that_were_measured(share: float, value: int) -> None:
    assert percentile([4, 1, 3, 2], share) == value


def test_a_first_click_is_lost_after_three_seconds_or_without_an_answer() -> None:
    found = ColdStarts([1_000.0, 2_999.0, 3_001.0, None])
    assert found.share_lost == 0.5
    assert str(found) == "4 times: p50 3.00 s, p95 3.00 s, longest 3.00 s; 50% over 3 s"
    assert ColdStarts([None]).share_lost == 1.0
    assert str(ColdStarts([None])) == "1 times, never answered"


def test_music_without_a_hole() -> None:
    found = heard(report(), report())
    assert found.unbroken
    assert str(found) == "200 packets, 0 lost, largest gap 20 ms"


def test_late_is_told_and_is_no_hole() -> None:
    found = heard(report(late_gaps=1, largest_gap_ms=450.0))
    assert found.unbroken
    assert "450 ms" in str(found)


@pytest.mark.parametrize(
    "broken",
    [
        report(without=frozenset({50})),
        report(restarts=1),
        report(step_errors=1),
        report(breaks=1),
        report(silence_runs=1),
        report(trailing_silence=60),
        report(frames=0),
        report(socket_drops=3),
    ],
)
def test_a_hole_in_one_ear_is_a_hole(broken: Report) -> None:
    assert not heard(report(), broken).unbroken


def test_nobody_heard_nothing_unbroken() -> None:
    assert not heard().unbroken


def test_a_stream_that_moves_is_no_loss() -> None:
    counter = Counter(1, 0)
    for number in range(50):
        counter.add(7, number, number * 960, number * FRAME_NS, b"music")
    for number in range(50, 53):
        counter.add(7, number, number * 960, number * FRAME_NS, SILENCE_FRAME)
    for number in range(50):
        counter.add(8, 9_000 + number, number * 960, (60 + number) * FRAME_NS, b"music")
    found = heard(counter.report(110 * FRAME_NS))
    assert (found.lost, found.silent) == (0, 0)


def pod(phase: str = "Running", ready: bool = True, restarted: int = 0) -> dict[str, Any]:
    status = {"phase": phase, "containerStatuses": [{"ready": ready, "restartCount": restarted}]}
    return {"metadata": {"name": "api-1"}, "status": status}


def test_pods_that_run_or_ended_well() -> None:
    assert running_problems([pod(), pod("Succeeded", ready=False)]) == []
    assert running_problems([pod("Pending")]) == ["api-1 is Pending"]
    assert running_problems([pod(ready=False)]) == ["api-1 is not ready"]
    assert running_problems([pod("Failed")]) == ["api-1 is Failed"]
    assert restarts([pod(restarted=2), pod(restarted=1)]) == 3


def test_an_autoscaler_without_a_reading() -> None:
    metric = {"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": 0}}}
    found = readings(
        [
            {"metadata": {"name": "api"}, "status": {"currentMetrics": [metric]}},
            {"metadata": {"name": "worker"}, "status": {"currentMetrics": None}},
            {"metadata": {"name": "lavalink"}, "status": {"currentMetrics": [{"type": ""}]}},
        ]
    )
    assert found == {"api": 0, "worker": None, "lavalink": None}

"""The same seed makes the same plan; and a plan is what was promised of it."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from pathlib import Path

import av
import pytest

from playground.twin.voice.tones import ToneTracker
from tests.chaos.plan import MIX, PARTS, Kind, Part, beginnings, make_plan, tone_hz, tone_of
from tests.chaos.tones import make_marked


def test_the_seed_replays_the_plan() -> None:
    assert make_plan(7, jobs=300, guilds=50, repeats=2) == make_plan(7, jobs=300, guilds=50, repeats=2)
    assert make_plan(7, jobs=300, guilds=50, repeats=2) != make_plan(8, jobs=300, guilds=50, repeats=2)


def test_every_fault_comes_often_enough_and_soon_enough() -> None:
    plan = make_plan(1, jobs=10_000, guilds=50, repeats=20)
    assert set(Counter(fault.kind for fault in plan.faults).values()) == {20}
    assert {fault.kind for fault in plan.faults} == set(Kind)
    assert max(after.at - before.at for before, after in pairwise(plan.faults)) < 3
    assert all(1 <= fault.seconds <= 15 for fault in plan.faults)
    assert plan.faults[-1].at < plan.seconds


def test_the_mix_of_jobs() -> None:
    plan = make_plan(1, jobs=10_000, guilds=50, repeats=20)
    once = Counter("hold" if job.kind in ("pause", "resume") else job.kind for job in plan.jobs if not job.twice)
    once["twice"] = sum(job.twice for job in plan.jobs)
    for name, share in MIX:
        assert abs(once[name] - 100 * share) < 200
    assert len(plan.jobs) == 10_000
    assert len({job.guild for job in plan.jobs}) == 50


def test_no_tone_is_asked_for_twice_in_a_guild() -> None:
    plan = make_plan(1, jobs=10_000, guilds=50, repeats=20)
    asked = Counter((job.guild, job.tone) for job in plan.jobs if job.tone is not None)
    assert set(asked.values()) == {1}
    assert all((job.tone is not None) == (job.kind == "play") for job in plan.jobs)
    assert all((job.percent is not None) == (job.kind == "volume") for job in plan.jobs)


def test_tones_are_told_apart() -> None:
    most = 1 + max(job.tone or 0 for job in make_plan(1, jobs=10_000, guilds=50, repeats=20).jobs)
    assert tone_hz(most) < 12_000
    for number in range(most):
        for part in Part:
            for error in (-4, 0, 4):
                assert tone_of(tone_hz(number) + PARTS[part][0] + error) == (number, part)
    assert tone_of(tone_hz(3) + 20) is None
    assert tone_of(tone_hz(3) + 6.5) is None
    assert tone_of(100.0) is None


OPEN, BRIDGE, REST = Part


@pytest.mark.parametrize(
    ("heard", "begun"),
    [
        ([(1, OPEN), (1, BRIDGE), (1, REST), (2, OPEN), (2, BRIDGE)], [1, 2]),
        ([(1, REST), (1, BRIDGE), (1, REST)], [1]),
        ([(1, OPEN), (1, BRIDGE), (1, OPEN), (1, BRIDGE), (1, REST)], [1]),
        ([(1, OPEN), (1, BRIDGE), (1, REST), (1, OPEN)], [1, 1]),
        ([(1, REST), (1, BRIDGE), (1, OPEN), (1, REST)], [1, 1]),
        ([(1, OPEN), (2, REST), (1, REST)], [1, 2, 1]),
    ],
)
def test_a_tone_that_begins_again_is_heard(heard: list[tuple[int, Part]], begun: list[int]) -> None:
    frequencies = [tone_hz(number) + PARTS[part][0] for number, part in heard]
    assert beginnings(frequencies) == begun
    assert beginnings([*frequencies[:1], tone_hz(1) + 20, *frequencies[1:]]) == begun


@pytest.mark.parametrize("number", [0, 41, 289])
def test_an_ear_hears_the_parts_of_a_tone_and_that_it_begins_again(number: int, tmp_path: Path) -> None:
    make_marked(tmp_path, "tone", tone_hz(number), PARTS)
    with av.open(str(tmp_path / "tone.webm")) as container:
        packets = [bytes(packet) for packet in container.demux(audio=0) if packet.size]
    ear = ToneTracker()
    for order, payload in enumerate([*packets[:200], *packets[:100]]):  # 4 s, and 2 s from its beginning
        ear.add(1, order, order * 20_000_000, payload)
    heard = [tone_of(start.frequency) for start in ear.starts]
    assert heard == [(number, part) for part in (OPEN, BRIDGE, REST, OPEN, BRIDGE)]
    assert beginnings(start.frequency for start in ear.starts) == [number, number]


def test_a_quiet_run_has_no_faults() -> None:
    assert make_plan(1, jobs=100, guilds=10, repeats=0).faults == []

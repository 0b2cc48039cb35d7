"""The same seed makes the same plan; and a plan is what was promised of it."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

from tests.chaos.plan import MIX, Kind, make_plan, tone_hz, tone_of


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
        assert tone_of(tone_hz(number) + 4) == number
    assert tone_of(tone_hz(3) + 20) is None
    assert tone_of(100.0) is None


def test_a_quiet_run_has_no_faults() -> None:
    assert make_plan(1, jobs=100, guilds=10, repeats=0).faults == []

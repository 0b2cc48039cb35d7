"""What traces cost while they are off: nothing on the HTTP side, which is put together without them, and this at a job.

    python -m tests.load.traces_off

Printed: nanoseconds of a span that is none, and of what belongs to the doing of a job, the context of its log lines
among it; the best of several rounds, as any other is the machine's.
"""

from __future__ import annotations

import timeit

from tonearm.jobs.doing import doing
from tonearm.jobs.job import Job
from tonearm.music.actions import Stop
from tonearm.telemetry import traces

TIMES, ROUNDS = 100_000, 7
JOB = Job("i:1", 1, 2, 3, Stop(), 1_000)


def main() -> None:
    """Measure and print."""
    print(f"a span: {_best(_span):.0f} ns")
    print(f"the doing of a job: {_best(_doing):.0f} ns")


def _span() -> None:
    with traces.span("commit"):
        pass


def _doing() -> None:
    with doing(JOB) as span:
        span.note(outcome="done")


def _best(measured) -> float:
    return min(timeit.repeat(measured, number=TIMES, repeat=ROUNDS)) / TIMES * 1e9


if __name__ == "__main__":
    main()

"""Writes docs/operations/metrics.md from what the code declares, or checks that it is what would be written."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from written import write_or_check

import tonearm.telemetry  # noqa: F401 - which declares them
from tonearm.telemetry.declaring import CATALOGUE, PROCESSES, Declared

FILE = Path(__file__).resolve().parent.parent / "docs" / "operations" / "metrics.md"

UNITS = {
    "_timestamp_seconds": "seconds since 1970",
    "_seconds": "seconds",
    "_bytes": "bytes",
    "_ratio": "0 to 1",
    "_total": "count",
}
"""By the end of a name, as Prometheus has it; whatever ends otherwise is a number of things."""

HEAD = """\
# Metrics

<!-- Made by `make metrics-document` from tonearm/telemetry/__init__.py: change it there. -->

Every process serves its metrics at `/metrics`, on the port of its health page; the headings below tell which process
has what. Besides, each has `process_*` (memory, CPU, open files, start time) and `python_*`, as prometheus_client has
them. Who is scraped is in [`prometheus.yml`](../../monitoring/prometheus/prometheus.yml) for compose, and in
[`kubernetes.yml`](../../monitoring/prometheus/kubernetes.yml) for a cluster.

- **Labels are few.** None ever has a guild, a user or a job; a test looks through what a run has exposed.
- **What is not known is `NaN`**, of which no comparison holds, so nothing old looks healthy. Every worker looks at
  both stores every 10 s. While one is away, `tonearm_redis_up` or `tonearm_postgres_up` is 0, all else of that store is
  `NaN`, and `tonearm_watch_timestamp_seconds` stands still. All workers tell the same: take `max()`, which passes over
  `NaN`.
- **A dead HTTP side can't report itself**, and one that scaled to zero is not there to be asked. So voice nodes and
  workers count what it owed: jobs done, answers brought later, answers that nobody ever got ([record
  28](../decisions/0028-a-promise-is-counted-by-who-survives.md)).
- **Several processes on one port** (`tonearm interactions --workers N`) count in a folder that they make below
  `TMPDIR` and remove; any of them answers a scrape for all. What a worker counted outlives it.
- **On AWS Lambda** nothing is scraped. What `interactions` and `api` count goes to CloudWatch as lines of the log,
  under the same names ([Lambda](lambda.md)).
"""


def main() -> int:
    """1 when the file is not fresh."""
    return write_or_check(
        FILE, render(), description=__doc__, stale="tonearm.telemetry declares: run `make metrics-document`."
    )


def render() -> str:
    """The content of the file."""
    return HEAD + "".join(_sections())


def _sections() -> Iterator[str]:
    """A table for each set of processes: first what all have, then what one has, in the order of the processes."""
    by_processes = sorted(CATALOGUE.values(), key=lambda each: (-len(each.processes), _order(each)))
    for processes, metrics in groupby(by_processes, key=lambda each: each.processes):
        yield f"\n## {_heading(processes)}\n\n| name | type | labels | unit | meaning |\n|---|---|---|---|---|\n"
        yield from map(_row, metrics)


def _order(metric: Declared) -> list[int]:
    return [PROCESSES.index(each) for each in metric.processes]


def _heading(processes: tuple[str, ...]) -> str:
    return "Every process" if processes == PROCESSES else ", ".join(processes)


def _row(metric: Declared) -> str:
    labels = ", ".join(f"`{label}`" for label in metric.labels)
    return f"| `{metric.name}` | {metric.kind} | {labels} | {_unit(metric)} | {metric.help} |\n"


def _unit(metric: Declared) -> str:
    unit = next((unit for end, unit in UNITS.items() if metric.name.endswith(end)), "")
    if metric.buckets:
        return f"{unit}, in {' '.join(f'{bound:g}' for bound in metric.buckets)}"
    return unit


if __name__ == "__main__":
    sys.exit(main())

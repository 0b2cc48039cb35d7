"""The metrics of one process, as Prometheus reads them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from prometheus_client import REGISTRY, CollectorRegistry, Metric, disable_created_metrics
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from tonearm import __version__
from tonearm.telemetry import BUILD_INFO, MEMORY_LIMIT
from tonearm.telemetry.declaring import CATALOGUE

OURS = "tonearm_"

CGROUP_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
"""Where the kernel says how much memory this process' cgroup may have: version 2, and 1."""

NO_LIMIT = 1 << 60
"""Bytes from which a limit is none: version 1 has a very high number in place of ``max``."""

# They would be one more series for each counter and histogram, which Prometheus does not read in this format.
disable_created_metrics()  # type: ignore[no-untyped-call]

_shown: frozenset[str] | None = None


def begin(process: str) -> None:
    """This process is the one of :data:`~tonearm.telemetry.declaring.PROCESSES` that is called so: from now on it
    exposes what is declared for it. What others count would be a 0 here, and look like a value."""
    global _shown
    _shown = frozenset(each.name for each in CATALOGUE.values() if process in each.processes)
    BUILD_INFO.labels(__version__, process).set(1)
    MEMORY_LIMIT.set(memory_limit())


def exposition() -> tuple[bytes, str]:
    """The metrics of this process in Prometheus' text format, and its content type."""
    return generate_latest(_Shown(REGISTRY)), CONTENT_TYPE_LATEST


def memory_limit(files: Iterable[Path] = CGROUP_LIMITS) -> int:
    """Bytes of memory that this process' cgroup may have; 0 where there is no limit."""
    for file in files:
        try:
            said = file.read_text().strip()
        except OSError:
            continue
        return int(said) if said.isdecimal() and int(said) < NO_LIMIT else 0
    return 0


class _Shown(CollectorRegistry):
    """What this process shows of a registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        super().__init__()
        self._whole = registry

    def collect(self) -> Iterable[Metric]:
        for metric in self._whole.collect():
            if _shown is None or not metric.name.startswith(OURS) or _declared(metric) in _shown:
                yield metric


def _declared(metric: Metric) -> str:
    return f"{metric.name}_total" if metric.type == "counter" else metric.name

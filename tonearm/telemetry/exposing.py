"""The metrics of one process, as Prometheus reads them."""

from __future__ import annotations

import operator
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from prometheus_client import REGISTRY, CollectorRegistry, Metric, ProcessCollector, disable_created_metrics
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

from tonearm import __version__
from tonearm.telemetry import BUILD_INFO, MEMORY_LIMIT
from tonearm.telemetry.declaring import CATALOGUE

OURS = "tonearm_"

SHARED_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""The environment variable that names the folder in which several processes count as one; prometheus_client's own."""

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
    return generate_latest(_Shown(_registry())), CONTENT_TYPE_LATEST


def _registry() -> CollectorRegistry:
    """Where this process counts; of one that is several, where all of them do."""
    folder = os.environ.get(SHARED_FOLDER)
    if folder is None:
        return REGISTRY
    registry = CollectorRegistry()
    MultiProcessCollector(registry, folder)  # type: ignore[no-untyped-call]
    registry.register(_Family(Path(folder)))
    return registry


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


class _Family(Collector):
    """What the kernel says of a process that is several: of all that count in ``folder``, and of who started them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def collect(self) -> Iterator[Metric]:
        found: dict[str, Metric] = {}
        for pid in {os.getppid(), *(int(file.stem.rpartition("_")[2]) for file in self._folder.glob("*.db"))}:
            for metric in _of_process(pid):
                known = found.setdefault(metric.name, metric)
                if known is not metric:
                    known.samples = [_together(*pair) for pair in zip(known.samples, metric.samples, strict=True)]
        yield from found.values()


def _of_process(pid: int) -> Iterable[Metric]:
    """Nothing of one that is gone."""
    return ProcessCollector(pid=lambda: pid, registry=None).collect()


def _together(one: Sample, other: Sample) -> Sample:
    """The family is as old as its eldest; all else adds up."""
    join = min if one.name.endswith("_start_time_seconds") else operator.add
    return one._replace(value=join(one.value, other.value))

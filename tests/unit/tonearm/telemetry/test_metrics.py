"""All metrics: as Prometheus wants them, of one process, bounded, and none that nobody counts."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import REGISTRY
from prometheus_client.parser import text_string_to_metric_families

from tonearm import __version__, telemetry
from tonearm.telemetry import exposing
from tonearm.telemetry.declaring import CATALOGUE, PROCESSES

ROOT = Path(__file__).parents[4]

BOUNDED = {
    "cause",
    "change",
    "class",
    "command",
    "error",
    "how",
    "kind",
    "limiter",
    "node",
    "operation",
    "outcome",
    "plan",
    "process",
    "reason",
    "round",
    "source",
    "state",
    "status",
    "tier",
    "version",
    "way",
}
"""Labels whose values are few, whatever people do."""

UNITS = ("_seconds", "_bytes", "_ratio", "_info")


@pytest.fixture
def any_process() -> Iterator[None]:
    yield
    exposing._shown = None


def families(process: str) -> dict[str, object]:
    exposing.begin(process)
    text, content_type = exposing.exposition()
    assert content_type.startswith("text/plain")
    return {family.name: family for family in text_string_to_metric_families(text.decode())}


@pytest.mark.usefixtures("any_process")
@pytest.mark.parametrize("process", PROCESSES)
def test_a_process_shows_what_is_declared_for_it_and_nothing_else_of_ours(process: str) -> None:
    shown = families(process)
    ours = {name for name in shown if name.startswith("tonearm_")}
    assert ours == {each.name.removesuffix("_total") for each in CATALOGUE.values() if process in each.processes}
    assert "process_resident_memory_bytes" in shown
    assert "process_start_time_seconds" in shown


@pytest.mark.usefixtures("any_process")
def test_a_process_says_what_it_is() -> None:
    families("worker")
    assert REGISTRY.get_sample_value("tonearm_build_info", {"version": __version__, "process": "worker"}) == 1
    assert REGISTRY.get_sample_value("tonearm_memory_limit_bytes") == exposing.memory_limit()


@pytest.mark.parametrize(
    ("said", "limit"),
    [("536870912\n", 536870912), ("max\n", 0), ("9223372036854771712\n", 0), ("", 0)],
)
def test_the_memory_limit_is_the_kernels(said: str, limit: int, tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text(said)
    assert exposing.memory_limit([tmp_path / "none", tmp_path / "memory.max"]) == limit
    assert exposing.memory_limit([tmp_path / "none"]) == 0


def test_names_types_and_units_are_as_prometheus_wants_them() -> None:
    for each in CATALOGUE.values():
        assert each.help.endswith("."), each.name
        assert (each.kind == "counter") == each.name.endswith("_total"), each.name
        if each.kind == "histogram":
            assert each.name.endswith("_seconds")
        elif each.kind == "gauge" and "_timestamp" in each.name:
            assert each.name.endswith(UNITS[0])
        assert set(each.processes) <= set(PROCESSES), each.name


def test_what_is_declared_is_registered() -> None:
    declared = [value for value in vars(telemetry).values() if hasattr(value, "_labelnames")]
    assert len(declared) == len(CATALOGUE)
    assert all(metric in REGISTRY._collector_to_names for metric in declared)


def test_every_label_is_bounded() -> None:
    assert {label for each in CATALOGUE.values() for label in each.labels} == BOUNDED

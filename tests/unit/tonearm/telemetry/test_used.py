"""Every metric is counted somewhere, in a process that exposes it; and no label takes values without end."""

import ast
import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import Metric

import tonearm.telemetry
from tests.support.labels import unbounded
from tonearm.telemetry.declaring import CATALOGUE, PROCESSES, Declared

ROOT = Path(__file__).parents[4]
ROOMS = ("tonearm", "interactions", "voice_nodes")

PROCESS_MODULES = {
    "interactions": "interactions.process",
    "api": "interactions.api.process",
    "voice-node": "voice_nodes.process",
    "worker": "tonearm.worker.process",
}

LATE = {
    "interactions.api.resources.events": "api",
    "interactions.api.webhooks.keeping": "api",
}
"""Modules that a process imports only once it is set up."""


def constants() -> dict[str, Declared]:
    """The metrics by the names that they have in the code."""
    return {
        name: CATALOGUE[f"{metric._name}_total" if metric._type == "counter" else metric._name]
        for name, metric in vars(tonearm.telemetry).items()
        if hasattr(metric, "_labelnames")
    }


def uses(tree: ast.AST, names: set[str]) -> Iterator[str]:
    """The metrics that a module does something with: ``NAME.inc()``, and not only imports."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in names:
            yield node.value.id
        elif isinstance(node, ast.Tuple):  # for gauge in (ONE, ANOTHER): gauge.remove(...)
            yield from (each.id for each in node.elts if isinstance(each, ast.Name) and each.id in names)


def used_by() -> dict[str, set[str]]:
    """The modules that use each metric."""
    names = set(constants())
    found: dict[str, set[str]] = {name: set() for name in names}
    for room in ROOMS:
        for file in (ROOT / room).rglob("*.py"):
            module = ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
            if module != tonearm.telemetry.__name__:
                for name in uses(ast.parse(file.read_text()), names):
                    found[name].add(module)
    return found


async def loaded(process: str) -> set[str]:
    """The modules that a process has."""
    program = f"import sys, {PROCESS_MODULES[process]}; print(*sys.modules)"
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE, cwd=ROOT
    )
    said, _ = await child.communicate()
    assert child.returncode == 0
    return set(said.decode().split()) | {module for module, of in LATE.items() if of == process}


def test_no_metric_is_declared_that_nobody_uses():
    assert [name for name, modules in used_by().items() if not modules] == []


async def test_a_metric_is_exposed_by_processes_that_have_who_counts_it():
    users = used_by()
    wrong = []
    for process in PROCESSES:
        modules = await loaded(process)
        for name, metric in constants().items():
            if process in metric.processes and not users[name] & modules:
                wrong.append(f"{process} exposes {metric.name}, and nothing in it counts it")
    assert wrong == []


def test_what_a_room_counts_its_process_exposes():
    of_room = {"interactions.api.": "api", "voice_nodes.": "voice-node", "tonearm.worker.": "worker"}
    metrics = constants()
    wrong = [
        f"{module} counts {metrics[name].name}, and {process} does not expose it"
        for name, modules in used_by().items()
        for module in modules
        for beginning, process in of_room.items()
        if module.startswith(beginning) and process not in metrics[name].processes
    ]
    assert wrong == []


@pytest.mark.parametrize(
    "value",
    ["772904309264089089", "aW50ZXJhY3Rpb246MTIzNDU2.Nzg5", "https://x.example/a", "a  b", "deadbeefdeadbeef", "a\nb"],
)
def test_an_endless_value_is_found(value):
    metric = Metric("tonearm_x", "", "gauge")
    metric.add_sample("tonearm_x", {"label": value}, 1)
    assert len(list(unbounded([metric]))) == 1
    foreign = Metric("python_info", "", "gauge")
    foreign.add_sample("python_info", {"label": value}, 1)
    assert list(unbounded([foreign])) == []


def test_many_values_are_found():
    metric = Metric("tonearm_x", "", "gauge")
    for number in range(100):
        metric.add_sample("tonearm_x", {"label": f"v{number}"}, 1)
    assert list(unbounded([metric])) == ["tonearm_x has 100 values of label"]


@pytest.mark.parametrize("value", ["play", "bad_signature", "closed with 4006", "127.0.0.1:2333", "taken again", "503"])
def test_a_word_is_none(value):
    metric = Metric("tonearm_x", "", "gauge")
    metric.add_sample("tonearm_x", {"label": value}, 1)
    assert list(unbounded([metric])) == []

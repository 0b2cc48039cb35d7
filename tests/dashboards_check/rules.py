"""What must hold for a dashboard's JSON, as a list of what does not. Pure: it reads parsed files, and asks nobody."""

from __future__ import annotations

import functools
import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models import units
from grafana_foundation_sdk.models.dashboard import Dashboard

from tonearm.telemetry.declaring import CATALOGUE, Declared

Json = dict[str, Any]

ROOT = Path(__file__).parents[2]
RECORDING = ROOT / "monitoring/prometheus/recording.yml"
COLUMNS = 24
UNITS = frozenset(value for name, value in vars(units).items() if name[0].isupper() and isinstance(value, str))
COLOURS = frozenset({"green", "yellow", "red", "blue"})
SHOWN_AS = frozenset({"timeseries", "stat", "bargauge"})
UNJUDGED = "No threshold:"
"""What a panel without thresholds says, and why."""

SCRAPED_TOO = frozenset(
    {"up", "process_cpu_seconds_total", "process_resident_memory_bytes", "process_start_time_seconds"}
)
"""Metrics that are not ours: Prometheus' own, and those of its client."""
FROM_KUBERNETES = frozenset({"kube_cronjob_status_last_successful_time"})
"""Metrics of kube-state-metrics, which is not there where a system is loaded on one machine."""
TARGET_LABELS = frozenset({"job", "instance", "le"})
HISTOGRAM = re.compile(r"_(bucket|count|sum)$")
RECORDED = re.compile(r"^ *- record: (\S+)$", re.MULTILINE)
METRIC = re.compile(r"\b(tonearm_\w+|tonearm:[\w:]+|process_\w+|kube_\w+|up)\b(?:\{([^}]*)\})?(\[)?")

register_default_plugins()


def askable(expr: str) -> bool:
    """Whether a system on one machine has what a query asks for."""
    return FROM_KUBERNETES.isdisjoint(metric for metric, _, _ in METRIC.findall(expr))


def panels(board: Json) -> list[Json]:
    """All panels, rows left out."""
    return [each for each in board["panels"] if each["type"] != "row"]


def problems(name: str, board: Json) -> list[str]:
    """What is wrong with the dashboard of that name."""
    found = [
        f"{name}: {said}" for said in itertools.chain(_frame(name, board), _ids(board), _grid(board), _models(board))
    ]
    for panel in panels(board):
        told = itertools.chain(_text(panel), _thresholds(panel), _targets(panel))
        found += [f"{name}, panel {panel.get('id')} ({panel.get('title')}): {said}" for said in told]
    return found


def problems_together(boards: dict[str, Json]) -> list[str]:
    """What is wrong between the dashboards."""
    return [
        f"two dashboards have the {what} {value!r}"
        for what in ("uid", "title")
        for value, group in _grouped(board[what] for board in boards.values())
        if group > 1
    ]


def _grouped(values: Iterator[Any]) -> Iterator[tuple[Any, int]]:
    for value, group in itertools.groupby(sorted(values)):
        yield value, len(list(group))


def _frame(name: str, board: Json) -> Iterator[str]:
    if board.get("uid") != f"tonearm-{name}":
        yield f"its uid is {board.get('uid')!r}"
    for field in ("title", "description", "refresh"):
        if not board.get(field):
            yield f"it has no {field}"
    if board.get("time", {}).get("to") != "now":
        yield "its time does not end now"
    if "id" in board:
        yield "it has an id, which Grafana gives"
    if board.get("schemaVersion") != 41:
        yield "its schema is not that of Grafana 11.6"
    sources = [each for each in board.get("templating", {}).get("list", []) if each["type"] == "datasource"]
    if [(each["name"], each["query"]) for each in sources] != [("datasource", "prometheus")]:
        yield "its data source is not a variable"
    links = [each for each in board.get("links") or [] if each["type"] == "dashboards"]
    if not any(set(each["tags"]) & set(board.get("tags", [])) for each in links):
        yield "no link leads from it to the others"


def _ids(board: Json) -> Iterator[str]:
    for id, count in _grouped(each.get("id") or 0 for each in board["panels"]):
        if id == 0:
            yield f"{count} panels have no id"
        elif count > 1:
            yield f"{count} panels have the id {id}"
    for title, count in _grouped(each.get("title") or "" for each in board["panels"]):
        if not title or count > 1:
            yield f"{count} panels have the title {title!r}"


def _grid(board: Json) -> Iterator[str]:
    places = [(each.get("id"), each["gridPos"]) for each in board["panels"]]
    for id, at in places:
        if at["x"] < 0 or at["y"] < 0 or at["w"] < 1 or at["h"] < 1 or at["x"] + at["w"] > COLUMNS:
            yield f"panel {id} is not on the grid: {at}"
    for (one, at), (other, where) in itertools.combinations(places, 2):
        if _overlap(at, where):
            yield f"panels {one} and {other} overlap"
    row = None
    for each in board["panels"]:
        if each["type"] == "row":
            row = each["gridPos"]["y"]
        elif row is None or each["gridPos"]["y"] <= row:
            yield f"panel {each.get('id')} is not under the heading of its row"


def _overlap(one: dict[str, int], other: dict[str, int]) -> bool:
    return (
        one["x"] < other["x"] + other["w"]
        and other["x"] < one["x"] + one["w"]
        and one["y"] < other["y"] + other["h"]
        and other["y"] < one["y"] + one["h"]
    )


def _models(board: Json) -> Iterator[str]:
    """Grafana's own models know every field, so none is lost on the way through them."""
    again = json.loads(json.dumps(Dashboard.from_json(board), cls=JSONEncoder))
    if again != board:
        yield "Grafana's models do not read and write it unchanged"


def _text(panel: Json) -> Iterator[str]:
    defaults = panel["fieldConfig"]["defaults"]
    if panel["type"] not in SHOWN_AS:
        yield f"it is a {panel['type']}"
    if len(panel.get("description") or "") < 20:
        yield "it does not say what good looks like"
    if defaults.get("unit") not in UNITS:
        yield f"{defaults.get('unit')!r} is no unit of Grafana's"
    if panel.get("datasource") != {"type": "prometheus", "uid": "${datasource}"}:
        yield "its data source is not the variable"
    if panel["type"] == "timeseries" and not panel["options"]["legend"]["showLegend"]:
        yield "its legend is hidden"


def _thresholds(panel: Json) -> Iterator[str]:
    told = panel["fieldConfig"]["defaults"].get("thresholds") or {}
    steps = told.get("steps") or []
    if told.get("mode") != "absolute" or not steps or steps[0]["value"] is not None:
        yield "its thresholds do not begin anywhere"
        return
    values = [each["value"] for each in steps[1:]]
    if any(one >= other for one, other in itertools.pairwise(values)):
        yield f"its thresholds do not rise: {values}"
    if not {each["color"] for each in steps} <= COLOURS:
        yield "a threshold's colour is none of ours"
    if (len(steps) == 1) != (UNJUDGED in (panel.get("description") or "")):
        yield f"it has {len(steps) - 1} thresholds, and its description says something else"


def _targets(panel: Json) -> Iterator[str]:
    targets = panel.get("targets") or []
    if not targets:
        yield "it asks for nothing"
    if len({each["refId"] for each in targets}) != len(targets):
        yield "two queries have the same letter"
    if len({each["legendFormat"] for each in targets}) != len(targets):
        yield "two queries have the same legend"
    for target in targets:
        yield from _query(target["expr"], target.get("legendFormat") or "")


def _query(expr: str, legend: str) -> Iterator[str]:
    if not legend.strip():
        yield f"a query has no legend: {expr}"
    grouped = {label for labels in re.findall(r"\bby \(([^)]*)\)", expr) for label in labels.split(", ")} - {"le"}
    told = set(re.findall(r"\{\{(\w+)\}\}", legend))
    if told != grouped:
        yield f"its legend tells of {sorted(told)}, its query of {sorted(grouped)}"
    uses = METRIC.findall(re.sub(r"\bby \([^)]*\)", "", expr))
    known = {metric: CATALOGUE.get(HISTOGRAM.sub("", metric)) or CATALOGUE.get(metric) for metric, _, _ in uses}
    if not uses:
        yield f"it asks for no metric: {expr}"
    for metric, selectors, window in uses:
        declared = known[metric]
        if declared is None:
            if metric not in SCRAPED_TOO | FROM_KUBERNETES | recorded():
                yield f"{metric} is declared nowhere"
            continue
        missing = set(re.findall(r"(\w+)\s*[=!]", selectors)) - {*declared.labels, *TARGET_LABELS}
        if missing:
            yield f"{metric} has no {sorted(missing)}"
        yield from _fitting(metric, declared, expr, bool(window))
    labels = {label for declared in known.values() if declared is not None for label in declared.labels}
    if not grouped <= labels | TARGET_LABELS:
        yield f"no metric of it has {sorted(grouped - labels - TARGET_LABELS)}"


@functools.cache
def recorded() -> frozenset[str]:
    """What Prometheus records by itself."""
    return frozenset(RECORDED.findall(RECORDING.read_text()))


def _fitting(metric: str, declared: Declared, expr: str, window: bool) -> Iterator[str]:
    if declared.kind != "gauge" and not window:
        yield f"{metric} is a {declared.kind}, and is asked for without its rate"
    if declared.kind == "gauge" and window:
        yield f"{metric} is a gauge, and has no rate"
    if (
        declared.kind == "gauge"
        and declared.processes == ("worker",)
        and not re.search(rf"max[^(]*(\([^)]*\) )?\({metric}", expr)
    ):
        yield f"{metric} is the same at every worker, and is not asked for with max"

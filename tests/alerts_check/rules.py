"""What the files of monitoring/ say: the alerts, what they read, and the cases in which they are tested."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

ROOT = Path(__file__).parents[2]
MONITORING = ROOT / "monitoring"
PROMETHEUS = MONITORING / "prometheus" / "prometheus.yml"
ALERTS = MONITORING / "prometheus" / "alerts.yml"
RECORDING = MONITORING / "prometheus" / "recording.yml"
CASES = MONITORING / "prometheus" / "tests"
ALERTMANAGER = MONITORING / "alertmanager" / "alertmanager.yml"

Document = dict[str, Any]

_QUOTED = re.compile(r'"[^"]*"')
_SELECTOR = re.compile(r"(?<![\w:.])([a-zA-Z_:][\w:]*)(?![\w:]|\s*\()\s*(?:\{([^}]*)\})?")
_GROUPING = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)")
_WORDS = frozenset(("and", "or", "unless", "offset", "bool"))
_RANGE = re.compile(r"\[\w+\]|\boffset \w+")


@dataclass(frozen=True)
class Alert:
    """One alert. ``severity`` is the receiver it is routed to."""

    name: str
    expr: str
    severity: str
    annotations: dict[str, str]


@dataclass
class Cases:
    """How many of promtool's cases there are of an alert."""

    firing: Counter[str] = field(default_factory=Counter)
    silent: Counter[str] = field(default_factory=Counter)


def read(path: Path) -> Document:
    """A YAML file."""
    document: Document = yaml.safe_load(path.read_text())
    return document


def rules_in(document: Document) -> list[Document]:
    """All rules of a file, of whichever group."""
    return [rule for group in document["groups"] for rule in group["rules"]]


def alerts() -> list[Alert]:
    """All alerts, in the order of the file."""
    return [
        Alert(each["alert"], each["expr"], each.get("labels", {}).get("severity", ""), each.get("annotations", {}))
        for each in rules_in(read(ALERTS))
    ]


def cases() -> Cases:
    """What the files of promtool's cases look at."""
    found = Cases()
    for file in sorted(CASES.glob("*.yml")):
        for test in read(file)["tests"]:
            for looked in test["alert_rule_test"]:
                told = found.firing if looked["exp_alerts"] else found.silent
                told[looked["alertname"]] += 1
    return found


def selectors(expr: str) -> Iterator[tuple[str, dict[str, str]]]:
    """The metrics that an expression reads, each with the labels it asks for and their values or patterns."""
    bare = _RANGE.sub(" ", _GROUPING.sub(" ", expr))
    # What stands in quotes could look like anything.
    quoted: list[str] = []

    def keep(match: re.Match[str]) -> str:
        quoted.append(match[0][1:-1])
        return f'"{len(quoted) - 1}"'

    for match in _SELECTOR.finditer(_QUOTED.sub(keep, bare)):
        name, inside = match[1], match[2] or ""
        if name in _WORDS:
            continue
        asked = re.findall(r'(\w+)\s*(?:=~|!~|!=|=)\s*"(\d+)"', inside)
        yield name, {label: quoted[int(number)] for label, number in asked}

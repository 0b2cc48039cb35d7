"""Copies of monitoring/'s files with a shorter time in them, for a check that has no hour to wait.

What is counted and compared stays as it is: only how long is looked back, held and waited becomes less.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path

import yaml  # type: ignore[import-untyped]

from tests.alerts_check import rules
from tests.alerts_check.rules import Document

FACTOR = 30
"""By this, 5 minutes are 10 s."""

SHORTEST_MS = 1_000
"""Nothing is looked at more often."""

UNSCRAPED = ("lavalink", "prometheus")
"""Jobs that no alert reads; the demo's audio node has no page of metrics."""

_UNITS_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_DURATION = re.compile(r"(\d+)(ms|s|m|h|d)")
_LOOKS_BACK = re.compile(r"(\[|\boffset )(\d+(?:ms|s|m|h|d))")


def duration(text: str, factor: int = FACTOR) -> str:
    """A duration of Prometheus', divided. One that is not 0 stays at least a second."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError(f"no simple duration: {text!r}")
    whole = int(match[1]) * _UNITS_MS[match[2]]
    return f"{max(whole // factor, SHORTEST_MS) if whole else 0}ms"


def rule_file(document: Document, factor: int = FACTOR) -> Document:
    """A file of rules, in which ranges, offsets and ``for`` are shorter."""
    short = deepcopy(document)
    for rule in rules.rules_in(short):
        rule["expr"] = _LOOKS_BACK.sub(lambda match: match[1] + duration(match[2], factor), rule["expr"])
        for key in ("for", "keep_firing_for"):
            if key in rule:
                rule[key] = duration(rule[key], factor)
    return short


def prometheus(document: Document, folder: Path, alertmanager: str, factor: int = FACTOR) -> Document:
    """Prometheus' settings: the targets of each job are in ``folder``, Alertmanager is at an address."""
    short = deepcopy(document)
    for key in ("scrape_interval", "evaluation_interval"):
        short["global"][key] = duration(short["global"][key], factor)
    short["rule_files"] = [str(folder / name) for name in document["rule_files"]]
    short["alerting"] = {"alertmanagers": [{"static_configs": [{"targets": [alertmanager]}]}]}
    short["scrape_configs"] = [
        {"job_name": job["job_name"], "file_sd_configs": [{"files": [str(folder / f"{job['job_name']}.json")]}]}
        for job in document["scrape_configs"]
        if job["job_name"] not in UNSCRAPED
    ]
    return short


def alertmanager(document: Document, receiver: str, factor: int = FACTOR) -> Document:
    """Alertmanager's settings: each receiver is a path of its name below the URL ``receiver``."""
    short = deepcopy(document)
    for route in (short["route"], *short["route"]["routes"]):
        for key in ("group_wait", "group_interval", "repeat_interval"):
            if key in route:
                route[key] = duration(route[key], factor)
    for each in short["receivers"]:
        each["webhook_configs"] = [{"url": f"{receiver}/{each['name']}"}]
    return short


def write(folder: Path, files: Mapping[str, Document]) -> None:
    """Write each as YAML."""
    for name, document in files.items():
        (folder / name).write_text(yaml.safe_dump(document, sort_keys=False, width=1_000))

"""What a dashboard is made of, as values: boards have rows, rows have panels, panels have queries and thresholds.

A board knows nothing of Grafana's JSON; :mod:`monitoring.grafana.render` makes that of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from monitoring.grafana.promql import Query

COLUMNS = 24
"""Width of Grafana's grid."""

GREEN, YELLOW, RED, BLUE = "green", "yellow", "red", "blue"

Steps = tuple[tuple[float | None, str], ...]
"""Thresholds: from which value on which colour; the first from minus infinity (``None``) on."""

NEUTRAL: Steps = ((None, BLUE),)
"""For a figure of which no value is bad in itself; its panel says so."""


def rising(warn: float, bad: float) -> Steps:
    """The more, the worse."""
    return (None, GREEN), (warn, YELLOW), (bad, RED)


def falling(good: float, warn: float) -> Steps:
    """The less, the worse: below ``good`` it is worth a look, below ``warn`` it is bad."""
    return (None, RED), (warn, YELLOW), (good, GREEN)


def at_least(good: float) -> Steps:
    """Below ``good`` it is bad."""
    return (None, RED), (good, GREEN)


def below(bad: float) -> Steps:
    """From ``bad`` on it is bad."""
    return (None, GREEN), (bad, RED)


class Kind(StrEnum):
    """How a panel shows its figures."""

    LINES = "lines"
    STACKED = "stacked"
    STAT = "stat"
    BARS = "bars"


class Unit(StrEnum):
    """Grafana's name of a unit."""

    COUNT = "short"
    SECONDS = "s"
    BYTES = "bytes"
    SHARE = "percentunit"
    PER_SECOND = "cps"
    REQUESTS = "reqps"


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One figure. ``id`` stays the same for good: links lead to it.

    ``about`` says what good looks like, ``alerts`` which alerts watch it: red is about where they fire. ``states`` are
    words for values, such as up for 1.
    """

    id: int
    title: str
    about: str
    unit: Unit
    queries: tuple[Query, ...]
    steps: Steps
    kind: Kind = Kind.LINES
    width: int = 8
    decimals: int | None = None
    states: tuple[tuple[int, str], ...] = ()
    alerts: tuple[str, ...] = ()

    @property
    def height(self) -> int:
        """In units of the grid."""
        return 5 if self.kind == Kind.STAT else 8


@dataclass(frozen=True)
class Row:
    """Panels that belong together, under a title."""

    id: int
    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True, kw_only=True)
class Board:
    """One dashboard. ``name`` is that of its file and, with a prefix, its uid. ``since`` is what it shows at first."""

    name: str
    title: str
    about: str
    rows: tuple[Row, ...]
    since: str = "now-3h"
    refresh: str = "30s"

"""docs/operations/dashboards.md: what each panel is for, under a picture of its data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from monitoring.grafana.board import Board

PAGE = Path(__file__).parents[2] / "docs/operations/dashboards.md"
PICTURES = PAGE.parent / "dashboards"

HEAD = """\
# Dashboards

<!-- Written by `make dashboards-check ARGS=--write-docs`; the words come from monitoring/grafana/. -->

Five dashboards for Grafana 11.6 and 12, made by code in [`monitoring/grafana/`](../../monitoring/grafana) with
Grafana's own SDK: `make dashboards` writes their JSON. Compose shows them in the folder *Tonearm* by itself.
Elsewhere: *Dashboards, New, Import*, one file of
[`monitoring/grafana/dashboards/`](../../monitoring/grafana/dashboards) at a time; the data source is chosen at the
top of each, and is a Prometheus that scrapes every process and records what the promises are counted by
([`prometheus.yml`](../../monitoring/prometheus/prometheus.yml) and the files that it names).

**Grafana could not be had where this was made: nobody has seen these dashboards in it.** What is known instead, by
`make dashboards-check`: Grafana's own models read and write each file unchanged; ids, grid, units, legends and
thresholds are in order; every metric and label is one that the code declares; and every query, but those for
what only Kubernetes knows of the backups, returns data from a real Prometheus that has scraped a Tonearm under load, in
which a voice node and an audio node were killed. The
pictures below are plots of that data, by Matplotlib. They are a **data preview, not Grafana**: the layout, figures,
units and thresholds are those of the panels, the looks are not. What stands still for want of a longer run, such as a
share over an hour, is of little meaning in them.
"""


def text(boards: Iterable[Board]) -> str:
    """The page."""
    return "\n".join((HEAD, *(line for board in boards for line in _section(board))))


def _section(board: Board) -> Iterator[str]:
    yield f"## {board.title.removeprefix('Tonearm: ').capitalize()}\n"
    yield f"{board.about} It opens with {_since(board.since)}, and is drawn anew every {_every(board.refresh)}.\n"
    yield f"![Data preview, not Grafana: {board.name}]({PICTURES.name}/{board.name}.png)\n"
    for row in board.rows:
        yield f"**{row.title}**\n"
        yield "| panel | what good looks like |"
        yield "|---|---|"
        for panel in row.panels:
            yield f"| {_cell(panel.title)} | {_cell(panel.about)}{_alerts(panel.alerts)} |"
        yield ""


def _alerts(names: Iterable[str]) -> str:
    links = ", ".join(f"[{name}](runbook.md#{name.lower()})" for name in names)
    return f" Alerts: {links}." if links else ""


def _cell(said: str) -> str:
    return said.replace("|", "\\|")


def _since(since: str) -> str:
    unit = {"h": "hours", "d": "days"}[since[-1]]
    return f"the last {since.removeprefix('now-')[:-1]} {unit}"


def _every(refresh: str) -> str:
    return {"30s": "30 seconds", "5m": "5 minutes"}[refresh]

"""What a part found: tables to print, lines to say, figures to keep, and whether the promise holds."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

RESULTS = "results.json"


@dataclass
class Row:
    """One line of a table; ``good`` colours it."""

    cells: Sequence[object]
    good: bool = True


@dataclass
class Sheet:
    """A table."""

    title: str
    columns: Sequence[str]
    rows: list[Row] = field(default_factory=list)

    def data(self) -> dict[str, Any]:
        """For the file."""
        rows = [
            {**dict(zip(self.columns, map(str, row.cells), strict=True)), **({} if row.good else {"missed": True})}
            for row in self.rows
        ]
        return {"title": self.title, "rows": rows}


@dataclass
class Result:
    """Of one part. ``missed`` says in sentences what was promised and is not so; empty is good."""

    part: str
    sheets: list[Sheet] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)

    @property
    def good(self) -> bool:
        """The promise was kept."""
        return not self.missed

    def write(self, folder: Path, **about: object) -> Path:
        """Keep it next to the logs."""
        path = folder / RESULTS
        told = {
            "part": self.part,
            "good": self.good,
            **about,
            "missed": self.missed,
            "notes": self.lines,
            "figures": self.figures,
            "tables": [sheet.data() for sheet in self.sheets],
        }
        path.write_text(json.dumps(told, indent=2, ensure_ascii=False, default=str) + "\n", encoding="utf-8")
        return path

    def show(self, console: Console, most: int = 12) -> None:
        """Print it, with so many of the sentences at most."""
        for sheet in self.sheets:
            table = Table(title=sheet.title, title_justify="left", title_style="bold")
            for number, column in enumerate(sheet.columns):
                table.add_column(column, justify="left" if number == 0 else "right", overflow="fold")
            for row in sheet.rows:
                style = "" if row.good else "red"
                table.add_row(*(Text(str(cell), style=style) for cell in row.cells))
            console.print(table)
        _say(console, self.lines, most, "")
        _say(console, self.missed, most, "red")
        verdict = (
            Text(f"{self.part}: kept.", style="green") if self.good else Text(f"{self.part}: MISSED.", style="red")
        )
        console.print(verdict)
        console.print()


def _say(console: Console, lines: Iterable[str], most: int, style: str) -> None:
    told = list(lines)
    for line in told[:most]:
        console.print(Text(line, style=style))
    if len(told) > most:
        console.print(Text(f"... and {len(told) - most} more; all are in {RESULTS}", style=style))

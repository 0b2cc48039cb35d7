"""Writes dashboards/*.json; with ``--check`` says which differ from the code instead, and exits 1 if any does."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from monitoring.grafana import business, overview, performance, render, services, voice

FOLDER = Path(__file__).parent / "dashboards"
BOARDS = (overview.BOARD, services.BOARD, business.BOARD, performance.BOARD, voice.BOARD)


def main(argv: list[str]) -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(prog="python -m monitoring.grafana", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing")
    if parser.parse_args(argv).check:
        stale = list(differing())
        for name in stale:
            print(f"{name} is not what the code says: make dashboards", file=sys.stderr)
        return 1 if stale else 0
    FOLDER.mkdir(exist_ok=True)
    for board in BOARDS:
        (FOLDER / f"{board.name}.json").write_text(render.text(board))
    return 0


def differing() -> Iterator[str]:
    """Files that are not as the code has them, missing ones and ones too many included."""
    made = {f"{board.name}.json": render.text(board) for board in BOARDS}
    found = {path.name: path.read_text() for path in FOLDER.glob("*.json")}
    yield from sorted(name for name in made.keys() | found.keys() if made.get(name) != found.get(name))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

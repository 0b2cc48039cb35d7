"""Checks the dashboards' files, loads a whole Tonearm, and asks a real Prometheus for every panel.

The exit code is 1 when anything is wrong, and 2 when there is no Prometheus to ask.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from monitoring.grafana.__main__ import BOARDS, FOLDER, differing
from tests.dashboards_check import asking, loaded, page, preview, prometheus, rules
from tests.dashboards_check.asking import Answer, Window
from tests.dashboards_check.rules import Json
from tonearm.errors import StartFailed

MORE_SECONDS = 60.0
"""How long the load goes on, after all that is rare has happened, for panels that have no data yet."""
DRAWN_SECONDS = 30.0
"""How long it goes on at least where pictures are made: what follows the last fault is to be seen."""


def main() -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.dashboards_check", description=__doc__)
    parser.add_argument(
        "--write-docs", action="store_true", help=f"write docs/operations/{page.PAGE.name} and its pictures"
    )
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep logs and data in DIR, which must not exist")
    options = parser.parse_args()
    boards = read()
    if options.write_docs:
        page.PAGE.write_text(page.text(BOARDS))
    wrong = judged(boards)
    for said in wrong:
        print(f"FAIL  {said}")
    if wrong:
        return 1
    print(
        f"ok    {len(boards)} dashboards, as the code has them; ids, grid, units, legends, thresholds, metrics' names"
    )
    if prometheus.available() is None:
        print("There is no Prometheus on the PATH, so no query was run. On Debian: apt install prometheus")
        return 2
    with tempfile.TemporaryDirectory(prefix="tonearm-") as made:
        return asyncio.run(live(boards, options.keep or Path(made), write=options.write_docs))


def read() -> dict[str, Json]:
    """The files as Grafana reads them, in the order of the code."""
    return {board.name: json.loads((FOLDER / f"{board.name}.json").read_text()) for board in BOARDS}


def judged(boards: Mapping[str, Json]) -> list[str]:
    """What is wrong with the files."""
    found = [f"{name} is not what the code says: make dashboards" for name in differing()]
    found += [said for name, board in boards.items() for said in rules.problems(name, board)]
    found += rules.problems_together(dict(boards))
    if not page.PAGE.exists() or page.PAGE.read_text() != page.text(BOARDS):
        found.append(
            f"docs/operations/{page.PAGE.name} is not what the code says: make dashboards-check ARGS=--write-docs"
        )
    return found


async def live(boards: Mapping[str, Json], folder: Path, *, write: bool) -> int:
    """Load a system, ask for every panel, and tell; the exit code."""
    begun = time.monotonic()

    def say(what: str) -> None:
        print(f"{time.monotonic() - begun:5.0f} s  {what}", flush=True)

    try:
        async with (
            prometheus.running(folder / "prometheus") as store,
            loaded.running(folder / "system", store) as system,
        ):
            await store.until("count(up == 1) >= 5", time.time, 60, "each process")
            start = time.time()
            say("all processes are up and scraped")

            async def enough() -> bool:
                window = Window(start, time.time())
                return not any([asking.missing(await asking.ask(store, board, window)) for board in boards.values()])

            load = loaded.Load(system, store, say)
            await load.run(enough, MORE_SECONDS, at_least=DRAWN_SECONDS if write else 0)
            window = Window(start, time.time())
            answers = {name: await asking.ask(store, board, window) for name, board in boards.items()}
    except (StartFailed, TimeoutError) as error:
        print(error)
        return 1
    say("all is ended")
    for said in load.unseen:
        print(f"FAIL  {said}")
    if write:
        draw(boards, answers, window)
    return told(boards, answers) or int(bool(load.unseen))


def draw(boards: Mapping[str, Json], answers: Mapping[str, list[Answer]], window: Window) -> None:
    """Write the page's pictures."""
    page.PICTURES.mkdir(exist_ok=True)
    for name, board in boards.items():
        preview.draw(board, answers[name], window, page.PICTURES / f"{name}.png")


def told(boards: Mapping[str, Json], answers: Mapping[str, list[Answer]]) -> int:
    """Print a line for each dashboard; the exit code."""
    lacking = 0
    for name, board in boards.items():
        whole, good = asking.count(board, answers[name])
        lacking += whole - good
        print(f"{'ok  ' if whole == good else 'FAIL'}  {name:<12} {good} of {whole} panels returned data")
        for said in asking.missing(answers[name]):
            print(f"      {said}")
    return 1 if lacking else 0


if __name__ == "__main__":
    sys.exit(main())

"""The rows of the table: each does something to the system, and says how that went."""

from __future__ import annotations

import time
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tests.chaos.report import Result, Row, Sheet
from tests.cluster.load import Audience
from tests.cluster.system import System
from tonearm.child_logs import Log


class Failed(Exception):
    """What a row looked for is not so."""


class NotRun(Exception):
    """This cluster can't show it; why."""


@dataclass
class Stage:
    """What every row has before it."""

    system: System
    audience: Audience
    cold_starts: int


Scene = Callable[[Stage], Awaitable[str]]
"""Returns what is to be said; raises where it is not as it should be."""


class Table:
    """Runs the rows, one after the other, and keeps what they say."""

    def __init__(self, log: Log) -> None:
        self.result = Result("cluster")
        self._sheet = Sheet("On a real Kubernetes with Knative", ("row", "", "s", "what was seen"))
        self.result.sheets.append(self._sheet)
        self._log = log
        self.not_run: list[str] = []

    async def run(self, name: str, scene: Scene, stage: Stage) -> None:
        """One row; whatever is raised is what was wrong with it."""
        began = time.monotonic()
        verdict = "passed"
        try:
            said = await scene(stage)
        except NotRun as why:
            verdict, said = "not run", str(why)
            self.not_run.append(name)
        except Exception as error:
            verdict, said = "FAILED", str(error) or type(error).__name__
            self._log("rows", f"{name}\n{''.join(traceback.format_exception(error))}")
        took = time.monotonic() - began
        good = verdict != "FAILED"
        self._sheet.rows.append(Row((name, verdict, f"{took:.0f}", said[:600]), good))
        if not good:
            self.result.missed.append(f"{name}: {said[:1500]}")
        print(f"{verdict:<8}{took:5.0f} s  {name}: {said[:300]}", flush=True)

    def __str__(self) -> str:
        rows = self._sheet.rows
        passed = len(rows) - len(self.result.missed) - len(self.not_run)
        not_run = f"; not run here: {', '.join(self.not_run)}" if self.not_run else ""
        return f"{passed} of {len(rows)} rows passed{not_run}."

"""``python -m tests.alerts_check [--long]``: whether each alert fires when it should; 0 when each does.

First promtool and amtool judge the files and promtool runs the cases. Then a real Prometheus and Alertmanager watch a
whole Tonearm while it comes to harm, with copies of our rules in which time runs 30 times as fast.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tests.alerts_check import live, programs, rules
from tests.alerts_check.faults import LONG, SHORT, Fault
from tests.alerts_check.live import Outcome
from tonearm.child_logs import LogFolder
from tonearm.errors import StartFailed

Check = tuple[str, bool, str]


def main() -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.alerts_check", description=__doc__)
    parser.add_argument("--long", action="store_true", help="all faults, not only those of the short form")
    parser.add_argument("--without-faults", action="store_true", help="only what promtool and amtool can tell")
    parser.add_argument("--dir", type=Path, default=Path("var/alerts"), help="where logs and generated files go")
    asked = parser.parse_args()
    begun = time.monotonic()
    folder: Path = asked.dir / "live"  # what else may be in --dir is not ours to remove

    def say(what: str) -> None:
        print(f"{time.monotonic() - begun:6.1f} s  {what}", flush=True)

    try:
        programs.prometheus(), programs.alertmanager()
        judged = [_told(*check) for check in (*files(), *untested())]
        outcomes: list[Outcome] = []
        if all(judged) and not asked.without_faults:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            with LogFolder(folder / "logs") as log:
                rounds = LONG if asked.long else SHORT
                outcomes = asyncio.run(_interruptible(folder.absolute(), rounds, log, say))
    except (programs.ProgramMissing, StartFailed, TimeoutError) as error:
        print(f"FAIL  {error}")
        return 1
    for line in table(outcomes):
        print(line)
    print(f"The machine's load was {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores; logs are in {folder}/logs.")
    return 0 if all(judged) and not any(outcome.problem for outcome in outcomes) else 1


def files() -> Sequence[Check]:
    """What the programs say of the files."""
    found: list[Check] = []
    calls: tuple[tuple[str | Path, ...], ...] = (
        ("promtool", "check", "config", rules.PROMETHEUS),
        ("promtool", "check", "rules", rules.RECORDING, rules.ALERTS),
        ("amtool", "check-config", rules.ALERTMANAGER),
        ("promtool", "test", "rules", *sorted(rules.CASES.glob("*.yml"))),
    )
    for program, *words in calls:
        good, said = programs.judge(str(program), *words)
        found.append((" ".join(str(word) for word in (program, *words) if isinstance(word, str)), good, said))
    return found


def untested() -> list[Check]:
    """Alerts that lack a case."""
    cases = rules.cases()
    return [
        (f"cases of {alert.name}", False, "there is none in which it fires, or none in which it is silent")
        for alert in rules.alerts()
        if not cases.firing[alert.name] or not cases.silent[alert.name]
    ]


def table(outcomes: Sequence[Outcome]) -> list[str]:
    """Each alert with how it fired."""
    cases = rules.cases()
    seen = {outcome.alert: _live(outcome) for outcome in outcomes}
    for outcome in outcomes:
        for name in outcome.fault.held_back if not outcome.problem else ():
            seen.setdefault(name, f"held back beside {outcome.alert}")
    lines = [f"\n{'alert':<26} {'severity':<9} {'unit':<19} live"]
    for alert in rules.alerts():
        unit = f"{cases.firing[alert.name]} fire, {cases.silent[alert.name]} silent"
        lines.append(f"{alert.name:<26} {alert.severity:<9} {unit:<19} {seen.get(alert.name, '')}".rstrip())
    return lines


def _live(outcome: Outcome) -> str:
    if outcome.problem:
        return f"FAILED: {outcome.problem} ({outcome.fault.what})"
    return f"fired after {outcome.fired:.0f} s, over after {outcome.resolved:.0f} s ({outcome.fault.what})"


def _told(what: str, good: bool, said: str) -> bool:
    print(f"{'ok   ' if good else 'FAIL '} {what}" + (f": {said}" if said and not good else ""), flush=True)
    return good


async def _interruptible(
    folder: Path, rounds: Sequence[Sequence[Fault]], log: LogFolder, say: live.Say
) -> list[Outcome]:
    """SIGTERM ends it as Ctrl-C does: in order."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await live.run(folder, rounds, log, say)


if __name__ == "__main__":
    sys.exit(main())

"""``python -m tests.chaos [--part jobs] [--long] [--seed N]``: run the parts; 0 when every promise held."""

from __future__ import annotations

import argparse
import asyncio
import random
import shutil
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from tests.chaos import part_failover, part_handover, part_jobs, part_sentences
from tests.chaos.part import Part, Run
from tests.chaos.report import Result
from tonearm.child_logs import LogFolder

PARTS: dict[str, Part] = {
    "handover": part_handover.run,
    "failover": part_failover.run,
    "sentences": part_sentences.run,
    "jobs": part_jobs.run,
}


def main(argv: Sequence[str], parts: dict[str, Part] = PARTS) -> int:
    """Run what is asked for; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--part", choices=list(parts), action="append", help="only this one; may be given again")
    parser.add_argument("--long", action="store_true", help="10,000 jobs, 20 faults of each kind")
    parser.add_argument("--seed", type=int, help="what is random comes from it (default: another one each time)")
    parser.add_argument("--dir", type=Path, default=Path("var/chaos"), help="where logs and results go")
    parser.add_argument("--without-faults", action="store_true", help="part jobs: nothing is broken")
    asked = parser.parse_args(argv)
    seed = random.SystemRandom().randrange(1 << 31) if asked.seed is None else asked.seed
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 140)
    console.print(f"seed {seed}, commit {_commit()}, {'long' if asked.long else 'short'} form")
    good = True
    for name in asked.part or parts:
        folder = asked.dir / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        begun = time.monotonic()
        with LogFolder(folder / "logs") as log:
            run = Run(seed, asked.long, folder, asked.dir / "tones", log, faults=not asked.without_faults)
            try:
                result = asyncio.run(_interruptible(parts[name], run))
            except Exception as error:  # the other parts are still to come
                log("chaos", "".join(traceback.format_exception(error)))
                result = Result(name, missed=[f"it broke off, see logs/chaos.log: {error!r}"])
        took = time.monotonic() - begun
        result.write(folder, seed=seed, commit=_commit(), long=asked.long, took_seconds=round(took, 1))
        result.show(console)
        console.print(f"   {took:.0f} s; logs and figures in {folder}\n")
        good = good and result.good
    console.print(f"[green]All promises held[/green] (seed {seed})." if good else f"[red]Missed[/red] (seed {seed}).")
    return 0 if good else 1


async def _interruptible(part: Part, run: Run) -> Result:
    """SIGTERM ends it as Ctrl-C does: in order."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await part(run)


def _commit() -> str:
    try:
        answer = subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True, timeout=10
        )
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return answer.stdout.strip()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

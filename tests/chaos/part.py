"""What every part is told."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from tests.chaos.report import Result
from tonearm.child_logs import Log


@dataclass(frozen=True)
class Run:
    """One run of a part: ``folder`` is its own, ``tones`` is kept for the next."""

    seed: int
    long: bool
    folder: Path
    tones: Path
    log: Log
    faults: bool = True


Part = Callable[[Run], Awaitable[Result]]

"""What came of a run of jobs and faults, before anybody judges it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.chaos.checker import Sent, Verdict
from tests.chaos.faults import Struck
from tests.chaos.plan import Kind
from tests.chaos.report import Sheet


@dataclass
class Watch:
    """What one fault did to the listeners and jobs until the next one began."""

    kind: str
    begun_ms: int
    lost_before: int
    lost: int = 0


@dataclass
class Outcome:
    """Everything that came of a run."""

    verdict: Verdict
    sent: list[Sent]
    planned: Mapping[Kind, int]
    """How often each fault was to be made."""
    struck: list[Struck]
    watches: list[Watch]
    sent_ms: dict[str, int]
    done_ms: dict[str, int]
    notes: list[str]
    missed: list[str]
    books: Sheet | None = None
    void: list[str] = field(default_factory=list)
    stalls: list[tuple[float, float]] = field(default_factory=list)
    """When the machine stood still for long, from and to (monotonic, s)."""

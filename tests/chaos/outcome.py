"""What came of a run of jobs and faults, before anybody judges it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

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


class Happened(NamedTuple):
    """What befell a guild though nobody asked for it; ``at`` is monotonic (s), ``room`` the guild's name."""

    what: str
    room: str
    id: str
    at: float


LEAST_DONE, LONG_LEAST_DONE = 0.33, 0.5
"""The share of jobs that must be done, beside those that were refused honestly. In the short form a fault comes each
second, and most of what is refused waits for two processes that died one after the other."""


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
    happened: list[Happened] = field(default_factory=list)
    least_done: float = LEAST_DONE
    stalls: list[tuple[float, float]] = field(default_factory=list)
    """When the machine stood still for long, from and to (monotonic, s)."""

"""What a check of ``tonearm doctor`` says: its name, a verdict, what was found, and what mends it."""

from __future__ import annotations

from enum import StrEnum

import msgspec

TIMEOUT = 5.0
"""Seconds that one check may wait for what it looks at."""


class Verdict(StrEnum):
    """How bad it is. Only an error makes the exit code 1."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


MARKS = {Verdict.OK: "ok", Verdict.WARNING: " ?", Verdict.ERROR: "!!"}


class Finding(msgspec.Struct, frozen=True):
    """What one check found. ``remedy`` is a sentence where something is wrong; ``minor``: it is no error."""

    what: str
    found: str
    remedy: str = ""
    minor: bool = False

    @property
    def verdict(self) -> Verdict:
        """How bad it is."""
        if not self.remedy:
            return Verdict.OK
        return Verdict.WARNING if self.minor else Verdict.ERROR

    def __str__(self) -> str:
        """A line for people, and one more with the remedy."""
        said = f"{MARKS[self.verdict]}  {self.what}: {self.found}"
        return f"{said}\n    {self.remedy}" if self.remedy else said

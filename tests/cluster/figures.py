"""What measurements mean; no I/O."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from playground.twin.voice.counting import Report

DISCORD_WAITS_MS = 3_000.0
"""After so long Discord shows "The application did not respond"."""


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share (0 to 1) of all do not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


@dataclass
class ColdStarts:
    """Signed POSTs to nothing at all: ms until the whole answer, None for one that had none."""

    times: list[float | None] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    """What was said instead of an answer."""

    @property
    def answered(self) -> list[float]:
        """Those that had an answer, in ms."""
        return [each for each in self.times if each is not None]

    @property
    def share_lost(self) -> float:
        """The share of first clicks that Discord gave up (0 to 1)."""
        lost = sum(each is None or each > DISCORD_WAITS_MS for each in self.times)
        return lost / len(self.times) if self.times else 1.0

    def __str__(self) -> str:
        if not self.answered:
            return f"{len(self.times)} times, never answered"
        p50, p95 = (percentile(self.answered, share) / 1000 for share in (0.5, 0.95))
        longest = max(self.answered) / 1000
        return (
            f"{len(self.times)} times: p50 {p50:.2f} s, p95 {p95:.2f} s, longest {longest:.2f} s; "
            f"{self.share_lost:.0%} over {DISCORD_WAITS_MS / 1000:g} s"
        )


@dataclass
class Heard:
    """What all ears heard while something happened."""

    packets: int = 0
    lost: int = 0
    drops: int = 0
    broken: int = 0
    """Ears of which the stream began anew, stepped wrongly, or stopped; late packets are not among it."""
    silent: int = 0
    """Ears that heard nothing, or silence at the end."""
    largest_gap_ms: float = 0.0
    late: int = 0
    holes: list[str] = field(default_factory=list)
    """What was wrong with each broken one."""

    def add(self, report: Report) -> None:
        """One ear."""
        self.packets += report.packets
        self.lost += report.lost
        self.drops = max(self.drops, report.socket_drops)
        counts = ("restarts", "step_errors", "breaks", "silence_runs")
        if wrong := [f"{getattr(report, each)} {each}" for each in counts if getattr(report, each)]:
            self.broken += 1
            self.holes.append(" ".join(wrong))
        self.silent += report.packets == 0 or report.trailing_silence > SILENCE
        self.largest_gap_ms = max(self.largest_gap_ms, report.largest_gap_ms)
        self.late += report.late_gaps

    @property
    def unbroken(self) -> bool:
        """Nothing was lost, and the music went on. How late a packet came is the machine's affair, and is told."""
        return not (self.lost or self.drops or self.broken or self.silent) and self.packets > 0

    def __str__(self) -> str:
        said = f"{self.packets} packets, {self.lost} lost, largest gap {self.largest_gap_ms:.0f} ms"
        if self.broken or self.silent:
            said += f", {self.broken} streams with a hole ({'; '.join(self.holes)}), {self.silent} silent"
        if self.drops:
            said += f"; the ear's own kernel dropped {self.drops}, so the row is void"
        return said


SILENCE = 10
"""Frames of silence at the end that are more than a pause between two frames of a tone."""


@dataclass
class Clicks:
    """What became of people's commands."""

    used: int = 0
    failed: list[str] = field(default_factory=list)
    slowest_ms: float = 0.0
    """To the first answer."""

    def __str__(self) -> str:
        said = f"{self.used} commands, {len(self.failed)} failed, slowest first answer {self.slowest_ms:.0f} ms"
        return said + (f" ({'; '.join(dict.fromkeys(self.failed))})"[:400] if self.failed else "")


def running_problems(pods: Sequence[dict[str, object]]) -> list[str]:
    """Pods that neither run, ready, nor ended well, as the API server tells of them."""
    return [said for pod in pods if (said := _problem(pod)) is not None]


def _problem(pod: dict[str, object]) -> str | None:
    status, metadata = pod["status"], pod["metadata"]
    assert isinstance(status, dict)
    assert isinstance(metadata, dict)
    name, phase = metadata["name"], status.get("phase")
    if phase == "Succeeded":
        return None
    if phase != "Running":
        return f"{name} is {phase}"
    if not all(each.get("ready") for each in status.get("containerStatuses", ())):
        return f"{name} is not ready"
    return None


def restarts(pods: Sequence[dict[str, object]]) -> int:
    """How often a container began again."""
    found = 0
    for pod in pods:
        status = pod["status"]
        assert isinstance(status, dict)
        found += sum(int(each["restartCount"]) for each in status.get("containerStatuses", ()))
    return found


def readings(autoscalers: Sequence[dict[str, object]]) -> dict[str, int | None]:
    """The CPU that each autoscaler reads, in % of what is requested; None: it has no reading."""
    found: dict[str, int | None] = {}
    for each in autoscalers:
        metadata, status = each["metadata"], each.get("status", {})
        assert isinstance(metadata, dict)
        assert isinstance(status, dict)
        values = [
            metric.get("resource", {}).get("current", {}).get("averageUtilization")
            for metric in status.get("currentMetrics") or ()
        ]
        found[str(metadata["name"])] = next((value for value in values if value is not None), None)
    return found

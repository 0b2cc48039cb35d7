"""Metrics as log lines (Amazon CloudWatch, *Embedded metric format specification*), for functions on AWS Lambda.

Nobody can scrape a process that is frozen between requests, so each invocation writes what it counted to standard
output, where CloudWatch finds it. The classes are called as those of prometheus_client are, as far as we do.

Each combination of dimensions is a metric of its own, and paid for: so a label that tells *what* was asked is a field
of the line, to be searched for (CloudWatch Logs Insights), and one that tells *how it went* is a dimension.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, TextIO

import msgspec

NAMESPACE = "Tonearm"

ONLY_FIELDS = frozenset(("command", "operation", "kind", "round"))
"""Labels that are no dimensions."""

MOST_VALUES = 100
"""Values of one metric that a line may have."""

_Labels = tuple[tuple[str, str], ...]


class _Metric:
    """``buckets`` and ``multiprocess_mode`` are for others: CloudWatch makes its own percentiles of the values."""

    unit = "Count"

    def __init__(
        self,
        name: str,
        documentation: str,
        labelnames: Sequence[str] = (),
        *,
        buckets: Sequence[float] = (),
        multiprocess_mode: str = "",
        labels: _Labels = (),
    ) -> None:
        self._name = name
        self._labelnames = labelnames
        self._labels = labels

    def labels(self, *values: str) -> Any:
        """The one of these with these values, in the order of their names."""
        return type(self)(self._name, "", labels=tuple(zip(self._labelnames, values, strict=True)))

    def _values(self) -> list[float]:
        return _written_next.setdefault((self._name, self.unit, self._labels), [])


class Counter(_Metric):
    """Counts up."""

    def inc(self, amount: float = 1) -> None:
        """Count ``amount`` more."""
        values = self._values()
        values[:] = [sum(values) + amount]


class Gauge(_Metric):
    """Goes up and down; a line has its last value."""

    unit = "None"

    def set(self, value: float) -> None:
        """It is ``value`` now."""
        self._values()[:] = [value]

    def inc(self, amount: float = 1) -> None:
        """It is ``amount`` more than at the last line."""
        self.set(sum(self._values()) + amount)

    def dec(self, amount: float = 1) -> None:
        """It is ``amount`` less than at the last line."""
        self.inc(-amount)


class Histogram(_Metric):
    """Single values, in seconds."""

    unit = "Seconds"

    def observe(self, amount: float) -> None:
        """One more value."""
        values = self._values()
        if len(values) < MOST_VALUES:
            values.append(amount)


_written_next: dict[tuple[str, str, _Labels], list[float]] = {}


def write(out: TextIO, *, now_ms: int | None = None) -> None:
    """Write what was counted since the last time: a line for each set of labels, at ``now_ms`` since 1970."""
    by_labels: dict[_Labels, dict[str, tuple[str, list[float]]]] = {}
    for (name, unit, labels), values in _written_next.items():
        by_labels.setdefault(labels, {})[name] = unit, values
    _written_next.clear()
    for labels, metrics in by_labels.items():
        line = {
            "_aws": {
                "Timestamp": int(time.time() * 1000) if now_ms is None else now_ms,
                "CloudWatchMetrics": [
                    {
                        "Namespace": NAMESPACE,
                        "Dimensions": [[label for label, _ in labels if label not in ONLY_FIELDS]],
                        "Metrics": [{"Name": name, "Unit": unit} for name, (unit, _) in metrics.items()],
                    }
                ],
            },
            **dict(labels),
            **{name: values[0] if len(values) == 1 else values for name, (_, values) in metrics.items()},
        }
        out.write(msgspec.json.encode(line).decode() + "\n")
    out.flush()

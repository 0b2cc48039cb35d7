"""Labels that would grow without end: ids, tokens, what people typed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from prometheus_client import Metric

MOST_VALUES = 90
"""Of one label of one metric. The commands and the API's operations are the most, and are fewer."""

ENDLESS = re.compile(r"\d{10,}|[0-9a-f]{16,}|[A-Za-z0-9_-]{24,}\.|https?://|\s{2,}|\n", re.IGNORECASE)
"""An id of Discord's, a hash, a token, an address, a text of people's."""


def unbounded(metrics: Iterable[Metric]) -> Iterator[str]:
    """The labels of our metrics that have too many values, or one that there could be endlessly many of."""
    for metric in metrics:
        if not metric.name.startswith("tonearm_"):
            continue
        values: dict[str, set[str]] = {}
        for sample in metric.samples:
            for label, value in sample.labels.items():
                values.setdefault(label, set()).add(value)
        for label, found in values.items():
            if len(found) > MOST_VALUES:
                yield f"{metric.name} has {len(found)} values of {label}"
            yield from (f"{metric.name}: {label} is {value!r}" for value in found if ENDLESS.search(value))

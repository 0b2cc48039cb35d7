"""What this process counts, as a scrape would see it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import REGISTRY


def value(name: str, **labels: str) -> float:
    """The value of a sample; 0 where there is none."""
    return REGISTRY.get_sample_value(name, labels) or 0.0


@contextmanager
def counts(name: str, by: float = 1, **labels: str) -> Iterator[None]:
    """Within it, a counter, or the ``_count`` of a histogram, has to grow ``by`` so much."""
    before = value(name, **labels)
    yield
    grown = value(name, **labels) - before
    assert grown == by, f"{name}{labels or ''} grew by {grown:g}, not by {by:g}"

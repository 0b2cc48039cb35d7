"""How a metric is declared: what it is called, what it means, and which processes have it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

ON_LAMBDA = "AWS_LAMBDA_FUNCTION_NAME" in os.environ
"""Whether this process is a function on AWS Lambda, which says so to all of them."""

if TYPE_CHECKING or not ON_LAMBDA:
    from prometheus_client import Counter, Gauge, Histogram
else:
    from tonearm.aws.emf import Counter, Gauge, Histogram

PROCESSES = ("interactions", "api", "voice-node", "worker")
"""All that can expose a metric, by the name of their command."""


class Declared(NamedTuple):
    """What is known of a metric without any value. ``processes`` are those that expose it; ``buckets`` are upper
    bounds."""

    name: str
    kind: str
    help: str
    labels: tuple[str, ...]
    processes: tuple[str, ...]
    buckets: tuple[float, ...] = ()


CATALOGUE: dict[str, Declared] = {}
"""All metrics by name, in the order of their declarations."""


def counter(name: str, help: str, *labels: str, of: tuple[str, ...]) -> Counter:
    """Something that is counted by the processes ``of``; its name ends in ``_total``."""
    CATALOGUE[name] = Declared(name, "counter", help, labels, of)
    return Counter(name, help, labels)


def gauge(name: str, help: str, *labels: str, of: tuple[str, ...]) -> Gauge:
    """Something that the processes ``of`` see go up and down. Where one is several (``--workers``), the highest
    counts."""
    CATALOGUE[name] = Declared(name, "gauge", help, labels, of)
    return Gauge(name, help, labels, multiprocess_mode="livemax")


def histogram(name: str, help: str, *labels: str, of: tuple[str, ...], buckets: tuple[float, ...]) -> Histogram:
    """How long something took, as the processes ``of`` saw it; ``buckets`` are upper bounds in the unit of its name."""
    CATALOGUE[name] = Declared(name, "histogram", help, labels, of, buckets)
    return Histogram(name, help, labels, buckets=buckets)

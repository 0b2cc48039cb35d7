"""The few forms of PromQL that the panels use.

Gauges of the workers' ``watch`` round are the same in each worker: their panels take ``max``. Counters and histograms
are each process' own: their panels take ``sum``. The variables in dollars are Grafana's.
"""

from __future__ import annotations

from dataclasses import dataclass

RATE = "$__rate_interval"
"""A window of at least four scrapes."""
SHOWN = "$__range"
"""The time that the dashboard shows."""

ANSWERED, AUDIBLE = 0.999, 0.995
"""The two promises: shares of answers within 3 s, and of /play that are heard within 5 s."""

UP = ((0, "down"), (1, "up"))


@dataclass(frozen=True)
class Query:
    """One expression, and the name of each of its series; ``{{label}}`` stands for a label's value."""

    expr: str
    legend: str


def _by(labels: tuple[str, ...]) -> str:
    return f" by ({', '.join(labels)})" if labels else ""


def _selected(metric: str, where: str) -> str:
    return f"{metric}{{{where}}}" if where else metric


def rate(metric: str, *by: str, where: str = "", window: str = RATE) -> str:
    """A counter's increase a second, over all processes."""
    return f"sum{_by(by)} (rate({_selected(metric, where)}[{window}]))"


def increase(metric: str, *by: str, where: str = "", window: str = SHOWN) -> str:
    """A counter's increase in a window, over all processes."""
    return f"sum{_by(by)} (increase({_selected(metric, where)}[{window}]))"


def quantile(share: float, histogram: str, *by: str, window: str = RATE) -> str:
    """What a share of all observations stays below, over all processes."""
    return f"histogram_quantile({share:g}, {rate(f'{histogram}_bucket', 'le', *by, window=window)})"


def kept(promise: str, window: str) -> str:
    """The share for which a promise was kept, as monitoring/prometheus/recording.yml counts it for the alerts."""
    return f"1 - tonearm:{promise}_bad:ratio{window}"


def burn(promise: str, objective: float, window: str) -> str:
    """How many times as fast as it may be the budget of errors is used up; 1 uses up all of it, and no more."""
    return f"tonearm:{promise}_bad:ratio{window} / (1 - {objective:g})"


def watched(metric: str, *by: str, where: str = "") -> str:
    """A gauge that every worker has."""
    return f"max{_by(by)} ({_selected(metric, where)})"


def total(gauge: str, *by: str, where: str = "") -> str:
    """A gauge of which every process has its part."""
    return f"sum{_by(by)} ({_selected(gauge, where)})"


def quantiles(histogram: str, *shares: float) -> tuple[Query, ...]:
    """Several of them, as lines of one panel."""
    return tuple(Query(quantile(share, histogram), f"p{100 * share:g}") for share in shares)

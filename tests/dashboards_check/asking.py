"""Every panel's queries, asked of a Prometheus as Grafana would ask them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx

from tests.dashboards_check.prometheus import SCRAPE_SECONDS, Prometheus, Series
from tests.dashboards_check.rules import Json, askable, panels

STEP = 2 * SCRAPE_SECONDS
AT_ONCE = 8


@dataclass(frozen=True)
class Window:
    """What the dashboard shows: from ``start`` to ``end``, in seconds since 1970."""

    start: float
    end: float

    def filled_in(self, expr: str) -> str:
        """An expression with Grafana's variables replaced: the rate's interval is wide enough for a smooth line."""
        return expr.replace("$__rate_interval", f"{10 * SCRAPE_SECONDS}s").replace(
            "$__range", f"{max(1, round(self.end - self.start))}s"
        )


@dataclass(frozen=True)
class Answer:
    """What one query of a panel returned; ``problem`` is what Prometheus says of one that is none."""

    panel: Json
    target: Json
    series: tuple[Series, ...]
    problem: str = ""

    @property
    def data(self) -> bool:
        """There is at least one finite value."""
        return bool(self.series)


async def ask(prometheus: Prometheus, board: Json, window: Window) -> list[Answer]:
    """All queries of a dashboard, in order."""
    hands = asyncio.Semaphore(AT_ONCE)

    async def one(panel: Json, target: Json) -> Answer:
        async with hands:
            expr = window.filled_in(target["expr"])
            try:
                if target.get("instant"):
                    found = await prometheus.at(expr, window.end)
                else:
                    found = await prometheus.over(expr, window.start, window.end, STEP)
            except httpx.HTTPStatusError as error:
                return Answer(panel, target, (), str(error))
            return Answer(panel, target, tuple(found))

    return list(await asyncio.gather(*(one(panel, target) for panel, target in _queries(board))))


def _queries(board: Json) -> Iterator[tuple[Json, Json]]:
    for panel in panels(board):
        for target in panel["targets"]:
            yield panel, target


def missing(answers: list[Answer]) -> list[str]:
    """A sentence for each query that returned nothing, where it could return anything."""
    return [
        f"panel {each.panel['id']} ({each.panel['title']}), {each.target['refId']}: "
        f"{each.problem or 'no data'}: {each.target['expr']}"
        for each in answers
        if each.problem or (not each.data and askable(each.target["expr"]))
    ]


def count(board: Json, answers: list[Answer]) -> tuple[int, int]:
    """How many panels a dashboard has that can have data here, and how many have it from all of their queries."""
    lacking: set[Any] = {each.panel["id"] for each in answers if not each.data}
    whole = [each for each in panels(board) if all(askable(target["expr"]) for target in each["targets"])]
    return len(whole), sum(panel["id"] not in lacking for panel in whole)

"""A Prometheus on this machine: Debian's package ``prometheus``, or any other that is on the PATH."""

from __future__ import annotations

import asyncio
import json
import math
import shutil
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from playground.system import free_port
from tests.dashboards_check.rules import RECORDING
from tonearm.child import spawn
from tonearm.errors import StartFailed

SCRAPE_SECONDS = 1
READY_SECONDS = 30.0
QUERY_SECONDS = 20.0
AGAIN = 0.25
"""Seconds between two looks at something that tells nothing by itself."""

Labels = Mapping[str, str]


@dataclass(frozen=True)
class Series:
    """What a query returned for one set of labels: times (s since 1970) and values, the finite ones alone."""

    labels: Labels
    times: tuple[float, ...]
    values: tuple[float, ...]


@dataclass
class Targets:
    """Who is scraped: the addresses of each job, in a file that Prometheus watches."""

    file: Path
    addresses: dict[str, dict[str, str]] = field(default_factory=dict)

    def set(self, job: str, name: str, url: str) -> None:
        """A process of that name answers there, from now on."""
        self.addresses.setdefault(job, {})[name] = url.partition("://")[2]
        groups = [
            {"targets": sorted(names.values()), "labels": {"job": job}} for job, names in sorted(self.addresses.items())
        ]
        new = self.file.with_suffix(".new")
        new.write_text(json.dumps(groups))
        new.rename(self.file)


class Prometheus:
    """Asks a running one."""

    def __init__(self, http: httpx.AsyncClient, targets: Targets) -> None:
        self._http = http
        self.targets = targets

    async def at(self, expr: str, time: float) -> list[Series]:
        """What a query returns at a moment.

        Raises:
            httpx.HTTPStatusError: it is no query.
        """
        found = await self._ask("query", query=expr, time=time)
        return _series((each["metric"], [each["value"]]) for each in found)

    async def over(self, expr: str, start: float, end: float, step: float) -> list[Series]:
        """What a query returns from ``start`` to ``end``, each ``step`` seconds.

        Raises:
            httpx.HTTPStatusError: it is no query.
        """
        found = await self._ask("query_range", query=expr, start=start, end=end, step=step)
        return _series((each["metric"], each["values"]) for each in found)

    async def until(self, expr: str, now: Callable[[], float], within: float, why: str) -> None:
        """Wait until a query returns anything.

        Raises:
            TimeoutError: it did not; ``why`` says what was waited for.
        """
        try:
            async with asyncio.timeout(within):
                while not await self.at(expr, now()):  # noqa: ASYNC110 - Prometheus tells nobody of a new sample
                    await asyncio.sleep(AGAIN)
        except TimeoutError:
            raise TimeoutError(f"{why} was not seen within {within:g} s: {expr}") from None

    async def _ask(self, path: str, **parameters: str | float) -> list[dict[str, Any]]:
        response = await self._http.post(f"/api/v1/{path}", data={k: str(v) for k, v in parameters.items()})
        if response.status_code == 400:
            raise httpx.HTTPStatusError(response.json()["error"], request=response.request, response=response)
        response.raise_for_status()
        result: list[dict[str, Any]] = response.json()["data"]["result"]
        return result


def _series(found: Iterable[tuple[Labels, Sequence[tuple[float, str]]]]) -> list[Series]:
    made = []
    for labels, samples in found:
        pairs = [(float(time), float(value)) for time, value in samples]
        kept = [(time, value) for time, value in pairs if math.isfinite(value)]
        if kept:
            made.append(Series(labels, tuple(time for time, _ in kept), tuple(value for _, value in kept)))
    return made


def available() -> str | None:
    """Where Prometheus is, if it is on this machine."""
    return shutil.which("prometheus")


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[Prometheus]:
    """A Prometheus that keeps what it scrapes in ``folder``, and ends with the context.

    Raises:
        StartFailed: it is not there, or does not start.
    """
    program = available()
    if program is None:
        raise StartFailed("There is no Prometheus on the PATH. On Debian: apt install prometheus")
    targets = Targets(folder / "targets.json")
    _write_settings(folder / "prometheus.yml", targets.file)
    url = f"http://127.0.0.1:{free_port()}"
    said: deque[str] = deque(maxlen=12)
    child = await spawn(
        (
            program,
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address={url.partition('://')[2]}",
            "--log.level=warn",
        ),
        on_line=lambda _, line: said.append(line),
    )
    try:
        async with httpx.AsyncClient(base_url=url, timeout=QUERY_SECONDS) as http:
            await _ready(http, child.wait(), said)
            yield Prometheus(http, targets)
    finally:
        await child.stop(timeout=10)


def _write_settings(file: Path, targets: Path) -> None:
    settings = {
        "global": {"scrape_interval": f"{SCRAPE_SECONDS}s", "evaluation_interval": f"{SCRAPE_SECONDS}s"},
        "rule_files": [str(RECORDING)],
        "scrape_configs": [{"job_name": "tonearm", "file_sd_configs": [{"files": [str(targets)]}]}],
    }
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps(settings))


async def _ready(http: httpx.AsyncClient, ended: Awaitable[int], said: deque[str]) -> None:
    end = asyncio.ensure_future(ended)
    try:
        async with asyncio.timeout(READY_SECONDS):
            while not await _answers(http):
                if end.done():
                    raise StartFailed("\n".join(("Prometheus ended at once:", *said)))
                await asyncio.sleep(AGAIN)
    except TimeoutError:
        raise StartFailed("\n".join((f"Prometheus was not ready within {READY_SECONDS:g} s:", *said))) from None
    finally:
        end.cancel()


async def _answers(http: httpx.AsyncClient) -> bool:
    try:
        return (await http.get("/-/ready")).status_code == 200
    except httpx.TransportError:
        return False

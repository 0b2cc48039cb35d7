"""A real Prometheus and Alertmanager over a Tonearm, and somebody who is told of alerts."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from playground.system import free_port
from tests.alerts_check import programs, rules, shortened
from tonearm.child import spawn
from tonearm.child_logs import Log
from tonearm.errors import StartFailed

READY_SECONDS = 60.0
STOP_SECONDS = 10.0
ASK_SECONDS = 20.0
AGAIN = 0.25
"""Seconds between two looks at what tells nothing by itself."""


@dataclass(frozen=True)
class Told:
    """An alert was told to a receiver: ``at`` is monotonic (s), ``labels`` are those of one of its instances."""

    at: float
    receiver: str
    alert: str
    labels: frozenset[tuple[str, str]]
    firing: bool
    summary: str


class Receiver:
    """Takes what Alertmanager sends by POST to ``/<receiver>``."""

    def __init__(self, on_told: Callable[[Told], None] = lambda _: None) -> None:
        self.all: list[Told] = []
        self._on_told = on_told
        self._firing: dict[str, set[frozenset[tuple[str, str]]]] = {}
        self._news = asyncio.Condition()

    def is_firing(self, alert: str) -> bool:
        """Whether any instance of it was told and is not resolved."""
        return bool(self._firing.get(alert))

    async def wait_firing(self, alert: str, within: float) -> Told:
        """Wait until it is told, if it was not; the first of its instances that fire.

        Raises:
            TimeoutError: it was not within so many seconds.
        """
        await self._wait(lambda: self.is_firing(alert), within)
        return next(told for told in self.all if told.alert == alert and told.labels in self._firing[alert])

    async def wait_over(self, alert: str, within: float) -> None:
        """Wait until no instance of it fires.

        Raises:
            TimeoutError: one still did after so many seconds.
        """
        await self._wait(lambda: not self.is_firing(alert), within)

    async def _wait(self, true: Callable[[], bool], within: float) -> None:
        async with asyncio.timeout(within), self._news:
            await self._news.wait_for(true)

    async def take(self, request: web.Request) -> web.Response:
        """A message of Alertmanager's (its documentation, *webhook_config*)."""
        message: dict[str, Any] = await request.json()
        for alert in message["alerts"]:
            labels = dict(alert["labels"])
            told = Told(
                time.monotonic(),
                request.match_info["receiver"],
                labels.pop("alertname"),
                frozenset(labels.items()),
                alert["status"] == "firing",
                alert["annotations"].get("summary", ""),
            )
            instances = self._firing.setdefault(told.alert, set())
            if told.firing is (told.labels in instances):
                continue  # told again, as Alertmanager does with all of a group
            (instances.add if told.firing else instances.discard)(told.labels)
            self.all.append(told)
            self._on_told(told)
        async with self._news:
            self._news.notify_all()
        return web.Response()


class Watching:
    """The running whole. ``receiver`` is told of alerts."""

    def __init__(
        self, folder: Path, receiver: Receiver, prometheus: str, alertmanager: str, http: aiohttp.ClientSession
    ) -> None:
        self.receiver = receiver
        self._folder = folder
        self._prometheus = prometheus
        self._alertmanager = alertmanager
        self._http = http

    def aim(self, targets: Mapping[str, Sequence[str]]) -> None:
        """Who is to be scraped, by job: ``host:port``. What vanished stays, and is down."""
        aim(self._folder, targets)

    async def until(self, expr: str, within: float) -> None:
        """Wait until a query returns anything.

        Raises:
            TimeoutError: it did not within so many seconds.
        """
        await _poll(lambda: self._ask(expr), within, expr)

    async def wait_held_back(self, alert: str, within: float) -> None:
        """Wait until Alertmanager knows of an alert that fires, and tells nobody because of another one.

        Raises:
            TimeoutError: it did not within so many seconds.
        """
        await _poll(lambda: self._is_held_back(alert), within, f"{alert} is held back")

    async def _ask(self, expr: str) -> bool:
        async with self._http.post(f"{self._prometheus}/api/v1/query", data={"query": expr}) as response:
            return bool((await response.json())["data"]["result"])

    async def _is_held_back(self, alert: str) -> bool:
        about = {"filter": f'alertname="{alert}"'}
        async with self._http.get(f"{self._alertmanager}/api/v2/alerts", params=about) as response:
            return any(each["status"]["inhibitedBy"] for each in await response.json())


async def _poll(look: Callable[[], Awaitable[bool]], within: float, what: str) -> None:
    try:
        async with asyncio.timeout(within):
            while not await look():  # noqa: ASYNC110 - neither Prometheus nor Alertmanager tells of it by itself
                await asyncio.sleep(AGAIN)
    except TimeoutError:
        raise TimeoutError(f"not so within {within:g} s: {what}") from None


def aim(folder: Path, targets: Mapping[str, Sequence[str]]) -> None:
    """Write who is to be scraped where Prometheus looks for it."""
    for job, addresses in targets.items():
        new = folder / f"{job}.new"
        new.write_text(json.dumps([{"targets": list(addresses)}]))
        new.rename(folder / f"{job}.json")


@asynccontextmanager
async def watching(
    folder: Path, targets: Mapping[str, Sequence[str]], log: Log, on_told: Callable[[Told], None]
) -> AsyncIterator[Watching]:
    """Prometheus and Alertmanager with shortened copies of our own settings in ``folder``, and their receiver.

    Raises:
        ProgramMissing: one of them is not there.
        StartFailed: one of them does not start.
    """
    receiver = Receiver(on_told)
    at_prometheus, at_alertmanager, at_receiver = (f"127.0.0.1:{free_port()}" for _ in range(3))
    shortened.write(
        folder,
        {
            "prometheus.yml": shortened.prometheus(rules.read(rules.PROMETHEUS), folder, at_alertmanager),
            "alertmanager.yml": shortened.alertmanager(rules.read(rules.ALERTMANAGER), f"http://{at_receiver}"),
            **{path.name: shortened.rule_file(rules.read(path)) for path in (rules.RECORDING, rules.ALERTS)},
        },
    )
    aim(folder, targets)
    async with (
        _serving(receiver, at_receiver),
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=ASK_SECONDS)) as http,
        _program(
            "alertmanager",
            [
                programs.alertmanager(),
                f"--config.file={folder / 'alertmanager.yml'}",
                f"--storage.path={folder / 'alertmanager'}",
                f"--web.listen-address={at_alertmanager}",
                "--cluster.listen-address=",
            ],
            f"http://{at_alertmanager}",
            http,
            log,
        ),
        _program(
            "prometheus",
            [
                programs.prometheus(),
                f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={folder / 'prometheus'}",
                f"--web.listen-address={at_prometheus}",
            ],
            f"http://{at_prometheus}",
            http,
            log,
        ),
    ):
        yield Watching(folder, receiver, f"http://{at_prometheus}", f"http://{at_alertmanager}", http)


@asynccontextmanager
async def _serving(receiver: Receiver, address: str) -> AsyncIterator[None]:
    app = web.Application()
    app.add_routes([web.post("/{receiver}", receiver.take)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        host, _, port = address.partition(":")
        await web.TCPSite(runner, host, int(port)).start()
        yield
    finally:
        await runner.cleanup()


@asynccontextmanager
async def _program(
    name: str, argv: Sequence[str], url: str, http: aiohttp.ClientSession, log: Log
) -> AsyncIterator[None]:
    child = await spawn(argv, on_line=lambda _, line: log(name, line))
    try:
        ended = asyncio.ensure_future(child.wait())
        try:
            async with asyncio.timeout(READY_SECONDS):
                while not await _is_ready(http, url):
                    if ended.done():
                        raise StartFailed(f"{name} ended with {ended.result()}; see its log")
                    await asyncio.sleep(AGAIN)
        except TimeoutError:
            raise StartFailed(f"{name} was not ready within {READY_SECONDS:g} s; see its log") from None
        finally:
            ended.cancel()
        yield
    finally:
        await child.stop(STOP_SECONDS)


async def _is_ready(http: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with http.get(f"{url}/-/ready") as response:
            return response.status == 200
    except aiohttp.ClientError:
        return False

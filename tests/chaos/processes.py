"""Processes that may be killed, stopped, continued and started again, by name.

Only what was started here is ever sent a signal. The kernel ends all of it with this process.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tonearm.child import STDOUT, Child, spawn
from tonearm.child_logs import Log

READY_SECONDS = 60.0
ABORT_SECONDS = 5.0
LEAVE_SECONDS = 10.0
"""How long a process may take to end when it is asked to."""
NOT_AT_ALL = f"not at all within {LEAVE_SECONDS:g} s when it was asked to"
AGAIN_AFTER = 0.3
"""Seconds after which a process that died is started again, as an orchestrator would."""

Ready = dict[str, Any]


@dataclass
class Process:
    """One name over all its lives. ``ready`` is set while the present life has said that it is ready."""

    name: str
    argv: Callable[[], tuple[str, ...]]
    env: Callable[[], Mapping[str, str]]
    on_ready: Callable[[Ready], None]
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    said: Ready = field(default_factory=dict)
    child: Child | None = None
    stopped: bool = False
    wanted: bool = True
    lives: int = 0
    watch: asyncio.Task[None] | None = None

    @property
    def running(self) -> bool:
        """It lives, though it may be stopped."""
        return self.child is not None and self.child.returncode is None


@dataclass(frozen=True)
class Crash:
    """A process ended as it should not have. ``at`` is in seconds since the beginning."""

    name: str
    code: int
    at: float
    when: str = "by itself"

    def __str__(self) -> str:
        return f"{self.name} ended {self.when} with {self.code}, after {self.at:.0f} s"


class Processes:
    """All of them. What dies is started again, until it is taken away or the context ends."""

    def __init__(self, log: Log) -> None:
        self.crashes: list[Crash] = []
        self._log = log
        self._all: dict[str, Process] = {}
        self._ending: set[str] = set()
        self._begun = time.monotonic()

    def __getitem__(self, name: str) -> Process:
        return self._all[name]

    def names(self, role: str) -> list[str]:
        """Those whose name begins so, in the order of their start."""
        return [name for name in self._all if name.startswith(role)]

    def whole(self, name: str) -> bool:
        """It is ready, not frozen, and nobody ends it at this moment."""
        process = self._all[name]
        return process.running and process.ready.is_set() and not process.stopped and name not in self._ending

    async def start(
        self,
        name: str,
        argv: Callable[[], tuple[str, ...]],
        env: Callable[[], Mapping[str, str]] = dict,
        *,
        on_ready: Callable[[Ready], None] = lambda _: None,
        wait: bool = True,
    ) -> Process:
        """Start it, and unless told otherwise wait until it says that it is ready.

        Raises:
            TimeoutError: it did not.
        """
        process = self._all[name] = Process(name, argv, env, on_ready)
        await self._launch(process)
        process.watch = asyncio.create_task(self._keep(process), name=f"keep {name}")
        if wait:
            await self.wait_ready(name)
        return process

    async def wait_ready(self, name: str, within: float = READY_SECONDS) -> Ready:
        """Wait until the present life, or a later one, is ready.

        Raises:
            TimeoutError: it was not.
        """
        try:
            async with asyncio.timeout(within):
                await self._all[name].ready.wait()
        except TimeoutError:
            raise TimeoutError(f"{name} was not ready within {within:g} s; see its log") from None
        return self._all[name].said

    async def end(self, name: str, sig: signal.Signals) -> None:
        """Kill it, or ask it to end; returns when it is gone. It is started again after a moment."""
        process = self._all[name]
        child = process.child
        if child is None or child.returncode is not None:
            return
        self._ending.add(name)
        process.begun.clear()
        if process.stopped:
            self.proceed(name)
        child.send(sig)
        try:
            async with asyncio.timeout(LEAVE_SECONDS):
                code = await child.wait()
        except TimeoutError:
            self._found(name, -int(sig), NOT_AT_ALL)
            await self._look_inside(child)
            return
        # By the signal itself, where it had no time to prepare for it, or killed by another fault meanwhile.
        if code not in (0, -signal.SIGTERM, -signal.SIGKILL):
            self._found(name, code, "badly when it was asked to")

    async def take_away(self, name: str, sig: signal.Signals) -> None:
        """As :meth:`end`, but it stays away until :meth:`bring_back`."""
        self._all[name].wanted = False
        await self.end(name, sig)
        await self._finish(self._all[name])

    async def bring_back(self, name: str) -> None:
        """Start what was taken away; :meth:`wait_ready` tells when it is ready."""
        process = self._all[name]
        process.wanted = True
        await self._launch(process)
        process.watch = asyncio.create_task(self._keep(process), name=f"keep {name}")

    async def wait_next(self, name: str) -> None:
        """After :meth:`end`: wait until it lives again, though it may not be ready."""
        await self._all[name].begun.wait()

    def halt(self, name: str) -> bool:
        """SIGSTOP; whether it was running and not stopped before."""
        process = self._all[name]
        if not process.running or process.stopped or name in self._ending:
            return False
        assert process.child is not None
        process.child.send(signal.SIGSTOP)
        process.stopped = True
        return True

    def proceed(self, name: str) -> None:
        """SIGCONT."""
        process = self._all[name]
        process.stopped = False
        if process.child is not None:
            process.child.send(signal.SIGCONT)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._all.values():
            process.wanted = False
            if process.stopped:
                self.proceed(process.name)
        # All at once, but the first that was started: the others live in it.
        names = list(self._all)
        await asyncio.gather(*(self._stop(self._all[name]) for name in names[1:]))
        await asyncio.gather(*(self._stop(self._all[name]) for name in names[:1]))

    async def _stop(self, process: Process) -> None:
        self._ending.add(process.name)
        if process.watch is not None:
            process.watch.cancel()
            await asyncio.gather(process.watch, return_exceptions=True)
        if process.child is not None and process.child.returncode is None:
            await process.child.stop(LEAVE_SECONDS)

    async def _look_inside(self, child: Child) -> None:
        """End one that stands still, so that its log says where: SIGABRT has Python write all threads' stacks."""
        child.send(signal.SIGABRT)
        with suppress(TimeoutError):
            async with asyncio.timeout(ABORT_SECONDS):
                await child.wait()
                return
        child.kill()
        await child.wait()

    def _found(self, name: str, code: int, when: str = "by itself") -> None:
        self.crashes.append(Crash(name, code, time.monotonic() - self._begun, when))

    async def _launch(self, process: Process) -> None:
        process.ready.clear()
        process.stopped = False
        process.lives += 1
        life = process.lives

        def on_line(stream: int, line: str) -> None:
            if life == process.lives and stream == STDOUT and (said := _ready_line(line)) is not None:
                process.said = said
                process.on_ready(said)
                process.ready.set()
            else:
                self._log(process.name, line)

        self._log(process.name, f"--- life {life} begins")
        process.child = await spawn(process.argv(), env={**process.env(), "PYTHONFAULTHANDLER": "1"}, on_line=on_line)
        process.begun.set()

    async def _keep(self, process: Process) -> None:
        while True:
            assert process.child is not None
            code = await process.child.wait()
            process.ready.clear()
            self._log(process.name, f"--- life {process.lives} ended with {code}")
            if process.name in self._ending:
                self._ending.discard(process.name)
            else:
                self._found(process.name, code)
            if not process.wanted:
                return
            await asyncio.sleep(AGAIN_AFTER)
            await self._launch(process)

    async def _finish(self, process: Process) -> None:
        if process.watch is not None:
            await asyncio.gather(process.watch, return_exceptions=True)


def signal_tree(pid: int, sig: signal.Signals) -> None:
    """Send a signal to a process, which starts no more children once it is stopped, and then to those it has."""
    with suppress(ProcessLookupError):
        os.kill(pid, sig)
    children = Path(f"/proc/{pid}/task/{pid}/children")
    with suppress(OSError):
        for child in children.read_text().split():
            signal_tree(int(child), sig)


def _ready_line(line: str) -> Ready | None:
    if not line.startswith("{"):
        return None
    try:
        said = json.loads(line)
    except ValueError:
        return None
    return said if isinstance(said, dict) and said.get("ready") is True else None

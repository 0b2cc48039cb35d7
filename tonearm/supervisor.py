"""Runs the processes of a small installation: starts them, restarts them, and stops them in order.

A child says that it is ready with one JSON line on its stdout, ``{"ready": true, ...}``; everything else it writes is
its log. Ctrl-C in a terminal reaches the supervisor only. When the supervisor ends, by whatever signal, its children
are killed by the kernel: with SIGKILL, since a child that hangs would outlive anything gentler. A child with children
of its own ties them to itself in the same way (:mod:`tonearm.child`), so the whole tree goes.
"""

import asyncio
import json
import signal
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import TracebackType
from typing import Any, Self

from tonearm.child import STDOUT, Child, spawn
from tonearm.child_logs import Log, prefixed
from tonearm.errors import StartFailed, StopRequested

STOP_TIMEOUT = 5.0
"""Seconds between SIGTERM and SIGKILL."""
BACKOFF_FIRST = 0.5
BACKOFF_LAST = 30.0
"""Seconds to wait before the first, and at most before any, restart; doubled in between."""
HEALTHY_AFTER = 60.0
"""Seconds of being ready after which the next restart is a first one again."""
TAIL = 12
"""Log lines told when a start fails."""

Ready = Mapping[str, Any]
"""A child's ready line."""


@dataclass(frozen=True, slots=True)
class ProcessSpec:
    """A process to run: ``env`` is added to our own, ``ready_timeout`` is in seconds, ``pass_fds`` are shared with it.

    The death of one with ``restart`` is mended, the death of another ends the run.
    """

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    ready_timeout: float = 30.0
    restart: bool = False
    pass_fds: tuple[int, ...] = ()


class EventKind(StrEnum):
    """What can happen to a child."""

    READY = "ready"
    EXITED = "exited"
    RESTARTING = "restarting"
    START_FAILED = "start failed"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Event:
    """Something happened to a child; ``str()`` is the sentence for the log."""

    kind: EventKind
    name: str
    pid: int | None = None
    returncode: int | None = None
    """Exit code, or minus the signal's number (EXITED, STOPPED)."""
    delay: float = 0.0
    """Seconds until it is started again (RESTARTING)."""
    ready: Ready = field(default_factory=dict)
    """Its ready line (READY): after a restart an address in it may be another one."""
    reason: str = ""
    """A sentence (START_FAILED)."""

    def __str__(self) -> str:
        match self.kind:
            case EventKind.READY:
                return f"{self.name} is ready (process {self.pid})."
            case EventKind.EXITED:
                return f"{self.name} {ended(self.returncode or 0)}."
            case EventKind.RESTARTING:
                return f"{self.name} is started again in {self.delay:g} s."
            case EventKind.START_FAILED:
                return self.reason
            case EventKind.STOPPED:
                return f"{self.name} was stopped: it {ended(self.returncode or 0)}."


class _Process:
    """What the supervisor knows of one child, over all its lives."""

    def __init__(self, spec: ProcessSpec) -> None:
        self.spec = spec
        self.child: Child | None = None
        self.watcher: asyncio.Task[None] | None = None
        self.failures = 0
        self.ready_at = 0.0

    def next_delay(self, healthy: float) -> float:
        """Seconds to wait before the next start, after ``healthy`` seconds of being ready."""
        if healthy >= HEALTHY_AFTER:
            self.failures = 0
        self.failures += 1
        return min(BACKOFF_LAST, BACKOFF_FIRST * 2.0 ** (self.failures - 1))


class Supervisor:
    """Owns child processes; an async context manager that stops them all, the last started first.

    ``on_event`` is told what happens, ``log`` gets every line a child writes. ``monotonic`` and ``sleep`` are the clock
    of the restarts. It must live in a thread that lives on: the kernel ties the children to it.
    """

    def __init__(
        self,
        *,
        on_event: Callable[[Event], None] = lambda _: None,
        log: Log | None = None,
        stop_timeout: float = STOP_TIMEOUT,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._on_event = on_event
        self._log = log or prefixed()
        self._stop_timeout = stop_timeout
        self._monotonic = monotonic
        self._sleep = sleep
        self._processes: dict[str, _Process] = {}
        self._over = asyncio.Event()
        self._cause: Event | None = None
        self._bug: BaseException | None = None
        self._signals: list[signal.Signals] = []

    async def start(self, spec: ProcessSpec) -> Ready:
        """Starts a process and waits until it is ready; returns its ready line.

        Raises:
            StartFailed: it exits first, or its time runs out; with the last lines of its log. It is gone then.
            StopRequested: a stop was requested meanwhile.
        """
        assert spec.name not in self._processes, f"{spec.name} was started before"
        process = _Process(spec)
        ready = await self._launch(process)
        self._processes[spec.name] = process
        process.watcher = asyncio.create_task(self._watch(process), name=f"watch {spec.name}")
        process.watcher.add_done_callback(self._watched)
        return ready

    def stop_on(self, *signals: signal.Signals) -> None:
        """Makes signals to this process (say SIGINT and SIGTERM) request a stop, until the end of the context."""
        for sig in signals:
            asyncio.get_running_loop().add_signal_handler(sig, self.request_stop)
            self._signals.append(sig)

    def request_stop(self) -> None:
        """Makes :meth:`wait`, and a :meth:`start` in progress, return."""
        self._over.set()

    async def wait(self) -> Event | None:
        """Waits for the end of the run: the death of a child that is not restarted, or None for a requested stop.

        Raises:
            BaseException: what ``on_event`` raised.
        """
        await self._over.wait()
        if self._bug is not None:
            raise self._bug
        return self._cause

    def pid(self, name: str) -> int | None:
        """A child's process id; None while it is down."""
        child = self._processes[name].child
        return child.pid if child is not None and child.returncode is None else None

    async def kill(self, name: str) -> None:
        """Kills a child with SIGKILL, for tests of what follows; it is restarted if it is of that kind."""
        child = self._processes[name].child
        if child is not None:
            child.kill()
            await child.wait()

    async def stop(self, name: str) -> None:
        """Stops a child for good: SIGTERM, and SIGKILL for its whole group after ``stop_timeout`` seconds."""
        process = self._processes.pop(name)
        if process.watcher is not None:
            process.watcher.cancel()
            await asyncio.wait((process.watcher,))
        if process.child is not None and process.child.returncode is None:
            code = await process.child.stop(self._stop_timeout)
            self._on_event(Event(EventKind.STOPPED, name, process.child.pid, code))

    async def stop_all(self) -> None:
        """Stops every child, the last started first, each only after the one before it is gone."""
        self.request_stop()
        for name in reversed(list(self._processes)):
            await self.stop(name)

    def _watched(self, watcher: asyncio.Task[None]) -> None:
        """Ends the run when a watcher itself fails: nothing would be restarted from then on."""
        if not watcher.cancelled() and (error := watcher.exception()) is not None:
            if not isinstance(error, StopRequested):
                self._bug = self._bug or error
            self._over.set()

    async def _watch(self, process: _Process) -> None:
        """Waits for a child's death, and mends it or ends the run."""
        name = process.spec.name
        while True:
            assert process.child is not None
            code = await process.child.wait()
            exited = Event(EventKind.EXITED, name, process.child.pid, code)
            self._on_event(exited)
            if not process.spec.restart:
                self._cause = self._cause or exited
                self._over.set()
                return
            await self._relaunch(process)

    async def _relaunch(self, process: _Process) -> None:
        healthy = self._monotonic() - process.ready_at
        while True:
            delay = process.next_delay(healthy)
            self._on_event(Event(EventKind.RESTARTING, process.spec.name, delay=delay))
            await self._sleep(delay)
            try:
                await self._launch(process)
            except StartFailed as failure:
                self._on_event(Event(EventKind.START_FAILED, process.spec.name, reason=str(failure)))
                healthy = 0.0
            else:
                return

    async def _launch(self, process: _Process) -> Ready:
        """Spawns the child and waits until it is ready; whatever else happens, it does not stay."""
        spec = process.spec
        ready: asyncio.Future[Ready] = asyncio.get_running_loop().create_future()
        tail: deque[str] = deque(maxlen=TAIL)

        def on_line(stream: int, line: str) -> None:
            if stream == STDOUT and not ready.done() and (said := _parse_ready(line)) is not None:
                ready.set_result(said)
                return
            tail.append(line)
            self._log(spec.name, line)

        try:
            child = await spawn(spec.argv, env=spec.env, on_line=on_line, pass_fds=spec.pass_fds)
        except OSError as error:
            raise StartFailed(f"{spec.name} did not start: {error.strerror}.") from error
        exited = asyncio.create_task(child.wait())
        stop = asyncio.create_task(self._over.wait())
        try:
            await asyncio.wait((ready, exited, stop), timeout=spec.ready_timeout, return_when=asyncio.FIRST_COMPLETED)
            if ready.done() and not exited.done():
                process.child = child
                process.ready_at = self._monotonic()
                self._on_event(Event(EventKind.READY, spec.name, child.pid, ready=ready.result()))
                return ready.result()
            reason = f"it {ended(exited.result())}" if exited.done() else f"not ready after {spec.ready_timeout:g} s"
            if stop.done():
                await child.stop(self._stop_timeout)
                raise StopRequested(f"{spec.name} was stopped while it started.")
            raise StartFailed(_start_failure(spec.name, reason, tail))
        finally:
            exited.cancel()
            stop.cancel()
            if process.child is not child:
                child.kill()
                await child.wait()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        for sig in self._signals:
            asyncio.get_running_loop().remove_signal_handler(sig)
        await self.stop_all()
        return isinstance(error, StopRequested)


def ended(returncode: int) -> str:
    """In words, how a process ended."""
    if returncode >= 0:
        return f"exited with code {returncode}"
    return f"was killed by {signal.Signals(-returncode).name}"


def _parse_ready(line: str) -> Ready | None:
    if not line.startswith("{"):
        return None
    try:
        said = json.loads(line)
    except ValueError:
        return None
    return said if isinstance(said, dict) and said.get("ready") is True else None


def _start_failure(name: str, reason: str, tail: deque[str]) -> str:
    if not tail:
        return f"{name} did not start: {reason}, and it said nothing."
    return f"{name} did not start: {reason}. It said last:\n" + "\n".join(f"  {line}" for line in tail)

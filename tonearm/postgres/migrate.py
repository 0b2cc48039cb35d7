"""``tonearm migrate``: brings the database to the form that this version needs, forward only.

Each file of ``migrations`` is applied once, in the order of names, in a transaction of its own that holds an advisory
lock: so any number of processes may migrate at once (PostgreSQL's documentation, *Advisory Locks*). The lock ends with
the transaction, which poolers allow. A file that was applied must never change: its checksum is kept.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
from collections.abc import Sequence
from importlib.resources import files
from typing import Any, NamedTuple

import asyncpg

from tonearm.errors import StartFailed
from tonearm.postgres.pool import FAILURES, close_connection, open_connection, reason
from tonearm.settings import load

LOCK = 0x746F6E6561726D
"""The advisory lock: “tonearm” in ASCII."""

CONNECT_TIMEOUT = 10.0
"""Seconds that opening the connection may take."""

TURN_TIMEOUT = 300.0
"""Seconds that another process may hold the lock."""

TABLE_LOCK_MS = 10_000
"""How long a migration waits for a table in use, so that what queues up behind it doesn't wait for long."""

STATEMENT_TIMEOUT = 3_600.0
"""Seconds that one file may take."""

LOOK_EVERY = 1.0
"""Seconds between two looks while another process migrates."""

_LEDGER = """
create table if not exists tonearm_migrations (
    name       text        primary key,
    checksum   text        not null,
    applied_at timestamptz not null default now()
)
"""


class Migration(NamedTuple):
    """One file: its name, its statements, and their checksum."""

    name: str
    sql: str

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.sql.replace("\r\n", "\n").encode()).hexdigest()


def shipped() -> list[Migration]:
    """The migrations of this version, in their order."""
    folder = files("tonearm.postgres").joinpath("migrations")
    found = [Migration(file.name, file.read_text("utf-8")) for file in folder.iterdir() if file.name.endswith(".sql")]
    return sorted(found)


async def migrate(
    url: str,
    migrations: Sequence[Migration] | None = None,
    *,
    connect_timeout: float = CONNECT_TIMEOUT,
    turn_timeout: float = TURN_TIMEOUT,
) -> list[str]:
    """Apply what is missing; returns the names of the files that this call applied.

    Raises:
        StartFailed: PostgreSQL doesn't answer or refuses, another process holds the lock too long, or a file was
            changed after it had been applied. What was applied before stays; nothing is half applied.
    """
    migrations = shipped() if migrations is None else migrations
    connection = await _connect(url, connect_timeout)
    applied = []
    try:
        while (name := await _apply_next(connection, migrations, turn_timeout)) is not None:
            applied.append(name)
    finally:
        await close_connection(connection)
    return applied


async def wait_until_migrated(
    url: str, timeout: float, migrations: Sequence[Migration] | None = None, *, every: float = LOOK_EVERY
) -> None:
    """Return as soon as every file is applied, by whomever. ``timeout`` and ``every`` are in seconds.

    Raises:
        StartFailed: that did not come to pass in time; the sentence says what is missing.
    """
    names = [migration.name for migration in (shipped() if migrations is None else migrations)]
    reason = "PostgreSQL does not answer"
    try:
        async with asyncio.timeout(timeout):
            while True:
                try:
                    known = await _fetch_applied(url)
                except StartFailed as error:
                    reason = str(error)
                else:
                    missing = [name for name in names if name not in known]
                    if not missing:
                        return
                    reason = f"The tables lack {', '.join(missing)}. Run `tonearm migrate`."
                await asyncio.sleep(every)
    except TimeoutError:
        raise StartFailed(f"Waited for {timeout:g} s in vain. {reason}") from None


async def _fetch_applied(url: str) -> set[str]:
    connection = await _connect(url, CONNECT_TIMEOUT)
    try:
        if await connection.fetchval("select to_regclass('tonearm_migrations')") is None:
            return set()
        return {row["name"] for row in await connection.fetch("select name from tonearm_migrations")}
    except FAILURES as error:
        raise StartFailed(f"PostgreSQL can't be asked: {error}") from error
    finally:
        await close_connection(connection)


async def _connect(url: str, timeout: float) -> Any:
    try:
        async with asyncio.timeout(timeout):
            return await open_connection(url, timeout=timeout, statement_cache_size=0)
    except FAILURES as error:
        why = f"it did not answer within {timeout:g} s" if isinstance(error, TimeoutError) else reason(error)
        raise StartFailed(f"PostgreSQL can't be used: {why}. Check TONEARM_DATABASE_URL.") from None


async def _apply_next(connection: Any, migrations: Sequence[Migration], turn_timeout: float) -> str | None:
    """The name of the one file that was applied, or ``None`` when none is missing."""
    step = "the lock"
    try:
        async with asyncio.timeout(turn_timeout + STATEMENT_TIMEOUT), connection.transaction():
            await connection.execute(f"set local lock_timeout = {int(turn_timeout * 1000)}")
            await connection.execute(f"select pg_advisory_xact_lock({LOCK})")
            await connection.execute(f"set local lock_timeout = {TABLE_LOCK_MS}")
            step = "the list of what is applied"
            await connection.execute(_LEDGER)
            known = {row["name"]: row["checksum"] for row in await connection.fetch("select * from tonearm_migrations")}
            _refuse_changed(migrations, known)
            missing = [migration for migration in migrations if migration.name not in known]
            if not missing:
                return None
            step = missing[0].name
            await connection.execute(missing[0].sql)
            await connection.execute(
                "insert into tonearm_migrations (name, checksum) values ($1, $2)", step, missing[0].checksum
            )
            return step
    except asyncpg.LockNotAvailableError:
        whose = "another process is migrating" if step == "the lock" else "a table is in use"
        raise StartFailed(f"Migrating stopped at {step}: {whose}, and goes on for too long. Try again.") from None
    except FAILURES as error:
        raise StartFailed(f"Migrating stopped at {step}: {error or 'PostgreSQL does not answer'}.") from error


def _refuse_changed(migrations: Sequence[Migration], known: dict[str, str]) -> None:
    for migration in migrations:
        if known.get(migration.name, migration.checksum) != migration.checksum:
            raise StartFailed(
                f"{migration.name} was changed after it had been applied to this database. Put it back as it was, and "
                "write what is new into a new file."
            )


def main(argv: list[str]) -> int:
    """Migrate the database that ``TONEARM_DATABASE_URL`` names, and print what was done.

    Exit codes: 0 done or nothing to do; 1 (by the command line) when it failed, with a sentence; 2 wrong arguments.

    Raises:
        SettingsError: the address of the database is missing or wrong.
        StartFailed: it could not be done.
    """
    parser = argparse.ArgumentParser("tonearm migrate", description="Bring the database to this version's form.")
    parser.add_argument(
        "--wait", type=float, metavar="SECONDS", help="apply nothing; wait until another process has applied everything"
    )
    asked = parser.parse_args(argv)
    url = load(["database_url"]).database_url
    if asked.wait is not None:
        asyncio.run(wait_until_migrated(url, asked.wait))
        print("The database is up to date.")
        return 0
    applied = asyncio.run(migrate(url))
    for name in applied:
        print(f"Applied {name}.")
    if not applied:
        print("Nothing to do: the database is up to date.")
    return 0

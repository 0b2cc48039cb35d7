"""The connections to PostgreSQL. Every wait for it has an end (asyncpg's documentation, *Connection Pools*)."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, TypeVar

import asyncpg

from tonearm.errors import TonearmError
from tonearm.telemetry import (
    DATABASE_CONNECTIONS,
    DATABASE_FAILURES,
    DATABASE_POOL_SIZE,
    DATABASE_RETRIES,
    DATABASE_WAIT_SECONDS,
)

T = TypeVar("T")

FAILURES = (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError)
"""What a call raises when PostgreSQL is down, hanging or refusing."""

DATABASE_FAILURES.labels("DiskFullError")  # PostgreSQL's disk_full: alerted of, so seen from the first one on

TIMEOUT = 0.5
"""Seconds that a call may take in all: for a connection, the statement and giving the connection back."""

TRANSACTION_TIMEOUT = 5.0
"""Seconds that a transaction may take in all, with its repetitions."""

CONNECT_TIMEOUT = 2.0
"""Seconds that opening a connection may take."""

CLOSE_TIMEOUT = 2.0
"""Seconds that statements under way get when the pool is closed."""

MOST_ATTEMPTS = 10
"""How often a transaction is tried that others come in the way of."""

COLLISIONS = (asyncpg.SerializationError, asyncpg.DeadlockDetectedError, asyncpg.UniqueViolationError)
"""Two transactions met: the one that is tried again sees what the other did."""

REFUSALS = (asyncpg.InvalidPasswordError, asyncpg.InvalidAuthorizationSpecificationError)
"""The password or the user is not (any more) the right one."""

Connection = Any
"""A connection of asyncpg's, inside a transaction."""


async def open_connection(url: str, **options: Any) -> Connection:
    """One connection; ``options`` are those of :func:`asyncpg.connect`.

    Raises:
        FAILURES: PostgreSQL is down, hanging or refusing, or the address can't be used.
    """
    try:
        return await asyncpg.connect(url, **options)
    except FAILURES:
        raise
    except asyncpg.InternalClientError as error:
        raise asyncpg.InterfaceError(str(error)) from error
    except ValueError:
        # Its text may be a piece of the address, and so of the password.
        raise asyncpg.InterfaceError("its address can't be understood") from None


async def close_connection(connection: Connection) -> None:
    """End it, also where PostgreSQL doesn't answer any more."""
    try:
        async with asyncio.timeout(CLOSE_TIMEOUT):
            await connection.close()
    except FAILURES:
        connection.terminate()


def reason(error: BaseException) -> str:
    """Why PostgreSQL can't be used, as one of :data:`FAILURES` says it, in one line and without the password."""
    if isinstance(error, TimeoutError):
        return "it does not answer in time"
    if isinstance(error, REFUSALS):
        return "it refuses the user or the password"
    if isinstance(error, OSError):
        return error.strerror or str(error) or "it can't be reached"
    return str(error).partition("\n")[0] or type(error).__name__


class Pool:
    """Connections to one database; none is opened before it is needed. Use it as an async context manager.

    ``statement_cache_size`` is the number of prepared statements that a connection keeps; behind a pooler that gives a
    connection to another client after each transaction it must be 0. A ``url`` that can change is asked for at each new
    connection; ``on_refused`` is awaited when a password is refused, before it is tried once more.
    """

    def __init__(
        self,
        url: str | Callable[[], str],
        *,
        timeout: float = TIMEOUT,
        connect_timeout: float = CONNECT_TIMEOUT,
        max_size: int = 10,
        statement_cache_size: int = 100,
        on_refused: Callable[[], Awaitable[object]] | None = None,
    ) -> None:
        self._url = url if callable(url) else lambda: url
        self._on_refused = on_refused
        self._timeout = timeout
        self._options: dict[str, Any] = {
            "min_size": 0,
            "max_size": max_size,
            "timeout": connect_timeout,
            "command_timeout": timeout,
            "statement_cache_size": statement_cache_size,
            "server_settings": {"application_name": "tonearm"},
        }
        self._pool: Any = None

    async def __aenter__(self) -> Pool:
        """Make the pool. Nothing is connected yet."""
        self._pool = await asyncpg.create_pool(self._url(), connect=self._connect, **self._options)
        DATABASE_POOL_SIZE.inc(self._options["max_size"])
        return self

    async def _connect(self, _: str, **options: Any) -> Any:
        """A new connection, to where the database is now; who is refused asks once more, as its password may be new."""
        try:
            return await open_connection(self._url(), **options)
        except REFUSALS:
            if self._on_refused is None:
                raise
            await self._on_refused()
            return await open_connection(self._url(), **options)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pool, self._pool = self._pool, None
        DATABASE_POOL_SIZE.dec(self._options["max_size"])
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT):
                await pool.close()
        except TimeoutError:
            pool.terminate()

    async def fetch_row(self, statement: str, *values: object, timeout: float | None = None) -> Any:
        """The first row, by name, or ``None``.

        Raises:
            FAILURES: PostgreSQL doesn't answer within ``timeout`` seconds, or refuses.
        """
        return await self._run("fetchrow", statement, values, timeout)

    async def fetch_rows(self, statement: str, *values: object, timeout: float | None = None) -> list[Any]:
        """All rows, by name.

        Raises:
            FAILURES: PostgreSQL doesn't answer within ``timeout`` seconds, or refuses.
        """
        rows: list[Any] = await self._run("fetch", statement, values, timeout)
        return rows

    async def execute(self, statement: str, *values: object, timeout: float | None = None) -> None:
        """Run a statement for its effect.

        Raises:
            FAILURES: PostgreSQL doesn't answer within ``timeout`` seconds, or refuses. It may have had its effect.
        """
        await self._run("execute", statement, values, timeout)

    async def transact(self, work: Callable[[Connection], Awaitable[T]], *, timeout: float = TRANSACTION_TIMEOUT) -> T:
        """What ``work`` returns, all of whose effects happen or none, as though nobody else were there.

        Where others come in its way, ``work`` is done again from its beginning: it may have no other effects.

        Raises:
            FAILURES: PostgreSQL doesn't answer within ``timeout`` seconds, or refuses. It may have had its effect.
        """
        async with asyncio.timeout(timeout):
            attempt = 1
            while True:
                try:
                    async with self._connection() as connection:
                        await connection.execute("begin isolation level serializable")
                        done = await work(connection)
                        await connection.execute("commit")
                        return done
                except COLLISIONS:
                    DATABASE_RETRIES.inc()
                    if attempt == MOST_ATTEMPTS:
                        raise
                attempt += 1
                await asyncio.sleep(random.uniform(0, 0.005 * 2**attempt))  # noqa: S311 - spreads load

    async def _run(self, method: str, statement: str, values: tuple[object, ...], timeout: float | None) -> Any:
        async with asyncio.timeout(self._timeout if timeout is None else timeout), self._connection() as connection:
            return await getattr(connection, method)(statement, *values)

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Connection]:
        assert self._pool is not None, "use the pool as a context manager"
        began = time.perf_counter()
        try:
            connection = await self._pool.acquire()
        except FAILURES as error:
            DATABASE_FAILURES.labels(type(error).__name__).inc()
            raise
        DATABASE_WAIT_SECONDS.observe(time.perf_counter() - began)
        DATABASE_CONNECTIONS.inc()
        try:
            yield connection
        except BaseException as error:
            if isinstance(error, FAILURES):
                DATABASE_FAILURES.labels(type(error).__name__).inc()
            if not isinstance(error, asyncpg.PostgresError | TonearmError):
                # Nobody knows what it still has in hand; and asking it could hang.
                connection.terminate()
            elif connection.is_in_transaction():
                await connection.execute("rollback")
            raise
        finally:
            DATABASE_CONNECTIONS.dec()
            await self._pool.release(connection)

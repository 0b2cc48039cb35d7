"""The connections to PostgreSQL. Every wait for it has an end (asyncpg's documentation, *Connection Pools*)."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Any

import asyncpg

FAILURES = (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError)
"""What a call raises when PostgreSQL is down, hanging or refusing."""

TIMEOUT = 0.5
"""Seconds that a call may take in all: for a connection, the statement and giving the connection back."""

CONNECT_TIMEOUT = 2.0
"""Seconds that opening a connection may take."""

CLOSE_TIMEOUT = 2.0
"""Seconds that statements under way get when the pool is closed."""


class Pool:
    """Connections to one database; none is opened before it is needed. Use it as an async context manager.

    ``statement_cache_size`` is the number of prepared statements that a connection keeps; behind a pooler that gives a
    connection to another client after each transaction it must be 0.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout: float = TIMEOUT,
        connect_timeout: float = CONNECT_TIMEOUT,
        max_size: int = 10,
        statement_cache_size: int = 100,
    ) -> None:
        self._url = url
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
        self._pool = await asyncpg.create_pool(self._url, **self._options)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pool, self._pool = self._pool, None
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

    async def execute(self, statement: str, *values: object, timeout: float | None = None) -> None:
        """Run a statement for its effect.

        Raises:
            FAILURES: PostgreSQL doesn't answer within ``timeout`` seconds, or refuses. It may have had its effect.
        """
        await self._run("execute", statement, values, timeout)

    async def _run(self, method: str, statement: str, values: tuple[object, ...], timeout: float | None) -> Any:
        assert self._pool is not None, "use the pool as a context manager"
        async with asyncio.timeout(self._timeout if timeout is None else timeout):
            connection = await self._pool.acquire()
            try:
                return await getattr(connection, method)(statement, *values)
            except BaseException as error:
                if not isinstance(error, asyncpg.PostgresError):
                    # Nobody knows what it still has in hand; and asking it could hang.
                    connection.terminate()
                raise
            finally:
                await self._pool.release(connection)

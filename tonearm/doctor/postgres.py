"""What ``tonearm doctor`` looks at in PostgreSQL. Each check is one coroutine on an open connection."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from tonearm.doctor.finding import TIMEOUT, Finding
from tonearm.settings import PREFIX, Settings


async def examine(settings: Settings) -> list[Finding]:
    """Every check of the configured database."""
    import asyncpg

    try:
        connection = await asyncpg.connect(settings.database_url, timeout=TIMEOUT)
    except (OSError, TimeoutError, asyncpg.PostgresError) as error:
        remedy = f"Check {PREFIX}DATABASE_URL, and that the server runs."
        return [Finding("PostgreSQL", f"does not answer ({error})", remedy)]
    try:
        return [await check(connection) for check in CHECKS]
    finally:
        await connection.close()


async def version(connection: Any) -> Finding:
    """Which one it is."""
    return Finding("PostgreSQL", f"version {await connection.fetchval('show server_version')}")


CHECKS: tuple[Callable[[Any], Awaitable[Finding]], ...] = (version,)

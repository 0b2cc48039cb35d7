"""What ``tonearm doctor`` looks at in PostgreSQL. Each check is one coroutine on an open connection."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from tonearm.doctor.finding import TIMEOUT, Finding
from tonearm.postgres.migrate import shipped
from tonearm.postgres.pool import FAILURES, close_connection, open_connection, reason
from tonearm.postgres.pools import RESERVED, pool_size
from tonearm.settings import PREFIX, Settings


async def examine(settings: Settings) -> list[Finding]:
    """Every check of the configured database."""
    try:
        async with asyncio.timeout(TIMEOUT):
            # Without prepared statements, as a pooler may be between.
            connection = await open_connection(settings.database_url, timeout=TIMEOUT, statement_cache_size=0)
    except FAILURES as error:
        remedy = f"Check {PREFIX}DATABASE_URL, and that the server runs."
        return [Finding("PostgreSQL", f"can't be used: {reason(error)}", remedy)]
    try:
        return [await _ask(what, connection, settings) for what in CHECKS]
    finally:
        await close_connection(connection)


async def _ask(what: str, connection: Any, settings: Settings) -> Finding:
    """What one check finds; one that PostgreSQL refuses or doesn't answer stops no other."""
    try:
        async with asyncio.timeout(TIMEOUT):
            return await CHECKS[what](connection, settings)
    except FAILURES as error:
        remedy = f"See that the user of {PREFIX}DATABASE_URL may read there, and what PostgreSQL's log says."
        return Finding(what, f"can't be looked at: {reason(error)}", remedy)


async def version(connection: Any, _: Settings) -> Finding:
    """Which one it is."""
    return Finding("PostgreSQL", f"version {await connection.fetchval('show server_version')}")


async def schema(connection: Any, _: Settings) -> Finding:
    """The tables have the form that this version needs."""
    known: set[str] = set()
    if await connection.fetchval("select to_regclass('tonearm_migrations')") is not None:
        known = {row["name"] for row in await connection.fetch("select name from tonearm_migrations")}
    names = [migration.name for migration in shipped()]
    missing = [name for name in names if name not in known]
    if missing:
        return Finding("Tables", f"lack {', '.join(missing)}", "Run `tonearm migrate`.")
    newer = sorted(known - set(names))
    if newer:
        remedy = "A newer version migrated it: run that one everywhere."
        return Finding("Tables", f"have {', '.join(newer)}, which this version does not know", remedy, minor=True)
    return Finding("Tables", f"are as {names[-1]} left them")


async def connections(connection: Any, settings: Settings) -> Finding:
    """All processes together stay below what the server takes."""
    limit = int(await connection.fetchval("show max_connections"))
    told = settings.database_max_connections
    if told > limit:
        remedy = f"Set {PREFIX}DATABASE_MAX_CONNECTIONS to {limit}, or PostgreSQL's max_connections to {told}."
        return Finding("Connections", f"{limit} are the most, and {told} are counted on", remedy)
    each, processes = pool_size(settings), settings.database_processes
    wanted = f"{processes} processes with {each} each"
    if each * processes > limit - RESERVED:
        remedy = (
            f"Leave {RESERVED} of PostgreSQL's max_connections to others: raise it to {each * processes + RESERVED}, "
            f"or lower {PREFIX}DATABASE_POOL_SIZE or {PREFIX}DATABASE_PROCESSES, or put a pooler between."
        )
        return Finding("Connections", f"{limit} are the most: too few for {wanted}", remedy)
    return Finding("Connections", f"{limit} are the most: enough for {wanted}")


CHECKS: Mapping[str, Callable[[Any, Settings], Awaitable[Finding]]] = {
    "PostgreSQL": version,
    "Tables": schema,
    "Connections": connections,
}

"""The pools of a process, as its settings say."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

from tonearm.postgres.pool import Pool
from tonearm.rotation import Rotation
from tonearm.settings import Settings

RESERVED = 10
"""Connections that are left to PostgreSQL's administrators, to migrations and to the operator's tools."""

MOST = 20
"""More than so many connections of one process make PostgreSQL slower, not faster."""


class Pools(NamedTuple):
    """``write`` for what changes something, or must see the last change; ``read`` for what may be a moment old."""

    write: Pool
    read: Pool


def pool_size(settings: Settings) -> int:
    """How many connections each process may open: so many that all processes together stay below the server's limit."""
    if settings.database_pool_size:
        return settings.database_pool_size
    shared = (settings.database_max_connections - RESERVED) // settings.database_processes
    return max(1, min(MOST, shared))


def make_pools(settings: Settings) -> Pools:
    """The pools, still to be opened. Without a replica both are the same."""
    statements = 0 if settings.database_pgbouncer else 100
    size = pool_size(settings)
    refused = Rotation(settings).refresh
    write = Pool(lambda: settings.database_url, max_size=size, statement_cache_size=statements, on_refused=refused)
    if not settings.database_read_url:
        return Pools(write, write)
    read = Pool(lambda: settings.database_read_url, max_size=size, statement_cache_size=statements, on_refused=refused)
    return Pools(write, read)


@asynccontextmanager
async def open_pools(settings: Settings) -> AsyncIterator[Pools]:
    """The pools; nothing is connected before it is needed."""
    pools = make_pools(settings)
    async with pools.write:
        if pools.read is pools.write:
            yield pools
            return
        async with pools.read:
            yield pools

"""A PostgreSQL that can be taken away and given back."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal

from playground.stores.postgres import Postgres
from tests.chaos.processes import signal_tree
from tonearm.postgres.migrate import migrate

Fault = Literal["frozen", "dead"]


class Database:
    """``frozen``: the server and all its connections stand still; ``dead``: it was killed."""

    def __init__(self, server: Postgres, fault: Fault) -> None:
        self.url = server.url
        self._server = server
        self._fault = fault

    async def fail(self) -> None:
        """It is away."""
        if self._fault == "frozen":
            signal_tree(self._server.pid, signal.SIGSTOP)
        else:
            await self._server.kill()

    async def recover(self) -> None:
        """It is back."""
        if self._fault == "frozen":
            signal_tree(self._server.pid, signal.SIGCONT)
        else:
            await self._server.start()


@asynccontextmanager
async def failing_database(fault: Fault) -> AsyncIterator[Database]:
    """A migrated one."""
    async with Postgres() as server:
        await migrate(server.url)
        database = Database(server, fault)
        try:
            yield database
        finally:
            if fault == "frozen":
                await database.recover()

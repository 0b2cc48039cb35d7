"""Keeps this process' faults where people see them: errors that are logged go to Redis too, without their values."""

from __future__ import annotations

import asyncio
import logging
import re
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from tonearm.redis import faults
from tonearm.redis.client import FAILURES, Client
from tonearm.redis.faults import Fault
from tonearm.telemetry.logs import LOG, values_of

EVERY = 1.0
"""Seconds between two writes at least."""

MOST_AT_ONCE = 10
"""Faults that are written at once: of more, the last ones."""

_VALUE = re.compile(r"%[-+#0 ]*[\d.]*[a-zA-Z]")


@asynccontextmanager
async def keeping_faults(client: Client, process: str) -> AsyncIterator[None]:
    """While this lasts, the errors that we log are kept. Redis being away costs them, and nothing else.

    Others' loggers are left out: their sentences may have values in them.
    """
    handler = _Handler(process, asyncio.get_running_loop())
    logger = LOG
    logger.addHandler(handler)
    writing = asyncio.create_task(_write(client, handler), name="faults")
    try:
        yield
    finally:
        logger.removeHandler(handler)
        writing.cancel()
        await asyncio.wait([writing])


async def _write(client: Client, handler: _Handler) -> None:
    while True:
        await handler.came.wait()
        handler.came.clear()
        some = handler.take()
        with suppress(*FAILURES):
            await faults.keep(client, some)
        await asyncio.sleep(EVERY)


class _Handler(logging.Handler):
    """Gathers what is logged, from any thread."""

    def __init__(self, process: str, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(logging.ERROR)
        self.came = asyncio.Event()
        self._process = process
        self._loop = loop
        self._waiting: deque[Fault] = deque(maxlen=MOST_AT_ONCE)

    def emit(self, record: logging.LogRecord) -> None:
        self._waiting.append(fault_of(record, self._process))
        with suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self.came.set)

    def take(self) -> list[Fault]:
        """What came since, in order."""
        taken = []
        while self._waiting:
            taken.append(self._waiting.popleft())
        return taken


def fault_of(record: logging.LogRecord, process: str) -> Fault:
    """What is kept of a line of the log."""
    values = values_of(record)
    kind = record.exc_info[0] if record.exc_info else None
    guild = values.get("guild")
    return Fault(
        at_ms=int(record.created * 1000),
        process=process,
        what=_VALUE.sub("…", str(record.msg))[:200],
        error=kind.__name__ if kind is not None else "",
        job=str(values.get("job") or ""),
        guild=guild if isinstance(guild, int) else 0,
    )

"""A TCP proxy on this machine: before several processes that share one address, or one that is to be troubled."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import Self

CONNECT_SECONDS = 1.0
END_SECONDS = 5.0
CHUNK = 65_536
BACKLOG = 4096
"""Connections that may wait to be taken: one more, and the kernel resets it a while later."""


class Mode(StrEnum):
    """What becomes of connections."""

    PASS = "pass"
    REFUSE = "refuse"
    """Nobody listens, and what was open is reset."""
    SLOW = "slow"
    """Every piece, in both directions, comes late."""
    HANG = "hang"
    """Connections are taken, and nothing passes."""


Address = tuple[str, int]


class Proxy:
    """Passes connections on to the first of ``backends()`` that takes them, by turns."""

    def __init__(self, backends: Callable[[], Iterable[Address]]) -> None:
        self._backends = backends
        self._turns = itertools.count()
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._passing = asyncio.Event()
        self._passing.set()
        self._delay = 0.0
        self._age = 0
        self.port = 0

    @property
    def address(self) -> str:
        """``host:port`` for clients."""
        return f"127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        await self._listen()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._passing.set()
        self._delay = 0.0
        self._refuse()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=END_SECONDS)

    async def set(self, mode: Mode, delay: float = 2.0) -> None:
        """From now on. ``delay`` (s) is for slow ones: half of it on the way there, half on the way back."""
        self._delay = delay / 2 if mode is Mode.SLOW else 0.0
        if mode is Mode.HANG:
            self._passing.clear()
        else:
            self._passing.set()
        if mode is Mode.REFUSE:
            self._refuse()
        elif self._server is None:
            await self._listen()

    def forget(self) -> None:
        """Connections that are open now swallow what is sent, as behind a firewall that has forgotten them; new ones
        pass."""
        self._age += 1

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._take, "127.0.0.1", self.port, backlog=BACKLOG)
        self.port = self._server.sockets[0].getsockname()[1]

    def _refuse(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in self._open:
            writer.transport.abort()

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._open.add(writer)
        try:
            other = await self._connect()
            if other is not None:
                self._open.add(other[1])
                try:
                    await asyncio.gather(self._pass(reader, other[1]), self._pass(other[0], writer))
                finally:
                    self._open.discard(other[1])
                    other[1].transport.abort()
        finally:
            self._open.discard(writer)
            self._tasks.discard(task)
            writer.transport.abort()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        backends = list(self._backends())
        turn = next(self._turns)
        for number in range(len(backends)):
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(CONNECT_SECONDS):
                    return await asyncio.open_connection(*backends[(turn + number) % len(backends)])
        return None

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        age = self._age
        with contextlib.suppress(OSError):
            while data := await reader.read(CHUNK):
                if age != self._age:
                    continue
                if self._delay:
                    await asyncio.sleep(self._delay)
                await self._passing.wait()
                writer.write(data)
                await writer.drain()
        writer.close()  # what is written still goes out

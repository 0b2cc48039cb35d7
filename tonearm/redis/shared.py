"""One connection to Redis that all callers of a process share.

Commands go out as they come and replies come back in the same order, so many callers cost one connection and few
system calls, and a connection that Redis closed is noticed at once, not by the next caller. It is for short commands
that are bounded in time by their caller. What blocks needs a connection of its own; ``pubsub()`` and ``pipeline()``
have one.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from typing import Any

import redis.asyncio as aioredis
from hiredis import pack_command
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from tonearm.redis.client import FAILURES, Client, connect, is_cluster


def connect_shared(url: str) -> Client:
    """A client that tries once and has no timeout of its own. Nothing is connected yet.

    ``url`` as for :func:`tonearm.redis.client.connect`; for a cluster it is the client made there.
    """
    if is_cluster(url):
        return connect(url, timeout=None)
    return SharedClient.from_url(
        url,
        socket_timeout=None,
        socket_connect_timeout=None,
        retry=Retry(NoBackoff(), 0),
        retry_on_error=[],
        decode_responses=False,
    )


class SharedClient(aioredis.Redis):
    """Redis' commands over one connection. Belongs to the event loop in which it is first used."""

    _line: _Line | None = None
    _connecting: asyncio.Lock | None = None

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        """The reply to a command.

        Raises:
            RedisError: Redis is down or refuses.
        """
        line = self._line
        if line is None or not line.usable:
            line = await self._connect()
        reply = await line.call(args)
        callback = self.response_callbacks.get(args[0])
        return reply if callback is None else callback(reply, **options)

    async def _connect(self) -> _Line:
        if self._connecting is None:
            self._connecting = asyncio.Lock()
        async with self._connecting:
            if self._line is None or not self._line.usable:
                connection: AbstractConnection = self.connection_pool.make_connection()  # type: ignore[no-untyped-call]
                await connection.connect()  # type: ignore[no-untyped-call]
                self._line = _Line(connection)
            return self._line

    async def aclose(self, close_connection_pool: bool | None = None) -> None:
        """Closes everything."""
        if self._line is not None:
            await self._line.close()
        await super().aclose(close_connection_pool)


class _Line:
    """A connection, and who waits for which of its replies."""

    def __init__(self, connection: AbstractConnection) -> None:
        self._connection = connection
        self._waiting: deque[asyncio.Future[Any]] = deque()
        self._live = 0
        self.usable = True
        """Whether new commands may go this way."""
        self._reading = asyncio.create_task(self._read(), name="redis")

    async def call(self, args: tuple[Any, ...]) -> Any:
        command = pack_command(args if " " not in args[0] else (*args[0].split(), *args[1:]))
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._live += 1
        try:
            # Up to its first wait this runs at once, so the order of futures is that of the commands.
            self._waiting.append(future)
            await self._connection.send_packed_command(command, check_health=False)
            return await future
        except RuntimeError as error:  # uvloop's word for a connection that was closed just now
            self.usable = False
            future.cancel()
            raise RedisConnectionError(f"the connection was lost: {error}") from error
        except asyncio.CancelledError:
            # Its caller gave up. Whoever waits already may wait on; new commands take another connection.
            self.usable = False
            raise
        finally:
            self._live -= 1
            if not self.usable and not self._live:
                self._reading.cancel()

    async def close(self) -> None:
        self.usable = False
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)

    async def _read(self) -> None:
        reason: BaseException | None = None
        try:
            while True:
                try:
                    reply = await self._connection.read_response(timeout=math.inf, disconnect_on_error=False)
                except ResponseError as error:
                    reply = error
                future = self._waiting.popleft()
                if future.done():
                    continue
                if isinstance(reply, ResponseError):
                    future.set_exception(reply)
                else:
                    future.set_result(reply)
        except FAILURES as error:
            reason = error
        finally:
            self.usable = False
            for future in self._waiting:
                if not future.done():
                    future.set_exception(RedisConnectionError(f"the connection was lost: {reason!r}"))
            await self._connection.disconnect(nowait=True)

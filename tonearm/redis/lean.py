"""A client for a function that was just started: hiredis, and of redis-py its errors alone.

Importing the rest of redis-py takes longer than anything else before the first answer. The methods are called as
redis-py's are, as far as the HTTP side has use for them; replies come as Redis sends them.

While a process is frozen its connections die unseen. One that was closed is noticed by the next command, which is then
sent once more on a new connection: everything that the HTTP side sends may be repeated. One that was dropped without a
word (a firewall forgot it, the server was replaced) would swallow a command and its time, so none that rested for long
is trusted. Nothing runs in between: no task, no subscription.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple, cast
from urllib.parse import unquote, urlsplit

import hiredis
from redis import exceptions

from tonearm.late_import import import_whole
from tonearm.redis.client import Client

if TYPE_CHECKING:
    from ssl import SSLContext

TRUSTED_FOR_S = 60.0
"""Seconds of rest. AWS' networks forget a connection after 350 s (Amazon EC2, *Idle connection tracking timeout*)."""

DEFAULT_PORT = 6379
_PIECE = 64 * 1024
_NOTHING = object()

_ERRORS: dict[str, type[exceptions.RedisError]] = {
    "LOADING": exceptions.BusyLoadingError,
    "NOAUTH": exceptions.AuthenticationError,
    "NOSCRIPT": exceptions.NoScriptError,
    "READONLY": exceptions.ReadOnlyError,
    "WRONGPASS": exceptions.AuthenticationError,
}
_UNFIT = (exceptions.ConnectionError, exceptions.ReadOnlyError)
"""Errors after which another connection may fare better: this one leads to a server that became a replica."""


def connect_lean(url: str) -> Client:
    """A client that has no timeout of its own, and sends once more what was lost with a connection.

    ``url`` as for :func:`tonearm.redis.client.connect`. Where it names a cluster, a socket or what else redis-py has an
    option for, it is redis-py's client.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("redis", "rediss") or parts.query:
        import_whole("redis")
        from tonearm.redis.kept import connect_kept

        return connect_kept(url)
    return cast(Client, LeanClient(url))


class _Commands:
    """Commands by their names. What becomes of one is up to :meth:`execute_command`."""

    if TYPE_CHECKING:

        def execute_command(self, *command: Any) -> Any: ...

    def get(self, key: str) -> Any:
        return self.execute_command("GET", key)

    def hget(self, key: str, field: str) -> Any:
        return self.execute_command("HGET", key, field)

    def hmget(self, key: str, fields: Sequence[Any]) -> Any:
        return self.execute_command("HMGET", key, *fields)

    def zcard(self, key: str) -> Any:
        return self.execute_command("ZCARD", key)

    def zrange(self, key: str, first: int, last: int) -> Any:
        return self.execute_command("ZRANGE", key, first, last)

    def blpop(self, keys: Sequence[str], timeout: float) -> Any:
        return self.execute_command("BLPOP", *keys, timeout)

    def eval(self, source: str, count: int, *rest: Any) -> Any:
        return self.execute_command("EVAL", source, count, *rest)

    def evalsha(self, sha: str, count: int, *rest: Any) -> Any:
        return self.execute_command("EVALSHA", sha, count, *rest)


class LeanClient(_Commands):
    """One connection, kept from one request to the next; a second request at the same time has one for itself."""

    def __init__(self, url: str) -> None:
        self._address = _Address.of(url)
        self._kept: _Connection | None = None
        self._used_at = 0.0

    async def execute_command(self, *command: Any) -> Any:
        """The reply to one command.

        Raises:
            RedisError: Redis is down or refuses.
            OSError: the same.
        """
        (reply,) = await self.exchange([command])
        if isinstance(reply, Exception):
            raise reply
        return reply

    def pipeline(self, *, transaction: bool) -> Pipeline:
        """Commands for one round trip; never a transaction."""
        assert not transaction
        return Pipeline(self)

    async def exchange(self, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        """The replies to ``commands``, in their order; errors among them.

        Raises:
            RedisError: Redis is down.
            OSError: the same.
        """
        connection = self._take()
        if connection is not None:
            try:
                return await self._exchange(connection, commands)
            except (exceptions.ConnectionError, OSError):
                pass  # it died since it was last used
        return await self._exchange(await _Connection.to(self._address, self._trusted), commands)

    async def aclose(self) -> None:
        """Close the connection that is kept."""
        connection = self._take()
        if connection is not None:
            connection.close()

    @cached_property
    def _trusted(self) -> SSLContext | None:
        """Made once: reading what the system trusts takes longer than all else of a new connection."""
        if not self._address.tls:
            return None
        import ssl

        return ssl.create_default_context()

    def _take(self) -> _Connection | None:
        # The wall clock goes on while a process is frozen; the monotonic one may not.
        connection, self._kept = self._kept, None
        if connection is not None and not 0 <= time.time() - self._used_at < TRUSTED_FOR_S:
            connection.close()
            return None
        return connection

    async def _exchange(self, connection: _Connection, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        try:
            replies = await connection.exchange(commands)
        except BaseException:
            connection.close()
            raise
        if self._kept is not None or any(isinstance(reply, _UNFIT) for reply in replies):
            connection.close()
        else:
            self._kept, self._used_at = connection, time.time()
        return replies


class Pipeline(_Commands):
    """Commands that are sent together."""

    def __init__(self, client: LeanClient) -> None:
        self._client = client
        self._commands: list[tuple[Any, ...]] = []

    def execute_command(self, *command: Any) -> Pipeline:
        """Have it sent with the others."""
        self._commands.append(command)
        return self

    async def execute(self) -> list[Any]:
        """The replies to all.

        Raises:
            RedisError: Redis is down, or refuses one of them.
            OSError: Redis is down.
        """
        replies = await self._client.exchange(self._commands)
        for reply in replies:
            if isinstance(reply, Exception):
                raise reply
        return replies


class _Address(NamedTuple):
    """Where Redis is, and what is said there first."""

    host: str
    port: int
    tls: bool
    greeting: tuple[tuple[Any, ...], ...]

    @classmethod
    def of(cls, url: str) -> _Address:
        parts = urlsplit(url)
        greeting: list[tuple[Any, ...]] = []
        if parts.password is not None:
            greeting.append(("AUTH", *(unquote(each) for each in (parts.username, parts.password) if each)))
        if number := parts.path.strip("/"):
            greeting.append(("SELECT", number))
        return cls(parts.hostname or "localhost", parts.port or DEFAULT_PORT, parts.scheme == "rediss", tuple(greeting))


class _Connection:
    """A connection to Redis, over which one question is asked at a time."""

    def __init__(self, streams: tuple[asyncio.StreamReader, asyncio.StreamWriter], greeting: Any) -> None:
        self._reader, self._writer = streams
        self._replies = hiredis.Reader(
            protocolError=exceptions.InvalidResponse, replyError=_error, notEnoughData=_NOTHING
        )
        self._greeting = greeting

    @classmethod
    async def to(cls, address: _Address, trusted: SSLContext | None) -> _Connection:
        return cls(await asyncio.open_connection(address.host, address.port, ssl=trusted), address.greeting)

    async def exchange(self, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        greeting, self._greeting = self._greeting, ()
        self._writer.write(b"".join(hiredis.pack_command(each) for each in (*greeting, *commands)))
        for _ in greeting:
            if isinstance(said := await self._reply(), Exception):
                raise said
        return [await self._reply() for _ in commands]

    async def _reply(self) -> Any:
        while (reply := self._replies.gets()) is _NOTHING:
            piece = await self._reader.read(_PIECE)
            if not piece:
                raise exceptions.ConnectionError("closed by the server")
            self._replies.feed(piece)
        return reply

    def close(self) -> None:
        """At once: nobody may be there to agree to an end of TLS."""
        self._writer.transport.abort()


def _error(said: str) -> Exception:
    code, _, rest = said.partition(" ")
    kind = _ERRORS.get(code)
    return exceptions.ResponseError(said) if kind is None else kind(rest)

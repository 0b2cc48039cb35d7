"""Signing and sending, byte by byte, so that tests can also send what Discord sends only to try a receiver.

From the Discord documentation, "Setting Up an Endpoint", "Validating Security Request Headers".
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import h11
from nacl.signing import SigningKey

MAX_ANSWER = 8 * 1024 * 1024
"""Bytes of an answer that are read at most."""

IDLE = 15.0
"""Seconds a connection is kept for the next request."""

Headers = list[tuple[str, str]]


@dataclass(slots=True)
class Sent:
    """What came of one POST. Times are CLOCK_MONOTONIC in nanoseconds.

    Attributes:
        sent_at_ns: when the sending began.
        written_at_ns: when the last byte of the request was written to the socket.
        answered_at_ns: when the last byte of the answer was read.
        error: why there is no answer, None when there is one.
    """

    sent_at_ns: int = 0
    written_at_ns: int | None = None
    answered_at_ns: int | None = None
    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    error: str | None = None


class Signer:
    """The application's key pair."""

    def __init__(self, seed: bytes | None = None) -> None:
        self._key = SigningKey(seed) if seed else SigningKey.generate()
        self.public_key = self._key.verify_key.encode().hex()

    @property
    def seed(self) -> bytes:
        """The secret the key is made from, 32 bytes."""
        return self._key.encode()

    def headers(self, body: bytes, timestamp: int | None = None) -> Headers:
        """Return the headers Discord sends with a body, signed at ``timestamp`` (Unix seconds; None for now)."""
        stamp = str(int(time.time()) if timestamp is None else timestamp)
        signature = self._key.sign(stamp.encode() + body).signature.hex()
        return [
            ("User-Agent", "Discord-Interactions/1.0 (+https://discord.com)"),
            ("Accept", "*/*"),
            ("Content-Type", "application/json"),
            ("X-Signature-Ed25519", signature),
            ("X-Signature-Timestamp", stamp),
        ]


class _Connection:
    """One HTTP/1.1 connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.used = False
        self.idle_since = 0.0
        self._http = h11.Connection(h11.CLIENT)
        writer.transport.set_write_buffer_limits(0)

    async def write(self, raw: bytes) -> None:
        """Write a request; the parser is told of one of the same shape."""
        self._http.send(h11.Request(method="POST", target="/", headers=[("Host", "x"), ("Content-Length", "0")]))
        self._http.send(h11.EndOfMessage())
        self.writer.write(raw)
        await self.writer.drain()

    async def read(self, sent: Sent) -> None:
        """Read the answer to the end."""
        body = bytearray()
        while True:
            event = self._http.next_event()
            if event is h11.NEED_DATA:
                received = await self.reader.read(65536)
                if not received and sent.status is None:
                    raise ConnectionResetError("closed without an answer")
                self._http.receive_data(received)
            elif isinstance(event, h11.Response):
                sent.status = event.status_code
                sent.headers = {name.decode(): value.decode("latin-1") for name, value in event.headers}
            elif isinstance(event, h11.Data):
                body += event.data
                if len(body) > MAX_ANSWER:
                    raise ConnectionError("the answer is too long")
            elif isinstance(event, h11.EndOfMessage):
                break
        sent.body = bytes(body)

    def reusable(self) -> bool:
        """Make ready for the next request; False if the server does not want one."""
        try:
            self._http.start_next_cycle()
        except h11.LocalProtocolError:
            return False
        self.used = True
        return True

    def close(self) -> None:
        """Drop the connection."""
        self.writer.transport.abort()


class Sender:
    """Posts to the interactions URL over kept connections."""

    def __init__(self) -> None:
        self._idle: dict[tuple[str, int, bool], list[_Connection]] = {}

    async def close(self) -> None:
        """Close all kept connections."""
        for connections in self._idle.values():
            for connection in connections:
                connection.close()
                with contextlib.suppress(OSError):
                    await connection.writer.wait_closed()
        self._idle.clear()

    async def post(self, url: str, body: bytes, headers: Headers, *, seconds: float) -> Sent:
        """POST ``body`` with exactly these headers, and Host and Content-Length where they are missing.

        Nothing is raised: what went wrong is in the result's ``error``. A connection that the server had closed while
        it was idle is replaced once.
        """
        sent = Sent(time.monotonic_ns())
        try:
            async with asyncio.timeout(seconds):
                await self._post(url, body, headers, sent)
        except TimeoutError:
            sent.error = f"no answer within {seconds:g} s"
        except (OSError, h11.RemoteProtocolError, ssl.SSLError) as error:
            sent.error = f"{type(error).__name__}: {error}"
        if sent.error is not None:
            sent.status = None
        return sent

    async def _post(self, url: str, body: bytes, headers: Headers, sent: Sent) -> None:
        parts = urlsplit(url)
        secure = parts.scheme == "https"
        key = (parts.hostname or "localhost", parts.port or (443 if secure else 80), secure)
        raw = _raw(parts.path or "/", parts.query, parts.netloc, body, headers)
        while True:
            connection = await self._connection(key)
            try:
                await connection.write(raw)
                sent.written_at_ns = time.monotonic_ns()
                await connection.read(sent)
                sent.answered_at_ns = time.monotonic_ns()
                break
            except (ConnectionError, h11.RemoteProtocolError):
                connection.close()
                if not connection.used or sent.status is not None:
                    raise
            except BaseException:
                connection.close()
                raise
        if connection.reusable():
            connection.idle_since = time.monotonic()
            self._idle.setdefault(key, []).append(connection)
        else:
            connection.close()

    async def _connection(self, key: tuple[str, int, bool]) -> _Connection:
        kept = self._idle.get(key, [])
        while kept:
            connection = kept.pop()
            if not connection.reader.at_eof() and time.monotonic() - connection.idle_since < IDLE:
                return connection
            connection.close()
        host, port, secure = key
        context = ssl.create_default_context() if secure else None
        reader, writer = await asyncio.open_connection(host, port, ssl=context)
        return _Connection(reader, writer)


def _raw(path: str, query: str, host: str, body: bytes, headers: Headers) -> bytes:
    names = {name.lower() for name, _ in headers}
    lines = [f"POST {path}{'?' + query if query else ''} HTTP/1.1"]
    if "host" not in names:
        lines.append(f"Host: {host}")
    lines += [f"{name}: {value}" for name, value in headers]
    if "content-length" not in names and "transfer-encoding" not in names:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body

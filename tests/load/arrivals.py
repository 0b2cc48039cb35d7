"""Signed interactions, sent when their time comes whether or not those before them are answered."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import time

import msgspec

from tests.support.interactions.signed import command, sign, snowflake

OVER_S = 5.0
"""Seconds that the last answers are waited for."""

_numbers = itertools.count(1)


class Told(msgspec.Struct, frozen=True):
    """What came of ``sent`` requests: answers by HTTP status and response type, and their delays in seconds."""

    sent: int
    answers: dict[tuple[int, int], int]
    delays: list[float]


def prepare(host: str, rate: float, seconds: float) -> list[bytes]:
    """Requests as they stand on the wire, one for each ``1 / rate`` s from now on; no two of one guild or person.

    Signed beforehand: it would cost the sender as much as the server's verifying.
    """
    begin, requests = time.time(), []
    for number in range(int(rate * seconds)):
        made = command("play", query=f"a song with some words {number}")
        made["id"] = str(snowflake(now=begin + number / rate))
        made["guild_id"] = made["member"]["user"]["id"] = str((next(_numbers) << 22) + 1)
        body = json.dumps(made).encode()
        lines = {"Host": host, "User-Agent": "Discord-Interactions/1.0 (+https://discord.com)", **sign(body)}
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        requests.append(f"POST /interactions HTTP/1.1\r\n{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    return requests


async def send_all(port: int, requests: list[bytes], rate: float) -> Told:
    """Send ``requests`` to ``port`` of this machine, ``rate`` a second, on connections that are kept."""
    loop = asyncio.get_running_loop()
    sender = _Sender(port)
    begin = loop.time()
    for number, request in enumerate(requests):
        if (wait := begin + number / rate - loop.time()) > 0:
            await asyncio.sleep(wait)
        await sender.send(request)
    await sender.close(OVER_S)
    return Told(len(requests), sender.answers, sender.delays)


class _Sender:
    def __init__(self, port: int) -> None:
        self._port = port
        self._idle: list[_Connection] = []
        self._all: list[_Connection] = []
        self._in_hand = 0
        self._none_in_hand = asyncio.Event()
        self.answers: dict[tuple[int, int], int] = {}
        self.delays: list[float] = []

    async def send(self, request: bytes) -> None:
        if not self._idle:
            loop = asyncio.get_running_loop()
            _, connection = await loop.create_connection(lambda: _Connection(self), "127.0.0.1", self._port)
            self._all.append(connection)
            self._idle.append(connection)
        self._in_hand += 1
        self._none_in_hand.clear()
        self._idle.pop().send(request)

    def lost(self, connection: _Connection) -> None:
        if connection in self._idle:
            self._idle.remove(connection)

    def answered(self, connection: _Connection, status: int, body: bytes, delay: float) -> None:
        said = (status, json.loads(body)["type"] if status == 200 else 0)
        self.answers[said] = self.answers.get(said, 0) + 1
        self.delays.append(delay)
        self._idle.append(connection)
        self._in_hand -= 1
        if not self._in_hand:
            self._none_in_hand.set()

    async def close(self, within_s: float) -> None:
        """What is not answered by then is not."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                if self._in_hand:
                    await self._none_in_hand.wait()
        for connection in self._all:
            connection.transport.close()


class _Connection(asyncio.Protocol):
    """One request at a time; every answer has a Content-Length."""

    def __init__(self, sender: _Sender) -> None:
        self._sender = sender
        self._received = b""
        self._sent_at = 0.0
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def connection_lost(self, _: Exception | None) -> None:
        self._sender.lost(self)

    def send(self, request: bytes) -> None:
        self._sent_at = time.perf_counter()
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        if not end:
            return
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        if len(body) < length:
            return
        self._received = b""
        delay = time.perf_counter() - self._sent_at
        self._sender.answered(self, int(head[9:12]), body, delay)

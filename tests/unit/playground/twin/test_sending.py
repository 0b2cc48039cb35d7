"""Signatures, and sending byte by byte to servers of every kind."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from discord_interactions import verify_key
from nacl.signing import VerifyKey

from playground.twin.interactions.sending import Sender, Signer
from playground.twin.snowflakes import Snowflakes, made_at_ms, shard_of

OK = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 10\r\n\r\n{"type":1}'

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def test_signatures_hold_by_two_opinions() -> None:
    signer = Signer()
    body = json.dumps({"type": 1}).encode()
    headers = dict(signer.headers(body, timestamp=1_700_000_000))
    signature, stamp = headers["X-Signature-Ed25519"], headers["X-Signature-Timestamp"]
    assert stamp == "1700000000"
    VerifyKey(bytes.fromhex(signer.public_key)).verify(stamp.encode() + body, bytes.fromhex(signature))
    assert verify_key(body, signature, stamp, signer.public_key)
    assert not verify_key(body + b" ", signature, stamp, signer.public_key)
    assert Signer(signer.seed).public_key == signer.public_key


def test_the_public_key_follows_rfc_8032() -> None:
    seed = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    assert Signer(seed).public_key == "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"


@pytest.mark.parametrize("count", [1, 2, 16, 63])
def test_guild_ids_fall_on_their_shard(count: int) -> None:
    snowflakes = Snowflakes()
    for shard in range(count):
        assert shard_of(snowflakes.for_shard(shard, count), count) == shard
    with pytest.raises(ValueError, match="no shard"):
        snowflakes.for_shard(count, count)
    assert made_at_ms(snowflakes.make(1_500_000_000_000)) == 1_500_000_000_000


@asynccontextmanager
async def server(serve: Serve) -> AsyncIterator[str]:
    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}/interactions?x=1"
    finally:
        listening.close()  # without waiting, as `async with` does since 3.12: the sender keeps its connections


async def request(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(
        int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")
    )
    return head + await reader.readexactly(length)


@pytest.fixture
async def sender() -> AsyncIterator[Sender]:
    sender = Sender()
    yield sender
    await sender.close()


async def test_connections_are_kept_and_replaced(sender: Sender) -> None:
    connections = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)
        for _ in range(2):  # then the connection is closed, as servers do with idle ones
            await request(reader)
            writer.write(OK)
        await writer.drain()
        writer.close()

    async with server(serve) as url:
        for _ in range(5):
            sent = await sender.post(url, b"{}", [("A", "b")], seconds=5)
            assert (sent.status, sent.body, sent.error) == (200, b'{"type":1}', None)
            assert sent.written_at_ns is not None
            assert sent.answered_at_ns is not None
            assert sent.sent_at_ns <= sent.written_at_ns <= sent.answered_at_ns
        assert len(connections) == 3


async def test_headers_arrive_exactly(sender: Sender) -> None:
    received: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received.append(await request(reader))
        writer.write(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    async with server(serve) as url:
        sent = await sender.post(url, b"body", [("X-A", "1"), ("X-A", "2")], seconds=5)
    assert sent.status == 204
    head = received[0].split(b"\r\n\r\n")[0]
    assert head.startswith(b"POST /interactions?x=1 HTTP/1.1\r\nHost: 127.0.0.1:")
    assert head.endswith(b"X-A: 1\r\nX-A: 2\r\nContent-Length: 4")


@pytest.mark.parametrize(
    ("answer", "error"),
    [(b"", "ConnectionResetError"), (b"nonsense\r\n\r\n", "RemoteProtocolError"), (OK[:-3], "RemoteProtocolError")],
)
async def test_broken_answers(answer: bytes, error: str, sender: Sender) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        writer.write(answer)
        await writer.drain()
        writer.close()

    async with server(serve) as url:
        sent = await sender.post(url, b"{}", [], seconds=5)
    assert sent.status is None
    assert sent.error is not None
    assert error in sent.error


async def test_silence_and_refusal(sender: Sender) -> None:
    gone = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        await gone.wait()
        writer.close()

    async with server(serve) as url:
        sent = await sender.post(url, b"{}", [], seconds=0.1)
        gone.set()
    assert (sent.status, sent.error) == (None, "no answer within 0.1 s")
    sent = await sender.post("http://127.0.0.1:1/", b"{}", [], seconds=1)
    assert sent.error is not None
    assert sent.written_at_ns is None

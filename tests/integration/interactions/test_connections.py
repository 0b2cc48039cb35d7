"""Connections that are slow, endless, or meant to be read differently by somebody in between."""

import asyncio
import contextlib
import socket

import httpx
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from interactions import process
from interactions.connections import BoundedProtocol


async def echo(request):
    return PlainTextResponse(str(len(await request.body())))


async def wait(request):
    """In hand until nobody is there any more."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
    return PlainTextResponse("")


@pytest.fixture
async def served():
    """The URL of a server as the processes run it."""
    app = Starlette(routes=[Route("/", echo, methods=["GET", "POST"]), Route("/wait", wait)])
    config = uvicorn.Config(app, http=BoundedProtocol, ws="none", lifespan="off", log_config=None, access_log=False)
    server = process._Server(config, "test")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        serving = asyncio.create_task(server.serve([listener]))
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        async with asyncio.timeout(20):
            await serving


async def raw(url, *pieces):
    """What comes back until the connection is closed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
    with contextlib.suppress(ConnectionError):
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
    try:
        return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


@pytest.mark.parametrize("begun", [b"", b"POST / HTTP/1.1\r\nHost: x\r\nX-Slow: "])
async def test_a_connection_that_says_nothing_or_not_enough_is_closed(served, begun, monkeypatch):
    monkeypatch.setattr(process, "HEADERS_S", 0.3)
    async with httpx.AsyncClient(base_url=served) as http:
        assert (await http.get("/")).text == "0"
        (resting,) = http._transport._pool.connections
        assert await raw(served, begun) == b""
        assert (await http.get("/")).text == "0"
        assert http._transport._pool.connections == [resting], "who rests between two requests is left alone"


@pytest.mark.parametrize(
    "begun",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: ",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nX-Long: ",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1;long=",
        b"GET /wait HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\nX-Long: ",
    ],
    ids=["headers", "trailers", "chunk", "headers of a second request"],
)
async def test_headers_without_an_end_are_not_kept(served, begun):
    async with asyncio.timeout(10):
        assert await raw(served, begun, *[b"x" * 32_768] * 40) == b""
    async with httpx.AsyncClient(base_url=served) as http:
        assert (await http.post("/", content=b"x" * 1_000_000)).text == "1000000"


@pytest.mark.parametrize(
    "headers",
    [
        b"Content-Length: 4\r\nTransfer-Encoding: chunked",
        b"Content-Length: 4\r\nContent-Length: 5",
        b"Content-Length: 4, 5",
        b"Content-Length: +4",
        b"Transfer-Encoding: chunked, identity",
        b"Transfer-Encoding : chunked",
        b"X-Folded: a\r\n b",
    ],
)
async def test_a_length_that_two_could_read_differently_is_refused(served, headers):
    smuggled = b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
    said = await raw(served, b"POST / HTTP/1.1\r\nHost: x\r\n" + headers + b"\r\n\r\n0\r\n\r\n" + smuggled)
    assert said.startswith(b"HTTP/1.1 400 ")
    assert said.count(b"HTTP/1.1 ") == 1

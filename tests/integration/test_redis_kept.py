"""Clients whose process freezes between requests: one suite that redis-py's and the lean one must pass."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest
import redis.exceptions

from playground.stores.valkey import Valkey
from tests.chaos.proxies import Mode, Proxy
from tests.integration.test_redis_tls import certificate, tls_in_front_of  # noqa: F401 - a fixture
from tonearm.redis import rates
from tonearm.redis.client import FAILURES, now_ms
from tonearm.redis.guilds import fetch_queue
from tonearm.redis.kept import connect_kept
from tonearm.redis.lean import TRUSTED_FOR_S, LeanClient, connect_lean

Connect = Callable[[str], "redis.asyncio.Redis[bytes]"]


@pytest.fixture(params=[connect_kept, connect_lean], ids=["redis-py", "lean"])
async def connect(request: pytest.FixtureRequest) -> AsyncIterator[Connect]:
    """Makes a client, which is closed in the end."""
    made = []

    def make(url: str) -> "redis.asyncio.Redis[bytes]":
        made.append(request.param(url))
        return made[-1]

    yield make
    for client in made:
        await client.aclose()


@pytest.fixture
async def proxy(redis_url: str) -> AsyncIterator[Proxy]:
    there = urlsplit(redis_url)
    async with Proxy(lambda: [(there.hostname, there.port)]) as proxy:
        yield proxy


async def test_the_http_sides_commands_are_answered_alike(redis_url, redis_client, connect):
    client = connect(redis_url)
    await redis_client.set("text", b"\xff\x00")
    await redis_client.hset("hash", mapping={"a": "1", "b": "2"})
    await redis_client.zadd("set", {"x": 1, "y": 2})
    await redis_client.rpush("list", "first")
    assert await client.get("text") == b"\xff\x00"
    assert await client.get("nothing") is None
    assert await client.hmget("hash", ["a", "c", b"b"]) == [b"1", None, b"2"]
    assert list(await client.blpop(["list"], 0.5)) == [b"list", b"first"]
    assert await client.blpop(["list"], 0.01) is None
    assert await client.eval("return {ARGV[1], KEYS[1], 7}", 1, "key", b"\xfe") == [b"\xfe", b"key", 7]
    pipe = client.pipeline(transaction=False)
    pipe.hget("hash", "b")
    pipe.zcard("set")
    pipe.zrange("set", 0, -1)
    assert await pipe.execute() == [b"2", 2, [b"x", b"y"]]
    assert abs(await now_ms(client) - time.time() * 1000) < 60_000
    assert (await fetch_queue(client, 0, 1))[1:] == (0, [])


async def test_a_script_that_the_server_does_not_know_is_told(redis_url, redis_client, connect):
    client = connect(redis_url)
    for _ in range(2):
        assert (await rates.spend(client, "somebody", per_minute=60)).allowed
        await redis_client.script_flush()


async def test_a_refusal_says_what_it_is_and_leaves_the_connection_usable(redis_url, redis_client, connect):
    client = connect(redis_url)
    await redis_client.set("text", "x")
    before = {each["id"] for each in await redis_client.client_list()}
    for _ in range(2):
        with pytest.raises(redis.exceptions.ResponseError, match="WRONGTYPE"):
            await client.hmget("text", ["a"])
        pipe = client.pipeline(transaction=False)
        pipe.zcard("text")
        pipe.hget("hash", "a")
        with pytest.raises(redis.exceptions.ResponseError, match="WRONGTYPE"):
            await pipe.execute()
    assert await client.get("text") == b"x"
    assert len({each["id"] for each in await redis_client.client_list()} - before) == 1


async def test_what_was_lost_with_a_connection_is_sent_once_more(redis_url, redis_client, connect):
    client = connect(redis_url)
    others = {each["id"] for each in await redis_client.client_list()}
    for _ in range(3):
        assert await client.get("x") is None
        (kept,) = {each["id"] for each in await redis_client.client_list()} - others
        assert await redis_client.client_kill_filter(_id=kept) == 1


async def test_a_connection_that_rested_is_not_trusted(proxy, connect, monkeypatch):
    client = connect(f"redis://{proxy.address}")
    await client.get("x")
    proxy.forget()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await client.get("x")
    await client.get("x")  # the one that was given up is not used again
    proxy.forget()
    rested = SimpleNamespace(time=lambda: time.time() + TRUSTED_FOR_S)
    for module in ("kept", "lean"):
        monkeypatch.setattr(f"tonearm.redis.{module}.time", rested)
    async with asyncio.timeout(5):
        await client.get("x")


async def test_an_answer_that_nobody_waited_for_is_never_taken_for_another(redis_url, redis_client, connect):
    client = connect(redis_url)
    await redis_client.set("text", "right")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await client.blpop(["list"], 5)
    await redis_client.rpush("list", "wrong")
    async with asyncio.timeout(5):
        assert await client.get("text") == b"right"


async def test_two_at_a_time_do_not_get_in_each_others_way(redis_url, redis_client, connect):
    client = connect(redis_url)
    for number in range(20):
        await redis_client.set(f"key{number}", number)
    for _ in range(2):
        found = await asyncio.gather(*(client.get(f"key{number}") for number in range(20)))
        assert found == [b"%d" % number for number in range(20)]


async def test_a_server_that_is_away_is_a_failure_at_once(proxy, connect):
    client = connect(f"redis://{proxy.address}")
    await client.get("x")
    await proxy.set(Mode.REFUSE)
    for _ in range(2):
        with pytest.raises(FAILURES):
            await client.get("x")
    await proxy.set(Mode.PASS)
    assert await client.get("x") is None


async def test_password_and_number_are_said_first(connect):
    async with asyncio.timeout(60), Valkey(options=("--requirepass", "s3 cret/@")) as server:
        address = f"127.0.0.1:{server.port}"
        for user in ("", "default"):
            client = connect(f"redis://{user}:s3%20cret%2F%40@{address}/3")
            await client.eval("return redis.call('SET', KEYS[1], '1')", 1, "here")
            assert await client.get("here") == b"1"
        assert await connect(f"redis://:s3%20cret%2F%40@{address}").get("here") is None
        with pytest.raises(redis.exceptions.AuthenticationError):
            await connect(f"redis://{address}").get("here")
        with pytest.raises(redis.exceptions.AuthenticationError):
            await connect(f"redis://:wrong@{address}").get("here")


async def test_a_server_that_became_a_replica_is_left(redis_url, redis_client):
    client = connect_lean(redis_url)
    others = {each["id"] for each in await redis_client.client_list()}
    async with Valkey() as other:
        await redis_client.replicaof("127.0.0.1", other.port)
        try:
            with pytest.raises(redis.exceptions.ReadOnlyError):
                await client.eval("return redis.call('SET', KEYS[1], '1')", 1, "x")
        finally:
            await redis_client.replicaof("NO", "ONE")
    async with asyncio.timeout(5):
        while {each["id"] for each in await redis_client.client_list()} - others:  # noqa: ASYNC110 - it is told nobody
            await asyncio.sleep(0.01)


async def test_with_tls_the_server_must_be_known(redis_url, certificate, monkeypatch):  # noqa: F811
    ca, tls = certificate
    async with tls_in_front_of(urlsplit(redis_url).port, tls) as port:
        client = connect_lean(f"rediss://localhost:{port}/0")
        assert isinstance(client, LeanClient)
        with pytest.raises(FAILURES):
            await client.get("x")
        monkeypatch.setenv("SSL_CERT_FILE", str(ca))
        client = connect_lean(f"rediss://localhost:{port}/0")
        assert await client.get("x") is None
        await client.aclose()
        monkeypatch.delenv("SSL_CERT_FILE")  # what is trusted was read once: it takes long
        assert await client.get("x") is None
        await client.aclose()


async def test_what_is_no_redis_is_a_failure(redis_url, connect):
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
        client = connect(f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        for _ in range(2):
            with pytest.raises(FAILURES):
                await client.get("x")


@pytest.mark.parametrize("url", ["redis+cluster://localhost", "unix:///tmp/socket", "redis://localhost?protocol=3"])
def test_what_needs_more_than_an_address_is_redis_pys(url):
    assert not isinstance(connect_lean(url), LeanClient)

"""One connection for many callers."""

import asyncio
from contextlib import asynccontextmanager

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from tonearm.redis.client import FAILURES
from tonearm.redis.script import Script
from tonearm.redis.shared import SharedClient, connect_shared


@pytest.fixture
async def shared(redis_url):
    async with connect_shared(redis_url) as client:
        yield client


@pytest.fixture
async def connections(redis_client, redis_url):
    """``await connections()``: how many there are more than before the test."""
    before = {each["id"] for each in await redis_client.client_list(_type="normal")}

    async def connections():
        return len({each["id"] for each in await redis_client.client_list(_type="normal")} - before)

    return connections


async def test_each_of_many_callers_gets_its_own_reply(shared, connections):
    async def one(number):
        await shared.set(f"k{number}", number)
        return await shared.get(f"k{number}")

    assert await asyncio.gather(*(one(n) for n in range(500))) == [b"%d" % n for n in range(500)]
    assert await connections() == 1


async def test_an_error_reaches_the_caller_who_made_it_alone(shared):
    await shared.set("text", "x")
    first, wrong, last = await asyncio.gather(
        shared.get("text"), shared.incr("text"), shared.get("text"), return_exceptions=True
    )
    assert (first, last) == (b"x", b"x")
    assert isinstance(wrong, ResponseError)


async def test_replies_are_those_of_the_client_it_stands_for(shared, redis_client):
    await shared.hset("h", mapping={"a": 1})
    for ask in (lambda c: c.hgetall("h"), lambda c: c.type("h"), lambda c: c.client_getname(), lambda c: c.ping()):
        assert await ask(shared) == await ask(redis_client)
    assert len(await shared.time()) == 2


async def test_a_script_is_loaded_where_it_is_not_known(shared):
    script = Script("claim")
    assert await script(shared, ["nothing"], []) is None
    assert await script(shared, ["nothing"], []) is None


async def test_pipelines_and_subscriptions_have_connections_of_their_own(shared, redis_client):
    await shared.ping()
    async with shared.pubsub() as pubsub:
        await pubsub.subscribe("c")
        assert (await pubsub.get_message(timeout=2))["type"] == "subscribe"
        assert await shared.get("nothing") is None
        assert await shared.pipeline().set("a", 1).get("a").execute() == [True, b"1"]


async def test_a_closed_connection_is_noticed_before_the_next_caller(shared, redis_client):
    number = await shared.client_id()
    reading = shared._line._reading
    await redis_client.client_kill_filter(_id=number)
    await reading
    assert await shared.ping()


async def test_who_waits_when_it_closes_is_told(shared, redis_client):
    number = await shared.client_id()
    blocked = asyncio.create_task(shared.blpop(["nothing"], timeout=0))
    await wait_until_blocked(redis_client)
    await redis_client.client_kill_filter(_id=number)
    with pytest.raises(RedisConnectionError):
        await blocked


async def wait_until_blocked(redis_client):
    """Returns once Redis says that it holds a caller back."""
    async with asyncio.timeout(5):
        while (await redis_client.info("clients"))["blocked_clients"] == 0:
            pass


async def test_one_who_gives_up_takes_nobody_with_him(shared, redis_client, connections):
    """A command that blocks stands for a Redis that hangs."""
    hanging = asyncio.create_task(shared.blpop(["list"], timeout=0))
    behind = asyncio.create_task(shared.get("nothing"))
    await wait_until_blocked(redis_client)
    old = shared._line
    hanging.cancel()
    await asyncio.gather(hanging, return_exceptions=True)
    assert await shared.ping()  # another way
    assert shared._line is not old
    assert not behind.done()
    await redis_client.rpush("list", "x")
    assert await behind is None
    await asyncio.gather(old._reading, return_exceptions=True)
    assert await connections() == 1


async def test_when_all_gave_up_the_connection_is_closed(shared, redis_client):
    hanging = asyncio.create_task(shared.blpop(["list"], timeout=0))
    await wait_until_blocked(redis_client)
    reading = shared._line._reading
    hanging.cancel()
    await asyncio.gather(hanging, reading, return_exceptions=True)
    assert reading.done()
    assert await shared.ping()


@asynccontextmanager
async def silent_server():
    async def accept(reader, writer):
        while await reader.read(65_536):
            pass
        writer.close()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def test_many_who_wait_for_a_connection_give_up_together():
    async with silent_server() as port, connect_shared(f"redis://127.0.0.1:{port}/0") as client:

        async def ask():
            async with asyncio.timeout(0.2):
                await client.ping()

        started = asyncio.get_running_loop().time()
        results = await asyncio.gather(*(ask() for _ in range(50)), return_exceptions=True)
        assert asyncio.get_running_loop().time() - started < 1
        assert {type(result) for result in results} == {TimeoutError}


async def test_nobody_there():
    async with silent_server() as port:
        pass
    async with connect_shared(f"redis://127.0.0.1:{port}/0") as client:
        with pytest.raises(FAILURES):
            await client.ping()


async def test_a_cluster_has_a_client_of_its_own():
    assert not isinstance(connect_shared("redis+cluster://127.0.0.1:1"), SharedClient)

"""Redis down, hanging, slow, refusing: every request gets its sentence, in time."""

import asyncio
import itertools
import signal
import time
from contextlib import asynccontextmanager

import pytest

from interactions import app
from playground.stores.valkey import Valkey
from tests.support.interactions.signed import click, command, interaction, send, text_of
from tests.support.interactions.stub_node import StubNode, answer
from tonearm.redis import keys
from tonearm.redis.client import connect
from tonearm.sentences import Sentence

IN_TIME = 2.5

CLASSES = {
    "play": lambda: command("play", query="x"),
    "control": lambda: command("pause"),
    "button": lambda: click("v1:pause:abc"),
    "read": lambda: command("queue"),
    "page": lambda: click("v1:page:2"),
}


@pytest.fixture(autouse=True)
def short_meeting(monkeypatch):
    """So that each start without Redis does not take its whole second."""
    monkeypatch.setattr(app, "MEET_SECONDS", 0.2)


@asynccontextmanager
async def silent_server(*, reads=True):
    """Accepts, and never says a word."""

    async def accept(reader, writer):
        try:
            while reads and await reader.read(65_536):
                pass
            if not reads:
                await asyncio.Event().wait()
        finally:
            writer.close()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0"
    finally:
        server.close()


@asynccontextmanager
async def refused_port():
    """Nobody listens there."""
    async with silent_server() as url:
        pass
    yield url


@asynccontextmanager
async def opened_later(redis_url):
    """A way to Redis of which the first connections are cut at once, as in a pod whose network is not open yet."""
    attempts = itertools.count()
    host, _, port = redis_url.partition("://")[2].partition("/")[0].partition(":")

    async def carry(reader, writer):
        try:
            while data := await reader.read(65_536):
                writer.write(data)
        finally:
            writer.close()

    async def accept(reader, writer):
        if next(attempts) < 2:
            writer.close()
            return
        there, back = await asyncio.open_connection(host, int(port))
        await asyncio.gather(carry(reader, back), carry(there, writer), return_exceptions=True)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0"
    finally:
        server.close()


async def sentence_in_time(http, body):
    started = time.monotonic()
    response = await send(http, body)
    assert time.monotonic() - started < IN_TIME
    assert response.status_code == 200
    shown = response.json()
    assert shown["type"] == 4
    assert shown["data"]["flags"] & 64
    return text_of(response)


@pytest.mark.parametrize("what", CLASSES)
@pytest.mark.parametrize("fault", [refused_port, silent_server])
async def test_without_redis_each_class_of_command_gets_the_sentence(serving, fault, what):
    async with fault() as url, serving(url, listening=False, inline_reply_ms=2_000) as http:
        assert await sentence_in_time(http, CLASSES[what]()) == Sentence.MEMORY_AWAY


@pytest.mark.parametrize("fault", [refused_port, silent_server])
async def test_without_redis_what_needs_none_is_answered_as_ever(serving, fault):
    async with fault() as url, serving(url, listening=False) as http:
        assert (await send(http, interaction(1))).json() == {"type": 1}
        assert "`/play`" in text_of(await send(http, command("help")))
        assert (await http.get("/readyz")).status_code == 200


async def test_a_hundred_requests_at_once_wait_no_longer_than_one(serving):
    async with silent_server() as url, serving(url, listening=False) as http:
        said = await asyncio.gather(*(sentence_in_time(http, command("pause")) for _ in range(100)))
        assert set(said) == {Sentence.MEMORY_AWAY}


@pytest.fixture
async def own_valkey():
    """A Valkey that may be frozen and killed, with a client and an owner of shard 0."""
    async with Valkey() as valkey:
        redis = connect(valkey.url, timeout=5)
        valkey.node = StubNode(redis)
        await valkey.node.own()
        yield valkey
        valkey.freed = await valkey.kill(signal.SIGCONT)
        await redis.aclose()


@pytest.mark.parametrize("what", CLASSES)
async def test_when_redis_freezes_between_two_requests(serving, own_valkey, what):
    async with serving(own_valkey.url, inline_reply_ms=2_000) as http:
        await asyncio.gather(send(http, command("pause")), own_valkey.node.do_one())
        await own_valkey.kill(signal.SIGSTOP)
        assert await sentence_in_time(http, CLASSES[what]()) == Sentence.MEMORY_AWAY


@pytest.mark.parametrize("sig", [signal.SIGSTOP, signal.SIGKILL])
async def test_when_redis_goes_while_an_answer_is_waited_for_it_is_deferred(serving, own_valkey, sig, monkeypatch):
    async with serving(own_valkey.url, inline_reply_ms=2_000) as http:
        memory, waiting = http.app.state.memory, asyncio.Event()
        hand_over = memory.hand_over

        async def and_tell(job, window_ms):
            handed = await hand_over(job, window_ms)
            waiting.set()
            return handed

        monkeypatch.setattr(memory, "hand_over", and_tell)
        started = time.monotonic()
        response = asyncio.create_task(send(http, command("pause")))
        await waiting.wait()
        await own_valkey.kill(sig)
        assert (await response).json() == {"type": 5}
        assert time.monotonic() - started < IN_TIME


async def test_when_redis_thaws_what_it_took_is_done_and_its_answer_owed(serving, own_valkey):
    """The hand-over had arrived: the sentence was said too early, and the answer takes its place."""
    node = own_valkey.node
    async with serving(own_valkey.url, inline_reply_ms=2_000) as http:
        await asyncio.gather(send(http, command("pause")), node.do_one())
        await own_valkey.kill(signal.SIGSTOP)
        sent = command("skip")
        assert await sentence_in_time(http, sent) == Sentence.MEMORY_AWAY
        await own_valkey.kill(signal.SIGCONT)
        entry, job = await node.take()
        assert job.id == f"i:{sent['id']}"
        await node.commit(entry, job, answer("done after all"))
        assert await node.redis.zrange(keys.outbox(0), 0, -1) == [job.id.encode()]


async def test_a_confirmation_that_fails_delays_nothing_and_leaves_the_answer_owed(serving, own_valkey, monkeypatch):
    async with serving(own_valkey.url, inline_reply_ms=2_000) as http:
        confirmed = http.app.state.memory.confirm

        async def frozen(job):
            await own_valkey.kill(signal.SIGSTOP)
            try:
                await confirmed(job)
            finally:
                await own_valkey.kill(signal.SIGCONT)

        monkeypatch.setattr(http.app.state.memory, "confirm", frozen)
        response, _ = await asyncio.gather(send(http, command("pause")), own_valkey.node.do_one(answer("fine")))
        assert text_of(response) == "fine"


async def test_a_redis_that_takes_no_writes_is_away(serving, own_valkey):
    async with serving(own_valkey.url, inline_reply_ms=2_000) as http:
        await own_valkey.node.redis.config_set("maxmemory", "1")
        assert await sentence_in_time(http, command("pause")) == Sentence.MEMORY_AWAY
        await own_valkey.node.redis.config_set("maxmemory", "0")
        response, _ = await asyncio.gather(send(http, command("pause")), own_valkey.node.do_one(answer("again")))
        assert text_of(response) == "again"


async def test_after_a_restart_of_redis_it_works_again(serving, own_valkey):
    async with serving(own_valkey.url, inline_reply_ms=2_000) as http:
        await asyncio.gather(send(http, command("pause")), own_valkey.node.do_one())
        await own_valkey.kill()
        assert await sentence_in_time(http, command("pause")) == Sentence.MEMORY_AWAY
        await own_valkey.start()
        await own_valkey.node.redis.connection_pool.disconnect()
        await own_valkey.node.own()
        await http.app.state.replies.wait_until_listening()
        response, _ = await asyncio.gather(send(http, command("pause")), own_valkey.node.do_one(answer("back")))
        assert text_of(response) == "back"


async def test_the_first_click_is_not_before_redis_was_met(redis_url, serving, node):
    async with opened_later(redis_url) as url, serving(url, listening=False) as http:
        text = text_of(await send(http, command("queue")))
    assert text != str(Sentence.MEMORY_AWAY)
    assert "Nothing" in text


async def test_a_start_waits_for_redis_for_a_moment_only(serving):
    started = time.monotonic()
    async with refused_port() as url, serving(url, listening=False) as http:
        assert time.monotonic() - started < app.MEET_SECONDS + 0.5
        assert (await http.get("/readyz")).status_code == 200

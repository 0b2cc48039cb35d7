"""The HTTP side as a function on AWS Lambda, called as Lambda calls it, over a real Valkey."""

import asyncio
import json
import sys
import time
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest

from interactions.aws_asgi import DEFAULTS, make_handler
from tests.chaos.proxies import Proxy
from tests.support.interactions.function import Function, event, signed_event
from tests.support.interactions.signed import KEY, command, interaction, settings, sign
from tests.support.interactions.stub_node import answer
from tonearm.redis import keys
from tonearm.redis.lean import TRUSTED_FOR_S, connect_lean

EPHEMERAL = 64
JSON = "application/json"


@pytest.fixture
def function(monkeypatch):
    """``function(url, **settings)``: one that was just started; at the end of the test it has left nothing running."""
    started, clients = [], []

    def connect(url):
        clients.append(connect_lean(url))
        return clients[-1]

    def start(url: str, **others) -> Function:
        started.append(Function(lambda: make_handler(settings(url, **{"inline_reply_ms": 300, **others}))))
        return started[-1]

    monkeypatch.setattr("interactions.aws_asgi.connect_lean", connect)
    yield start
    (one,) = started
    left = one.left()
    one.close(*(client.aclose for client in clients))
    assert left == set()


def said(response):
    return json.loads(response["body"])


async def new_process(sent: dict, heavy: set[str], redis_url: str = "redis://127.0.0.1:1") -> list:
    """What a function that was just started answers to an event, and what it has imported then of ``heavy``."""
    code = (
        "import json, sys, interactions.aws_lambda as it\n"
        "sent, heavy = map(json.loads, sys.argv[1:])\n"
        "answer = it.handler(sent, None)\n"
        "print()\n"
        "print(json.dumps([answer['statusCode'], answer['body'], sorted(set(heavy) & set(sys.modules))]))\n"
    )
    environ = {
        "AWS_LAMBDA_FUNCTION_NAME": "tonearm-test-interactions",
        "TONEARM_DISCORD_APPLICATION_ID": "1",
        "TONEARM_DISCORD_PUBLIC_KEY": KEY.verify_key.encode().hex(),
        "TONEARM_REDIS_URL": redis_url,
        "TONEARM_INLINE_REPLY_MS": "0",
    }
    started = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", code, json.dumps(sent), json.dumps(sorted(heavy))),
        env=environ,
        stdout=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(30):
        out, _ = await started.communicate()
    return json.loads(out.splitlines()[-1])


SOON = -10_000
"""An age in ms: a new process may begin late on a busy machine, and these tests are about what it imports."""


async def test_a_ping_is_answered_without_a_client_or_a_catalogue():
    heavy = {"asyncio", "mangum", "msgspec", "redis", "starlette", "prometheus_client", "interactions.commands"}
    assert await new_process(signed_event(interaction(1)), heavy) == [200, '{"type":1}', []]


async def test_a_command_in_a_new_process_imports_no_more_than_it_needs(redis_url, node):
    heavy = {
        *("redis.asyncio", "redis.client", "redis.connection", "prometheus_client", "starlette", "aiohttp"),
        *("importlib.metadata", "importlib.resources", "dataclasses", "zipfile", "tempfile", "email", "http.client"),
        *("opentelemetry", "aioboto3", "botocore"),
    }
    sent = signed_event(command("play", age_ms=SOON, query="anything"))
    assert await new_process(sent, heavy, redis_url) == [200, '{"type":5}', []]
    _, job = await node.take()
    assert job.action.query == "anything"


async def test_where_redis_is_named_with_more_than_an_address_all_of_redis_py_is_imported(redis_url, node):
    sent = signed_event(command("play", age_ms=SOON, query="anything"))
    answer = await new_process(sent, {"redis.client"}, f"{redis_url}?socket_keepalive=true")
    assert answer == [200, '{"type":5}', ["redis.client"]]


async def test_a_bad_signature_another_path_and_another_method_are_refused(function):
    called = function("redis://127.0.0.1:1")
    body = json.dumps(interaction(1)).encode()
    assert (await called(event(body, **{**sign(body), "X-Signature-Timestamp": "1"})))["statusCode"] == 401
    assert (await called(event(body)))["statusCode"] == 401
    assert (await called(event(b"no JSON", **sign(b"no JSON"))))["statusCode"] == 400
    assert (await called(event(body, path="/metrics", **sign(body))))["statusCode"] == 404
    assert (await called(event(body, method="GET", **sign(body))))["statusCode"] == 405


@pytest.mark.parametrize("is_base64", [False, True])
async def test_an_answer_within_the_window_is_the_response(redis_url, node, function, redis_client, is_base64):
    called = function(redis_url, inline_reply_ms=2_000)
    sent = command("play", query="ümläut")
    response, job = await asyncio.gather(
        called(signed_event(sent, is_base64=is_base64)), node.do_one(answer("found it"))
    )
    assert job.reply.to == keys.BY_LIST
    assert job.action.query == "ümläut"
    assert (response["statusCode"], response["headers"]["content-type"], response["isBase64Encoded"]) == (
        200,
        JSON,
        False,
    )
    assert said(response)["type"] == 4
    assert await redis_client.zcard(keys.outbox(0)) == 0
    assert called.left() == set()


async def test_what_does_not_come_in_time_is_deferred_and_owed(redis_url, node, function, redis_client):
    called = function(redis_url, inline_reply_ms=50)
    assert said(await called(signed_event(command("pause")))) == {"type": 5}
    entry, job = await node.take()
    assert (await node.commit(entry, job, answer())).deferred
    assert await redis_client.zcard(keys.outbox(0)) == 1
    assert not await redis_client.exists(keys.reply_list(0, job.id))


async def test_an_answer_that_was_not_taken_from_the_list_is_claimed(
    redis_url, node, function, redis_client, monkeypatch
):
    async def nothing(self, end):
        await asyncio.sleep(max(0, end - asyncio.get_running_loop().time()))

    monkeypatch.setattr("interactions.reply_lists.Popped.until", nothing)
    called = function(redis_url, inline_reply_ms=200)
    response, job = await asyncio.gather(called(signed_event(command("pause"))), node.do_one(answer("claimed")))
    assert "claimed" in response["body"]
    assert 0 < await redis_client.pttl(keys.reply_list(0, job.id)) <= 10_000


async def test_a_second_delivery_is_answered_alike_and_does_nothing(redis_url, node, function, redis_client):
    called = function(redis_url, inline_reply_ms=2_000)
    sent = command("pause")
    first, _ = await asyncio.gather(called(signed_event(sent)), node.do_one(answer("paused")))
    assert said(await called(signed_event(sent))) == said(first)
    assert await redis_client.xlen(keys.jobs(0)) == 0


async def test_without_redis_it_says_so_and_leaves_nothing_behind(function):
    called = function("redis://127.0.0.1:1")
    response = await called(signed_event(command("pause")))
    assert response["statusCode"] == 200
    assert said(response)["type"] == 4
    assert called.left() == set()


async def test_a_connection_that_was_closed_meanwhile_is_made_anew(redis_url, node, function, redis_client):
    called = function(redis_url, inline_reply_ms=2_000)
    others = {each["id"] for each in await redis_client.client_list()}
    for text in ("before", "after", "after again"):
        response, _ = await asyncio.gather(called(signed_event(command("pause"))), node.do_one(answer(text)))
        assert text in response["body"]
        (kept,) = {each["id"] for each in await redis_client.client_list()} - others
        assert await redis_client.client_kill_filter(_id=kept) == 1


async def test_a_connection_that_died_without_a_word_is_not_trusted_after_a_rest(
    redis_url, node, function, monkeypatch
):
    there = urlsplit(redis_url)
    async with Proxy(lambda: [(there.hostname, there.port)]) as proxy:
        called = function(f"redis://{proxy.address}", inline_reply_ms=2_000)
        await asyncio.gather(called(signed_event(command("pause"))), node.do_one())
        proxy.forget()
        trusted = await called(signed_event(command("pause")))
        assert said(trusted)["data"]["flags"] & EPHEMERAL, "it went through: the proxy forgot nothing"
        await asyncio.gather(called(signed_event(command("pause"))), node.do_one())
        proxy.forget()
        rested = SimpleNamespace(time=lambda: time.time() + TRUSTED_FOR_S)
        monkeypatch.setattr("tonearm.redis.lean.time", rested)
        response, _ = await asyncio.gather(called(signed_event(command("pause"))), node.do_one(answer("made anew")))
        assert "made anew" in response["body"]


async def test_defaults_are_those_of_a_function():
    assert DEFAULTS["TONEARM_INLINE_REPLY_MS"] == "300"
    assert TRUSTED_FOR_S < 350

"""``tonearm interactions`` as a process: a socket, signals, settings."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE

import httpx
import pytest

from tests.support.interactions.signed import APPLICATION, KEY, command, interaction, send, text_of
from tests.support.interactions.stub_node import answer
from tonearm.redis import keys
from tonearm.sentences import Sentence


@pytest.fixture
async def run():
    """``await run(redis_url, **settings)``: the process, whatever becomes of it."""
    processes = []

    async def run(redis_url, **settings):
        environment = {
            "TONEARM_DISCORD_APPLICATION_ID": str(APPLICATION),
            "TONEARM_DISCORD_PUBLIC_KEY": KEY.verify_key.encode().hex(),
            "TONEARM_REDIS_URL": redis_url,
            "TONEARM_PORT": "0",
            **{f"TONEARM_{name.upper()}": str(value) for name, value in settings.items()},
        }
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tonearm", "interactions"),
            env={**os.environ, **environment},
            stdout=PIPE,
            stderr=PIPE,
        )
        processes.append(process)
        return process

    yield run
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


async def url_of(process):
    async with asyncio.timeout(20):
        ready = json.loads(await process.stdout.readline())
    assert ready["ready"] is True
    return ready["url"]


async def ended(process):
    async with asyncio.timeout(10):
        out, log = await process.communicate()
    return process.returncode, out.decode(), log.decode()


async def listening(redis_client):
    """Returns once a process has its subscription."""
    async with asyncio.timeout(10):
        while not await redis_client.pubsub_channels("reply:*"):
            pass


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT])
async def test_it_answers_and_ends_in_order(run, redis_url, redis_client, node, sig):
    process = await run(redis_url, inline_reply_ms=2_000)
    async with httpx.AsyncClient(base_url=await url_of(process)) as http:
        assert (await send(http, interaction(1))).json() == {"type": 1}
        await listening(redis_client)
        response, job = await asyncio.gather(
            send(http, command("play", query="x")), node.do_one(answer("over a socket"))
        )
        assert text_of(response) == "over a socket"
        assert (await http.get("/readyz")).status_code == 200
        assert (await http.post("/interactions", content=b"x" * 300_000)).status_code == 413
        assert (await http.post("/interactions", content=b"{}")).status_code == 401
        assert await redis_client.zcard(keys.outbox(0)) == 0
        assert not await redis_client.hexists(keys.record(0, job.id), "reply")
    process.send_signal(sig)
    code, out, log = await ended(process)
    assert (code, out) == (0, "")
    assert "Traceback" not in log


async def test_a_request_in_hand_is_answered_before_the_end(run, redis_url, redis_client, node):
    process = await run(redis_url, inline_reply_ms=2_000)
    async with httpx.AsyncClient(base_url=await url_of(process)) as http:
        await listening(redis_client)
        response = asyncio.create_task(send(http, command("pause")))
        entry, job = await node.take()
        process.send_signal(signal.SIGTERM)
        await node.commit(entry, job, answer("still"))
        assert text_of(await response) == "still"
    assert (await ended(process))[0] == 0


async def test_it_starts_and_answers_without_redis(run):
    process = await run("redis://127.0.0.1:1")
    async with httpx.AsyncClient(base_url=await url_of(process)) as http:
        assert (await http.get("/readyz")).status_code == 200
        assert text_of(await send(http, command("pause"))) == Sentence.MEMORY_AWAY
    process.send_signal(signal.SIGTERM)
    assert (await ended(process))[0] == 0


async def test_another_shard_count_ends_it_with_a_sentence(run, redis_url, node):
    code, _, log = await ended(await run(redis_url, shard_count=3))
    assert code == 1
    assert log.endswith(
        "tonearm interactions: TONEARM_SHARD_COUNT is 3 here, but Redis was set up with 1. "
        "Set it to the same number in every process.\n"
    )


async def test_a_missing_setting_is_a_sentence(run):
    code, out, log = await ended(await run("redis://127.0.0.1:1", discord_public_key=""))
    assert (code, out) == (1, "")
    assert log.startswith("tonearm interactions: TONEARM_DISCORD_PUBLIC_KEY is missing.")


async def test_an_address_that_is_taken_is_a_sentence(run):
    server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        code, _, log = await ended(await run("redis://127.0.0.1:1", port=port))
    assert code == 1
    assert f"Can't listen on 127.0.0.1 port {port}: Address already in use." in log


async def test_logs_hold_no_token_and_no_words(run, redis_url, redis_client, node):
    process = await run(redis_url, log_format="json")
    sent = command("play", query="very secret words")
    async with httpx.AsyncClient(base_url=await url_of(process)) as http:
        await send(http, sent)
        await send(http, b'{"type": 2, "token": "secret"}')
        await redis_client.delete(keys.lease(0))
        await send(http, command("play", query="very secret words"))
    process.send_signal(signal.SIGTERM)
    _, _, log = await ended(process)
    assert "secret" not in log
    assert sent["token"] not in log

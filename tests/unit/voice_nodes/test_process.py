"""The process of a voice node, in this one: on a real Valkey, at the twin, with a Lavalink that plays nothing."""

from __future__ import annotations

import asyncio
import math
import os
import signal
import socket
from collections.abc import AsyncIterator

import aiohttp
import msgspec
import pytest
import yarl
from discord.gateway import DiscordWebSocket
from discord.http import Route

from playground.twin.app import Twin
from tests.support.lavalink import Lavalink
from tests.support.metrics import value
from tests.support.twin import running_twin
from tests.support.voice_nodes import running
from tonearm.errors import SettingsError
from tonearm.redis import keys
from tonearm.redis.client import Client, connect
from tonearm.settings import PREFIX
from tonearm.up import tonearm
from voice_nodes import gateway, process
from voice_nodes.process import load, run


@pytest.fixture
async def twin() -> AsyncIterator[Twin]:
    async with running_twin() as (twin, _):
        yield twin


@pytest.fixture
async def environ(twin: Twin, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[dict[str, str]]:
    """What such a process is told."""
    about = twin.about()
    gateway.resuming.install()
    monkeypatch.setattr(Route, "BASE", about["api_url"])
    monkeypatch.setattr(DiscordWebSocket, "DEFAULT_GATEWAY", yarl.URL(about["gateway_url"]))
    async with Lavalink().serving() as lavalink:
        told = {
            "DISCORD_BOT_TOKEN": about["bot_token"],
            "DISCORD_API_URL": about["api_url"],
            "DISCORD_GATEWAY_URL": about["gateway_url"],
            "REDIS_URL": redis_url,
            "LAVALINK_NODES": f"http://:{lavalink.node.password}@127.0.0.1:{lavalink.port}",
            "PORT": "0",
        }
        yield {PREFIX + name: value for name, value in told.items()}


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Client]:
    async with connect(redis_url, timeout=5) as client:
        yield client


async def status(url: str) -> int:
    async with aiohttp.ClientSession() as http, http.get(url) as answer:
        return answer.status


async def test_it_says_when_it_is_ready_and_ends_at_sigterm(
    environ: dict[str, str], redis: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    async with running(run(load(process.NEEDED, environ))) as task:
        async with asyncio.timeout(20):
            while not (said := capsys.readouterr().out):
                assert not task.done()
                await asyncio.sleep(0.01)
        line = msgspec.json.decode(said)
        assert line["ready"] is True
        assert await status(f"{line['url']}/readyz") == 200
        assert 0 < value("tonearm_gateway_latency_seconds") < 10
        assert (value("tonearm_players"), value("tonearm_listeners")) == (0, 0)
        owner = await redis.hget(keys.lease(0), "owner")
        assert owner is not None
        assert owner.decode() == f"{socket.gethostname()}-{os.getpid()}"
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(task, 10)
    assert not await redis.exists(keys.lease(0))
    assert math.isnan(value("tonearm_gateway_latency_seconds"))
    with pytest.raises(aiohttp.ClientConnectorError):
        await status(f"{line['url']}/healthz")


async def test_another_number_of_shards_is_a_sentence(environ: dict[str, str], redis: Client) -> None:
    await redis.set(keys.SHARD_COUNT, 2)
    with pytest.raises(SettingsError, match="TONEARM_SHARD_COUNT"):
        await asyncio.wait_for(run(load(process.NEEDED, environ)), 10)


async def test_a_token_that_discord_refuses_ends_it_with_a_sentence(environ: dict[str, str]) -> None:
    with pytest.raises(BaseExceptionGroup) as caught:
        await asyncio.wait_for(run(load(process.NEEDED, environ | {f"{PREFIX}DISCORD_BOT_TOKEN": "wrong"})), 20)
    assert caught.group_contains(SettingsError, match="TONEARM_DISCORD_BOT_TOKEN is refused")


def test_what_it_needs_and_was_not_told_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in process.NEEDED:
        monkeypatch.delenv(PREFIX + name.upper(), raising=False)
    with pytest.raises(SettingsError, match="TONEARM_DISCORD_BOT_TOKEN is missing"):
        process.main([])


async def test_a_port_that_is_taken_is_a_sentence(environ: dict[str, str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        node = await asyncio.create_subprocess_exec(
            *tonearm("voice-node"),
            env={**os.environ, **environ, f"{PREFIX}PORT": str(port)},
            stderr=asyncio.subprocess.PIPE,
        )
        _, said = await asyncio.wait_for(node.communicate(), 30)
    assert node.returncode == 1
    assert f"the port {port} can't be listened on" in said.decode()
    assert "Traceback" not in said.decode()

"""An outbox's world, on a real Valkey, against a Discord that keeps its rules and misbehaves."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.support.discord_api import DiscordApi
from tests.support.outbox.world import SHARD, Redis, World
from tonearm.discord import rest
from tonearm.discord.rest import RestClient
from tonearm.redis import answers, lease
from tonearm.redis.client import connect


@pytest.fixture
async def api(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[DiscordApi]:
    monkeypatch.setattr(rest, "BACKOFF", (0.01,))
    async with DiscordApi() as server:
        yield server
        assert server.complaints == []


@pytest.fixture
async def client(api: DiscordApi) -> AsyncIterator[RestClient]:
    async with RestClient(api.url, bot_token="x", timeout=5) as client:
        yield client


@pytest.fixture
async def store(redis_url: str) -> "AsyncIterator[Redis[Any]]":
    async with connect(redis_url, timeout=5) as client:
        yield client


@pytest.fixture
async def world(store: "Redis[Any]", api: DiscordApi, client: RestClient, monkeypatch: pytest.MonkeyPatch) -> World:
    token = await lease.take(store, SHARD, "me", life_ms=600_000)
    assert token is not None
    world = World(store, api, client, token)
    confirm = answers.confirm

    async def note(client: "Redis[Any]", shard: int, job: str, token: str) -> None:
        await confirm(client, shard, job, token)
        world.confirmed.put_nowait(job)

    monkeypatch.setattr(answers, "confirm", note)
    return world

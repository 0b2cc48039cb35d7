"""A shard's gateway connection to a real twin in this process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import yarl
from discord.gateway import DiscordWebSocket
from discord.http import Route

from playground.twin.actors import TwinClient
from playground.twin.app import Twin
from tests.support.gateway import Place, make
from tests.support.twin import running_twin
from tests.support.voice_nodes import Tenured, running
from voice_nodes import gateway as module


@pytest.fixture(scope="module")
async def twin() -> AsyncIterator[tuple[Twin, TwinClient]]:
    async with running_twin() as running:
        yield running


@pytest.fixture
def aimed(twin: tuple[Twin, TwinClient], monkeypatch: pytest.MonkeyPatch) -> Any:
    """discord.py aims at the twin, for one test."""
    about = twin[0].about()
    module.resuming.install()
    monkeypatch.setattr(Route, "BASE", about["api_url"])
    monkeypatch.setattr(DiscordWebSocket, "DEFAULT_GATEWAY", yarl.URL(about["gateway_url"]))
    return about


@pytest.fixture
async def place(twin: tuple[Twin, TwinClient], aimed: Any) -> AsyncIterator[Place]:
    client = twin[1]
    guild = await client.create_guild(name="Place")
    ada = await client.create_user("Ada")
    await ada.join_guild(guild)
    await ada.join(guild.voice_channels[0])
    lease = Tenured()
    gateway = make(lease=lease)
    async with running(gateway.run_forever(aimed["bot_token"])) as task:
        await asyncio.wait_for(gateway.ready.wait(), 10)
        place = Place(gateway, client, guild, ada, lease)
        place.running = task
        yield place
        await gateway.leave_behind()

"""A twin for each module, and for each test a guild with Alice and a receiver of interactions."""

from collections.abc import AsyncIterator

import aiohttp
import pytest

from playground.twin.actors import Actor, Channel, Guild, TwinClient
from playground.twin.app import Twin
from tests.support.twin import PLAY, Api, Receiver, receiving, running_twin


@pytest.fixture(scope="module")
async def world() -> AsyncIterator[tuple[Twin, TwinClient]]:
    async with running_twin() as (twin, client):
        yield twin, client


@pytest.fixture(scope="module")
async def client(world: tuple[Twin, TwinClient]) -> TwinClient:
    return world[1]


@pytest.fixture
async def api(world: tuple[Twin, TwinClient]) -> AsyncIterator[Api]:
    async with aiohttp.ClientSession() as http:
        api = Api(http, world[0].about())
        await api.register(PLAY, {"name": "admin", "description": "For some", "default_member_permissions": "8"})
        yield api


@pytest.fixture
async def receiver(world: tuple[Twin, TwinClient]) -> AsyncIterator[Receiver]:
    async with receiving(*world) as receiver:
        yield receiver


@pytest.fixture
async def guild(client: TwinClient) -> Guild:
    return await client.create_guild()


@pytest.fixture
async def text(guild: Guild) -> Channel:
    return guild.text_channels[0]


@pytest.fixture
async def alice(client: TwinClient, guild: Guild) -> Actor:
    alice = await client.create_user("Alice")
    await alice.join_guild(guild)
    return alice

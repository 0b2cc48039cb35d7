"""What the next owner is left, on a real Valkey, with a double of the gateway."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from unittest.mock import MagicMock, create_autospec

import discord
import pytest
from redis.exceptions import ConnectionError

from tests.support.voice_nodes import GUILD, SHARD, Called, running
from tonearm.errors import LeaseLost
from tonearm.redis import keys, sessions
from tonearm.redis.client import Client, connect
from tonearm.redis.sessions import SavedGateway, SavedShard, SavedVoice
from voice_nodes import saver as module
from voice_nodes.gateway import Gateway
from voice_nodes.lease import Lease
from voice_nodes.resuming import reduced_user
from voice_nodes.saver import Saver

BOT, OTHER = 4242, 6 << 22
VOICE = SavedVoice("s", "t", "e", 11, "lava-0")


class World:
    """A saver; ``guilds`` are what the gateway knows, as they would be saved."""

    def __init__(self, redis: Client, lease: Lease) -> None:
        self.redis = redis
        self.guilds: dict[int, Any] = {GUILD: {"id": str(GUILD)}, OTHER: {"id": str(OTHER)}}
        self.gateway = create_autospec(Gateway, instance=True)
        self.gateway.user = MagicMock(spec=discord.ClientUser, id=BOT, discriminator="0")
        self.gateway.user.name = "bot"
        self.gateway.ws = MagicMock(session_id="session", sequence=7, gateway="wss://x")
        self.gateway.get_guild.side_effect = self._guild
        self.gateway.snapshot.side_effect = self._snapshot
        self.saver = Saver(redis, lease, SHARD, self.gateway)

    def _guild(self, guild: int) -> Any:
        return MagicMock(id=guild, unavailable=False) if guild in self.guilds else None

    def _snapshot(self, guild: Any) -> Any:
        found = self.guilds[guild.id]
        if isinstance(found, Exception):
            raise found
        return found

    def changed(self, *guilds: int) -> None:
        for guild in guilds:
            self.saver.event("GUILD_UPDATE", {"id": str(guild)})

    async def saved(self) -> SavedShard:
        return await sessions.fetch(self.redis, SHARD)


@pytest.fixture
async def world(redis_url: str) -> AsyncIterator[World]:
    async with connect(redis_url, timeout=5) as redis:
        lease = await Lease.attempt(redis, SHARD, "me")
        assert lease is not None
        yield World(redis, lease)


@pytest.fixture
def saves(monkeypatch: pytest.MonkeyPatch) -> Called:
    called = Called(sessions.save)
    monkeypatch.setattr(module.sessions, "save", called)
    return called


async def test_a_guild_is_saved_with_the_sequence_that_it_stands_for(world: World) -> None:
    world.changed(GUILD)
    await world.saver.flush()
    saved = await world.saved()
    assert saved.guilds == {GUILD: world.guilds[GUILD]}
    assert saved.gateway == SavedGateway("session", 7, "wss://x", reduced_user(world.gateway.user))


async def test_what_has_not_changed_is_not_written_again(world: World, saves: Called) -> None:
    seen: list[Any] = []
    world.gateway.snapshot.side_effect = lambda guild: seen.append(guild.id) or {"id": str(guild.id)}
    await world.saver.flush()
    assert saves.results == [], "there is nothing to save"
    world.changed(GUILD)
    await world.saver.flush()
    await world.redis.hdel(keys.guilds(SHARD), str(GUILD))
    world.changed(GUILD)
    await world.saver.flush()
    assert (len(seen), (await world.saved()).guilds) == (2, {})


async def test_a_guild_that_left_is_removed_and_one_with_an_outage_is_kept(world: World) -> None:
    world.changed(GUILD, OTHER)
    await world.saver.flush()
    del world.guilds[GUILD]
    world.saver.event("GUILD_DELETE", {"id": str(GUILD)})
    world.saver.event("GUILD_DELETE", {"id": str(OTHER), "unavailable": True})
    await world.saver.flush()
    assert (await world.saved()).guilds.keys() == {OTHER}


async def test_a_new_session_forgets_the_guilds_that_it_does_not_name(world: World) -> None:
    world.changed(GUILD, OTHER)
    await world.saver.flush()
    del world.guilds[GUILD]
    world.saver.event("READY", {"guilds": [{"id": str(OTHER)}]})
    await world.saver.flush()
    assert (await world.saved()).guilds.keys() == {OTHER}


async def test_voice_and_lavalink_are_saved_at_once(
    world: World, monkeypatch: pytest.MonkeyPatch, saves: Called
) -> None:
    monkeypatch.setattr(module, "EVERY", 60.0)
    async with running(world.saver.run()):
        world.changed(GUILD)
        await saves.times(1)
        world.saver.voice(GUILD, VOICE)
        world.saver.lavalink("lava-0", "l1")
        await saves.times(2, timeout=5)
        saved = await world.saved()
        assert (saved.voices, saved.lavalink) == ({GUILD: VOICE}, {"lava-0": "l1"})
        world.saver.voice(GUILD, None)
        world.saver.lavalink("lava-0", None)
        await saves.times(3, timeout=5)
    saved = await world.saved()
    assert (saved.voices, saved.lavalink) == ({}, {})


async def test_what_could_not_be_saved_is_saved_with_the_next(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    failing = Called(sessions.save, fails=(ConnectionError("away"),))
    monkeypatch.setattr(module.sessions, "save", failing)
    monkeypatch.setattr(module, "EVERY", 0.01)
    world.changed(GUILD)
    world.saver.voice(GUILD, VOICE)
    async with running(world.saver.run()):
        await failing.times(2)
    saved = await world.saved()
    assert (saved.guilds.keys(), saved.voices) == ({GUILD}, {GUILD: VOICE})


async def test_a_broken_guild_does_not_keep_the_others_from_being_saved(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.guilds[OTHER] = KeyError("a bug")
    world.changed(OTHER, GUILD)
    await world.saver.flush()
    assert (await world.saved()).guilds.keys() == {GUILD}
    assert "can't be saved" in caplog.text


async def test_nothing_is_saved_for_a_shard_that_is_anothers(world: World) -> None:
    await world.redis.hset(keys.lease(SHARD), "token", "99")
    world.changed(GUILD)
    with pytest.raises(LeaseLost):
        await asyncio.wait_for(world.saver.run(), 5)
    assert (await world.saved()).guilds == {}

"""What is against what should be: a real Valkey says what should play, doubles what does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from unittest.mock import AsyncMock, MagicMock, create_autospec

import pytest
from redis.exceptions import ConnectionError

from tests.support.voice_nodes import GUILD, SHARD, Called, metric, running
from tonearm.errors import LavalinkAway, LeaseLost
from tonearm.redis import keys
from tonearm.redis.client import Client, connect
from voice_nodes import reconciler as module
from voice_nodes.converger import Converger
from voice_nodes.gateway import Gateway
from voice_nodes.lavalink import Sound
from voice_nodes.reconciler import Reconciler
from voice_nodes.wishes import Actual

PLAYING = Actual("p", 5_000, False, 100, True)
ORPHAN, SEATED = 98 << 22, 99 << 22


class World:
    """A reconciler with one server, where GUILD has a player."""

    def __init__(self, redis: Client) -> None:
        self.redis = redis
        self.node = MagicMock(players={GUILD: object()})
        self.sound = create_autospec(Sound, instance=True)
        self.sound.connected.return_value = [self.node]
        self.sound.fetch_actual = AsyncMock(return_value={GUILD: PLAYING})
        self.gateway = create_autospec(Gateway, instance=True)
        self.gateway.guilds_with_bot_in_voice.return_value = []
        self.converger = create_autospec(Converger, instance=True, steps=3)
        self.woken: list[int] = []
        self.slept = Called(self._sleep)
        self.reconciler = Reconciler(
            SHARD,
            redis=redis,
            gateway=self.gateway,
            sound=self.sound,
            known={GUILD: MagicMock(converger=self.converger)},
            wake=self.woken.append,
            every=0.01,
            sleep=self.slept,
        )

    async def _sleep(self, seconds: float) -> float:
        await asyncio.sleep(seconds)
        return seconds


@pytest.fixture
async def world(redis_url: str) -> AsyncIterator[World]:
    async with connect(redis_url, timeout=5) as redis:
        yield World(redis)


async def test_who_is_or_should_be_in_a_channel_is_woken(world: World) -> None:
    await world.redis.sadd(keys.active(SHARD), str(GUILD))
    world.gateway.guilds_with_bot_in_voice.return_value = [SEATED]
    await world.reconciler.look()
    assert sorted(world.woken) == [GUILD, SEATED]


async def test_each_guild_of_a_server_is_told_what_it_does(world: World) -> None:
    world.node.players[ORPHAN] = object()  # asleep: nobody to tell
    await world.reconciler.observe(world.node)
    world.converger.observe.assert_called_once_with(PLAYING, 3)
    world.sound.fetch_actual.return_value = {}
    await world.reconciler.observe(world.node)
    world.converger.observe.assert_called_with(None, 3)


async def test_players_that_nobody_wants_are_destroyed(world: World) -> None:
    before = metric("tonearm_orphans_total")
    world.sound.fetch_actual.return_value = {GUILD: PLAYING, ORPHAN: PLAYING}
    await world.reconciler.observe(world.node)
    world.sound.destroy_orphan.assert_awaited_once_with(world.node, ORPHAN)
    assert metric("tonearm_orphans_total") == before + 1
    world.converger.observe.assert_called_once()


async def test_a_guild_that_comes_to_the_server_meanwhile_is_left_alone(world: World) -> None:
    before = metric("tonearm_orphans_total")
    world.sound.fetch_actual.return_value = {GUILD: PLAYING, ORPHAN: PLAYING, SEATED: PLAYING}
    destroyed: list[int] = []

    async def destroy(_: Any, guild: int) -> None:
        """While one is destroyed, the other becomes ours."""
        destroyed.append(guild)
        world.node.players[ORPHAN + SEATED - guild] = object()

    world.sound.destroy_orphan = AsyncMock(side_effect=destroy)
    await world.reconciler.observe(world.node)
    assert len(destroyed) == 1
    assert metric("tonearm_orphans_total") == before + 1


async def test_what_is_away_is_looked_at_the_next_time(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.sound.fetch_actual.side_effect = LavalinkAway("gone")
    await world.reconciler.observe(world.node)
    world.converger.observe.assert_not_called()
    monkeypatch.setattr(module.guilds, "fetch_active", AsyncMock(side_effect=ConnectionError("away")))
    await world.reconciler.look()
    assert world.woken == []


async def test_it_looks_every_minute_or_so_whatever_breaks(world: World, caplog: pytest.LogCaptureFixture) -> None:
    actual = Called(world.sound.fetch_actual, fails=(KeyError("no such field"),))
    world.sound.fetch_actual = actual
    async with running(world.reconciler.run()):
        await actual.times(3)
    assert "Not reconciled" in caplog.text
    waits = set(world.slept.results[:3])
    assert len(waits) == 3, "not all shards at once"
    assert all(0.0075 <= wait <= 0.0125 for wait in waits)


async def test_without_the_lease_it_ends(world: World) -> None:
    world.sound.fetch_actual.side_effect = LeaseLost("run out")
    with pytest.raises(LeaseLost):
        await asyncio.wait_for(world.reconciler.run(), 5)


async def test_after_a_resumed_session_it_waits_for_what_the_server_has_to_tell(world: World) -> None:
    order: list[str] = []
    world.sound.wait_reported = AsyncMock(side_effect=lambda _: order.append("reported"))
    world.sound.fetch_actual = AsyncMock(side_effect=lambda _: order.append("fetched") or {GUILD: PLAYING})
    await world.reconciler.go_on(world.node, None, resumed=True)
    assert order == ["reported", "fetched"]
    world.converger.observe.assert_called_once_with(PLAYING, 3)
    world.sound.end_session.assert_not_called()


@pytest.mark.parametrize("before", ["old", None])
async def test_another_session_ends_the_one_before_and_begins_anew(world: World, before: Any) -> None:
    await world.reconciler.go_on(world.node, before, resumed=False)
    assert world.sound.end_session.await_args_list == ([((world.node, before),)] if before else [])
    world.converger.session_lost.assert_called_once_with()

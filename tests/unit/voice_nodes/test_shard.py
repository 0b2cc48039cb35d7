"""A whole shard: on a real Valkey, at the twin of Discord, with a Lavalink that plays nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
import yarl
from discord.gateway import DiscordWebSocket
from discord.http import Route

from playground.stores.valkey import Valkey
from playground.twin.actors import TwinClient
from playground.twin.app import Twin
from playground.twin.handles import Guild
from tests.support.lavalink import Lavalink
from tests.support.metrics import counts, value
from tests.support.twin import running_twin
from tests.support.voice_nodes import Called, hand_over, running
from tonearm.cache import TermsCache
from tonearm.discord.rest import ORIGINAL, RestClient, _Call, _Met
from tonearm.jobs.job import Job, Reply
from tonearm.music.actions import Stop
from tonearm.redis import keys, sessions
from tonearm.redis.client import Client, connect
from tonearm.settings import LavalinkNode, load
from voice_nodes import gateway, shard
from voice_nodes.identifying import identify
from voice_nodes.membership import Membership
from voice_nodes.node import Node
from voice_nodes.shard import Shard


class World:
    """What voice nodes share."""

    def __init__(self, twin: Twin, client: TwinClient, lavalink: Lavalink, redis: Client) -> None:
        self.twin, self.client, self.lavalink, self.redis = twin, client, lavalink, redis
        self.guild: Guild

    @asynccontextmanager
    async def node(self, name: str = "one", redis: Client | None = None) -> AsyncIterator[Shard]:
        """A voice node with its one shard; it runs until the end of the block, and ends in time."""
        redis = redis or self.redis
        about = self.twin.about()
        settings = load(
            [],
            {
                "TONEARM_DISCORD_BOT_TOKEN": about["bot_token"],
                "TONEARM_DISCORD_API_URL": about["api_url"],
                "TONEARM_LAVALINK_NODES": f"http://:{self.lavalink.node.password}@127.0.0.1:{self.lavalink.port}",
            },
        )
        assert settings.lavalink_nodes == (LavalinkNode(self.lavalink.node.url, self.lavalink.node.password),)
        membership = Membership(redis, name, 1, poll=0.05)
        async with RestClient(about["api_url"], bot_token=about["bot_token"]) as rest:
            terms = TermsCache(redis, None, shard_count=1)
            owned = Shard(0, Node(name, settings, redis, redis, rest, membership, terms))
            async with running(membership.run(lambda _: owned.hand_over())), running(owned.run()) as task:
                yield owned
                owned.stop()
                await asyncio.wait_for(task, 5)

    @asynccontextmanager
    async def ready(self, name: str = "one") -> AsyncIterator[Shard]:
        async with self.node(name) as owned:
            await asyncio.wait_for(owned.ready.wait(), 20)
            yield owned

    async def do(self, guild: int, name: str) -> None:
        """Hand a job over, and wait until it is done."""
        await hand_over(self.redis, Job(name, guild, 42, 21, Stop(), 60_000))
        await self.until(lambda: self.redis.hexists(keys.record(0, name), "done"))

    async def until(self, true: Callable[[], Awaitable[object]]) -> None:
        """What is to be seen in Redis only."""
        async with asyncio.timeout(10):
            while not await true():
                await self.redis.xread({"nothing": "$"}, block=10)  # a pause on the server's clock


@pytest.fixture(scope="module")
async def twin() -> AsyncIterator[tuple[Twin, TwinClient]]:
    async with running_twin() as running:
        yield running


@pytest.fixture
async def world(twin: tuple[Twin, TwinClient], redis_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    about = twin[0].about()
    gateway.resuming.install()
    monkeypatch.setattr(Route, "BASE", about["api_url"])
    monkeypatch.setattr(DiscordWebSocket, "DEFAULT_GATEWAY", yarl.URL(about["gateway_url"]))
    monkeypatch.setattr(identify, "DISTANCE_MS", 10)
    async with Lavalink().serving() as lavalink, connect(redis_url, timeout=5) as redis:
        world = World(*twin, lavalink, redis)
        world.guild = await world.client.create_guild(name="Place")
        yield world


async def test_a_shard_that_is_handed_over_is_resumed_by_the_next(world: World) -> None:
    since = await world.client.mark()
    firsts = value("tonearm_takeover_seconds_count")
    async with world.ready():
        assert value("tonearm_takeover_seconds_count") == firsts, "nobody had it before"
        await world.client.wait_for("session_ready", since=since)
        assert await world.redis.exists(keys.lease(0))
        await world.until(lambda: lavalink_saved(world))
    assert not await world.redis.exists(keys.lease(0))
    saved = await sessions.fetch(world.redis, 0)
    assert int(world.guild.id) in saved.guilds
    assert list(saved.lavalink.values()) == ["s1"]
    before = value("tonearm_takeover_seconds_sum")
    with counts("tonearm_takeover_seconds_count"):
        async with world.ready("two"):
            await world.client.wait_for("session_resumed", since=since)
    assert value("tonearm_takeover_seconds_sum") > before
    assert len(await world.client.log(since, name="session_ready")) == 1
    assert [await world.lavalink.opened.get() for _ in range(2)] == ["", "s1"]


async def lavalink_saved(world: World) -> bool:
    return bool((await sessions.fetch(world.redis, 0)).lavalink)


async def test_a_shard_that_was_lost_is_had_again(world: World) -> None:
    async with world.ready() as owned:
        token = await world.redis.hget(keys.lease(0), "token")
        lost = asyncio.create_task(cleared(owned.ready))
        await world.redis.hset(keys.lease(0), mapping={"owner": "other", "token": "1"})
        await world.redis.pexpire(keys.lease(0), 3_000)
        await asyncio.wait_for(lost, 10)
        await asyncio.wait_for(owned.ready.wait(), 20)
        assert await world.redis.hget(keys.lease(0), "token") not in (token, b"1")


async def cleared(event: asyncio.Event) -> None:
    while event.is_set():  # noqa: ASYNC110 - an event tells only when it is set
        await asyncio.sleep(0.01)


async def test_a_broken_guild_stops_no_other(world: World, caplog: pytest.LogCaptureFixture) -> None:
    broken = 99 << 22
    await world.redis.hset(keys.player(0, broken), "state", b"{no json")
    await world.redis.sadd(keys.active(0), str(broken))
    async with world.ready() as owned:
        await world.do(int(world.guild.id), "a:1")
        assert owned.ready.is_set()
    assert "A part of the shard broke" in caplog.text


async def test_an_answer_is_not_brought_to_discord_while_the_lease_has_run_out(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempt = RestClient._attempt
    attempts: list[bool] = []
    again = asyncio.Event()
    async with world.ready() as owned:
        assert owned._ownership is not None
        lease = owned._ownership._lease

        async def attempt_or_fail(self: RestClient, call: _Call, left: float) -> _Met:
            if call.route != ORIGINAL:
                return await attempt(self, call, left)
            attempts.append(lease.held())
            if len(attempts) == 1:
                lease._end = 0.0  # until it is renewed
            else:
                again.set()
            return _Met(503)

        monkeypatch.setattr(RestClient, "_attempt", attempt_or_fail)
        reply = Reply(5, "token", "reply:x", False)
        await hand_over(world.redis, Job("a:1", int(world.guild.id), 42, 21, Stop(), 60_000, reply))
        await asyncio.wait_for(again.wait(), 10)
    assert all(attempts)


@pytest.mark.parametrize("broken", ["gateway", "guild"])
async def test_a_session_that_cant_be_read_is_not_gone_on_with(world: World, broken: str) -> None:
    async with world.ready():
        pass
    if broken == "gateway":
        await world.redis.hset(keys.sessions(0), "gateway", b"{}")
    else:
        await world.redis.hset(keys.guilds(0), world.guild.id, b'{"id": "1"}')
    since = await world.client.mark()
    async with world.ready("two"):
        await world.client.wait_for("session_ready", since=since)
        await world.do(int(world.guild.id), "a:1")
    assert await world.client.log(since, name="session_resumed") == []


async def test_it_ends_in_time_though_redis_is_away(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async with Valkey() as mortal, connect(mortal.url, timeout=1) as redis:
        fetched = Called(sessions.fetch)

        async def fetch(client: Client, number: int) -> sessions.SavedShard:
            await mortal.stop()
            found: sessions.SavedShard = await fetched(client, number)
            return found

        monkeypatch.setattr(shard.sessions, "fetch", fetch)
        async with world.node(redis=redis):
            await fetched.times(1)

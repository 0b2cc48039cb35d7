"""A shard's players on two real audio nodes: voice that hangs or refuses, sessions and servers that are left."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock, create_autospec

import aiohttp
import discord
import pytest

from playground.library import tone
from tests.support.audio_node.node import PASSWORD, running_node
from tests.support.audio_node.voice_server import VoiceServer, make_ca
from tests.support.voice_nodes import Tenured, metric, running
from tonearm.errors import LavalinkAway, TonearmError
from tonearm.redis.sessions import SavedGateway
from tonearm.settings import LavalinkNode
from voice_nodes import fleet
from voice_nodes.gateway import Gateway
from voice_nodes.identifying import Turns
from voice_nodes.lavalink import Sound
from voice_nodes.servers import Server, find_servers
from voice_nodes.station import Station
from voice_nodes.voicelink import JOIN_TIMEOUT, VoiceLink
from voice_nodes.wishes import Wanted

GUILD, VOICE, BOT = 7 << 22, 71, 4242
MOVES = "tonearm_lavalink_moves_total"
USER = {"id": str(BOT), "username": "b", "discriminator": "0", "avatar": None, "bot": True}
SNAPSHOT = {
    "id": str(GUILD),
    "name": "G",
    "owner_id": "1",
    "member_count": 1,
    "roles": [{"id": str(GUILD), "name": "", "permissions": "0", "position": 0}],
    "channels": [
        {
            "id": str(VOICE),
            "type": 2,
            "name": "V",
            "position": 0,
            "bitrate": 64000,
            "user_limit": 0,
            "permission_overwrites": [],
        }
    ],
    "members": [{"user": USER, "roles": [], "joined_at": None, "flags": 0, "communication_disabled_until": None}],
    "voice_states": [],
}


async def until(true: Callable[[], bool]) -> None:
    """What has no event of its own."""
    async with asyncio.timeout(10):
        while not true():  # noqa: ASYNC110
            await asyncio.sleep(0.02)


class Discord(Gateway):
    """A gateway without a Discord: op 4 is answered at once, with ``endpoint``."""

    def __init__(self) -> None:
        super().__init__(
            shard=0,
            shard_count=1,
            listener=MagicMock(),
            servers=MagicMock(),
            turns=create_autospec(Turns),
            lease=Tenured(),
        )
        self.endpoint = ""
        self.heard: asyncio.Queue[tuple[str, Any]] = asyncio.Queue()
        self._joins = 0
        self._answers: set[asyncio.Task[None]] = set()

    def dispatch(self, event: str, /, *args: Any, **kwargs: Any) -> None:
        self.heard.put_nowait((event, args))

    async def next(self, wanted: str) -> Any:
        async with asyncio.timeout(20):
            while True:
                name, values = await self.heard.get()
                if name == wanted:
                    return values[0]

    async def send_voice_state(self, guild: discord.Guild, channel: discord.abc.Snowflake | None) -> None:
        link = guild.voice_client
        if channel is None or not isinstance(link, VoiceLink):
            return
        self._joins += 1
        await link.on_voice_state_update({"channel_id": str(channel.id), "session_id": f"voice{self._joins}"})
        answer = asyncio.create_task(link.on_voice_server_update({"token": "t", "endpoint": self.endpoint}))
        self._answers.add(answer)
        answer.add_done_callback(self._answers.discard)

    async def end(self) -> None:
        for answer in tuple(self._answers):
            answer.cancel()
        await self.http.close()


class World:
    """Two audio nodes, a voice server that listens, and a Sound on the nodes."""

    def __init__(self, urls: list[str], http: aiohttp.ClientSession, voice: VoiceServer, library: Path) -> None:
        self.urls = urls
        self.http = http
        self.voice = voice
        self.library = library
        self.drained: frozenset[str] = frozenset()
        self.left: list[int] = []
        self.lost: asyncio.Queue[int] = asyncio.Queue()
        self.client = Discord()
        self.lease = Tenured()
        self.sound = self.make_sound()

    def make_sound(self) -> Sound:
        async def report(_: object) -> frozenset[str]:
            return self.drained

        return Sound(
            tuple(LavalinkNode(url, PASSWORD) for url in self.urls),
            shard=0,
            api_url="http://127.0.0.1/api",
            lease=self.lease,
            on_voice_lost=self.lost.put_nowait,
            on_leave=self._leave,
            report=report,
            every=0.2,
        )

    def _leave(self, guild: int) -> None:
        self.left.append(guild)
        self._moving = asyncio.create_task(self.sound.move(guild, self.wanted))

    @property
    def channel(self) -> discord.VoiceChannel:
        channel = self.client.voice_channel(GUILD, VOICE)
        assert isinstance(channel, discord.VoiceChannel)
        return channel

    @contextlib.asynccontextmanager
    async def playing(self, servers: int = 2) -> AsyncIterator[World]:
        """The sessions are open."""
        await self.client.restore(SavedGateway("s", 1, "ws://x", USER), [SNAPSHOT])
        self.client.endpoint = self.voice.endpoint
        try:
            async with running(self.sound.run(self.client)):
                for _ in range(servers):
                    event = await self.client.next("wavelink_node_ready")
                    self.sound.began(event.node)
                try:
                    yield self
                finally:
                    for station in self.sound._fleet.stations.values():
                        await station.close_session()
        finally:
            await self.client.end()

    async def play(self, seconds: int = 0) -> Station:
        """Join and play; the server that does."""
        path = self.library / "a.webm"
        async with self.http.get(f"{self.urls[0]}/v4/loadtracks", params={"identifier": str(path)}) as answer:
            encoded = (await answer.json())["data"]["encoded"]
        await self.sound.join(self.channel)
        self.wanted = Wanted("p", encoded, seconds * 1000, False, 100)
        await self.sound.update(GUILD, self.wanted, new_track=True)
        return await self.sound.require_alive(GUILD)

    async def players(self) -> list[int]:
        found = []
        for url in self.urls:
            async with self.http.get(f"{url}/v4/stats") as answer:
                found.append((await answer.json())["players"])
        return found

    def number(self, station: Station) -> int:
        return self.urls.index(station.server.url)


@pytest.fixture(scope="module")
async def urls(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[list[str], VoiceServer, Path]]:
    folder = tmp_path_factory.mktemp("lavalink")
    ca, tls = make_ca(folder)
    tone(folder / "a.webm", 440, 30)
    voice = VoiceServer()
    await voice.start(tls)
    async with running_node(ca, folder) as one, running_node(ca, folder) as other:
        yield [one, other], voice, folder
    await voice.close()


@pytest.fixture
async def world(urls: tuple[list[str], VoiceServer, Path]) -> AsyncIterator[World]:
    addresses, voice, library = urls
    voice.answers, voice.refuse_with = True, None
    async with aiohttp.ClientSession(headers={"Authorization": PASSWORD}) as http:
        world = World(addresses, http, voice, library)
        yield world
        for url in addresses:  # Whatever a test left there.
            async with http.get(f"{url}/v4/stats") as answer:
                assert answer.status == 200


async def test_a_voice_endpoint_that_hangs_holds_up_nobody_for_good(world: World) -> None:
    async with world.playing():
        world.voice.answers = False
        begun = time.monotonic()
        with pytest.raises(LavalinkAway):
            await world.sound.join(world.channel)
        assert time.monotonic() - begun < JOIN_TIMEOUT + 2
        assert sum(await world.players()) == 0
        assert all(station.usable for station in world.sound._fleet.stations.values())
        world.voice.answers = True
        await world.play()
        await world.voice.voices.entries[-1].sounds(10, start=0)
        await world.sound.leave(world.channel.guild)


async def test_a_player_is_dropped_though_its_guild_is_unknown(world: World) -> None:
    async with world.playing():
        await world.play()
        world.client._connection._remove_guild(world.channel.guild)
        await world.sound.drop(GUILD)
        assert world.sound.link(GUILD) is None
        assert sum(await world.players()) == 0


async def test_a_channel_is_joined_in_no_other_way(world: World) -> None:
    async with world.playing():
        with pytest.raises(TonearmError, match=r"Sound\.join"):
            await world.channel.connect(
                cls=lambda client, channel: VoiceLink(client, channel, world.sound.connected()[0])
            )
        assert sum(await world.players()) == 0


async def test_a_voice_endpoint_that_refuses_is_told_at_once(world: World) -> None:
    async with world.playing():
        world.voice.refuse_with = 4006
        begun = time.monotonic()
        with pytest.raises(LavalinkAway):
            await world.sound.join(world.channel)
        assert time.monotonic() - begun < 2
        assert sum(await world.players()) == 0
        world.voice.refuse_with = None
        await world.play()
        await world.sound.leave(world.channel.guild)
        assert sum(await world.players()) == 0


async def test_a_new_endpoint_that_refuses_in_the_midst_of_a_track_is_told(world: World) -> None:
    async with world.playing():
        await world.play()
        link = world.sound.link(GUILD)
        assert link is not None
        world.voice.refuse_with = 4006
        await link.on_voice_server_update({"token": "new", "endpoint": world.voice.endpoint})
        assert await asyncio.wait_for(world.lost.get(), 5) == GUILD
        assert not link.linked.is_set()
        await world.sound.leave(world.channel.guild)
        assert sum(await world.players()) == 0


async def test_a_server_that_is_drained_is_left_with_the_same_voice_connection(world: World) -> None:
    async with world.playing():
        station = await world.play(5)
        before = {cause: metric(MOVES, cause=cause) for cause in ("drain", "failover")}
        world.drained = frozenset({station.name})
        await until(lambda: world.left == [GUILD])
        assert await world._moving
        assert metric(MOVES, cause="drain") == before["drain"] + 1
        assert metric(MOVES, cause="failover") == before["failover"], "nobody's server has failed"
        now = await world.sound.require_alive(GUILD)
        assert now is not station
        assert (await world.players())[world.number(station)] == 0
        actual = (await world.sound.fetch_actual(now.node))[GUILD]
        assert (actual.play, actual.connected) == ("p", True)
        # The position is told of once the first frame was taken.
        async with asyncio.timeout(5):
            while actual.position_ms < 5000:
                actual = (await world.sound.fetch_actual(now.node))[GUILD]
        one, other = world.voice.voices.entries[-2:]
        assert one.session_id == other.session_id
        await asyncio.wait_for(one.closed.wait(), 5)
        await world.sound.leave(world.channel.guild)


async def test_without_another_server_a_drained_one_plays_on(world: World) -> None:
    async with world.playing():
        station = await world.play()
        world.drained = frozenset(world.sound._fleet.stations)
        await until(lambda: all(each.draining for each in world.sound._fleet.stations.values()))
        await world.voice.voices.entries[-1].sounds(20)
        assert (await world.sound.require_alive(GUILD)) is station
        assert world.left == []
        await world.sound.leave(world.channel.guild)


@pytest.mark.parametrize("waits", [True, False], ids=["without a client", "with a client"])
async def test_a_session_that_was_not_resumed_is_ended(world: World, waits: bool) -> None:
    async with world.playing():
        station = await world.play()
        old = station.node.session_id
        assert old is not None
        if waits:
            station.node._session_id = station.session = None
            assert station.node._websocket is not None
            await station.node._websocket.socket.close()  # type: ignore[union-attr]
            event = await world.client.next("wavelink_node_ready")
            assert not event.resumed
            assert sum(await world.players()) == 1
        await world.sound.end_session(station.node, old)
        assert sum(await world.players()) == 0


async def test_an_address_that_is_gone_from_its_name_is_left(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    servers = [server for url in world.urls for server in await find_servers(LavalinkNode(url, PASSWORD))]
    there = list(servers)

    async def find(_: LavalinkNode) -> list[Server]:
        return list(there)

    monkeypatch.setattr(fleet, "find_servers", find)
    world.sound._fleet._settings = (LavalinkNode("dns+http://lavalink:2333", PASSWORD),)
    async with world.playing():
        station = await world.play()
        there.remove(station.server)
        await until(lambda: station.name not in world.sound._fleet.stations)
        assert sum(await world.players()) == 1
        assert (await world.players())[world.number(station)] == 0
        there.append(station.server)
        event = await world.client.next("wavelink_node_ready")
        assert event.node.uri == station.server.url
        await world.sound.leave(world.channel.guild)

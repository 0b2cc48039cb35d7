"""A real discord.py client and a bare one against the twin's gateway."""

import asyncio
import ssl
import warnings
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
import yarl

from playground.twin.actors import TwinClient, TwinError
from playground.twin.app import Twin
from playground.twin.permissions import Permission
from tests.support.twin import Api, RawGateway, running_twin

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # discord.py imports audioop
    import discord
    from discord.gateway import DiscordWebSocket
    from discord.http import Route


@pytest.fixture
async def world() -> AsyncIterator[tuple[Twin, TwinClient]]:
    async with running_twin(resume_window=30.0) as (twin, client):
        yield twin, client


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


class Bot(discord.Client):
    """A client of one shard that keeps what it hears."""

    def __init__(self, intents: discord.Intents) -> None:
        super().__init__(intents=intents, shard_id=0, shard_count=1)
        self.ready = asyncio.Event()
        self.resumed = asyncio.Event()
        self.voices: asyncio.Queue[tuple[Any, Any]] = asyncio.Queue()

    async def on_ready(self) -> None:
        self.ready.set()

    async def on_resumed(self) -> None:
        self.resumed.set()

    async def on_voice_state_update(self, member: discord.Member, _: Any, after: discord.VoiceState) -> None:
        self.voices.put_nowait((member, after))

    async def before_identify_hook(self, shard_id: int | None, *, initial: bool = False) -> None:
        pass


@pytest.fixture
def elsewhere(world: tuple[Twin, TwinClient], monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    about = world[0].about()
    monkeypatch.setattr(Route, "BASE", about["api_url"])
    monkeypatch.setattr(DiscordWebSocket, "DEFAULT_GATEWAY", yarl.URL(about["gateway_url"]))
    return


@asynccontextmanager
async def running(token: str) -> AsyncIterator[Bot]:
    bot = Bot(discord.Intents(guilds=True, voice_states=True, guild_messages=True))
    task = asyncio.create_task(bot.start(token))
    try:
        async with asyncio.timeout(10):
            await bot.ready.wait()
        yield bot
    finally:
        await bot.close()
        await asyncio.gather(task, return_exceptions=True)
        while rest := [each for each in asyncio.all_tasks() if each.get_name().startswith("discord.py")]:
            await asyncio.gather(*rest, return_exceptions=True)


@pytest.mark.usefixtures("elsewhere")
async def test_discord_py_connects_joins_voice_and_resumes(world: tuple[Twin, TwinClient]) -> None:
    twin, client = world
    guild = await client.create_guild("Vinyl", shard=0, shard_count=1)
    alice = await client.create_user("Alice")
    await alice.join_guild(guild)
    async with running(twin.world.token) as bot:
        assert bot.user is not None
        assert bot.user.id == twin.world.bot.id
        assert bot.application_id == twin.world.application_id
        seen = bot.guilds[0]
        assert (seen.id, seen.name, seen.me.guild_permissions.connect) == (int(guild.id), "Vinyl", True)
        lounge = seen.voice_channels[0]

        await seen.change_voice_state(channel=lounge, self_deaf=True)
        async with asyncio.timeout(5):
            member, after = await bot.voices.get()
        assert (member.id, after.channel, after.self_deaf) == (bot.user.id, lounge, True)
        server = await client.wait_for("voice_server_update", since=0, guild_id=guild.id)
        assert server["data"]["endpoint"] == twin.voice.endpoint

        session = bot.ws.session_id
        since = await client.mark()
        await client.drop_gateway(0)
        await client.wait_for("socket_gone", since=since)
        await alice.join(guild.voice_channels[0])
        async with asyncio.timeout(10):
            member, after = await bot.voices.get()
            await bot.resumed.wait()
        assert (member.id, after.channel, bot.ws.session_id) == (int(alice.id), lounge, session)
        assert await client.bot_voice_state(guild) is not None
        resumed = await client.wait_for("session_resumed", since=since)
        assert resumed["data"]["replayed"] == 1

        since = await client.mark()
        await client.reconnect(0)
        await client.wait_for("session_resumed", since=since, session=session)

        since = await client.mark()
        bot.ready.clear()
        await client.forget_session(0)
        ready = await client.wait_for("guilds_sent", since=since, timeout=20)
        assert ready["data"]["session"] != session
        assert await client.bot_voice_state(guild) is None
        async with asyncio.timeout(10):
            await bot.ready.wait()
        message = await lounge.guild.text_channels[0].send("hello", nonce="1")
        assert (await guild.text_channels[0].messages())[0].text == message.content
    assert await client.violations() == []


async def test_a_connection_closed_with_1000_ends_session_and_voice(
    world: tuple[Twin, TwinClient], http: aiohttp.ClientSession
) -> None:
    twin, client = world
    guild = await client.create_guild()
    gateway = await RawGateway(http, twin.about()).open()
    await gateway.identify()
    channel = guild.voice_channels[0]
    await gateway.voice(guild.id, channel.id)
    server = await gateway.event("VOICE_SERVER_UPDATE")
    assert server["guild_id"] == guild.id
    await gateway.ws.close(code=1000)
    await guild.wait_bot_in(None)
    again = await RawGateway(http, twin.about()).open()
    await again.resume(gateway)
    assert await again.next() == {"op": 9, "d": False, "s": None, "t": None}
    ready = await again.identify()
    assert ready["session_id"] != gateway.session_id
    created = await again.event("GUILD_CREATE")
    assert created["voice_states"] == []
    await again.ws.close()


@pytest.mark.parametrize("code", [None, 4000])
async def test_a_session_outlives_its_socket_for_the_window(code: int | None, http: aiohttp.ClientSession) -> None:
    async with running_twin(resume_window=0.3) as (twin, client):
        guild = await client.create_guild()
        gateway = await RawGateway(http, twin.about()).open()
        await gateway.identify()
        await gateway.voice(guild.id, guild.voice_channels[0].id)
        await gateway.event("VOICE_SERVER_UPDATE")
        since = await client.mark()
        if code is None:
            await client.drop_gateway()
        else:
            await gateway.ws.close(code=code)
        await client.wait_for("socket_gone", since=since)
        assert await client.bot_voice_state(guild) is not None
        await guild.wait_bot_in(None)
        again = await RawGateway(http, twin.about()).open()
        await again.resume(gateway)
        assert (await again.next())["op"] == 9
        await again.ws.close()


async def test_resuming_replays_what_was_missed_and_sends_the_first_connection_away(
    world: tuple[Twin, TwinClient], http: aiohttp.ClientSession
) -> None:
    twin, client = world
    guild = await client.create_guild()
    alice = await client.create_user("Alice")
    first = await RawGateway(http, twin.about()).open()
    await first.identify()
    await first.event("GUILD_CREATE")
    await alice.join_guild(guild)
    await alice.say(guild.text_channels[0], "one")
    await first.event("MESSAGE_CREATE")
    second = await RawGateway(http, twin.about()).open()
    await second.resume(first, sequence=first.sequence - 1)
    replayed = await second.next()
    assert (replayed["t"], replayed["s"]) == ("MESSAGE_CREATE", first.sequence)
    assert replayed["d"]["content"] == ""  # no intent for the content of others' messages
    assert (await second.next())["t"] == "RESUMED"
    assert await first.closed() == 4000
    for sequence in (9999, -1):
        third = await RawGateway(http, twin.about()).open()
        await third.resume(second, sequence=sequence)
        assert (await third.next())["op"] == 9
        await third.ws.close()
    await second.ws.close()


async def test_what_the_gateway_refuses(http: aiohttp.ClientSession) -> None:
    async with running_twin(sends=6, heartbeat_interval_ms=400) as (twin, _):
        about = twin.about()

        async def closes(op: int, data: Any) -> int:
            gateway = await RawGateway(http, about).open()
            await gateway.send(op, data)
            return await gateway.closed()

        valid = {"token": about["bot_token"], "intents": 1, "shard": [0, 1], "properties": {}}
        assert await closes(2, valid | {"token": "wrong"}) == 4004
        assert await closes(2, valid | {"shard": [1, 1]}) == 4010
        assert await closes(2, valid | {"intents": 1 << 40}) == 4013
        assert await closes(2, valid | {"intents": 1 << 1}) == 4014
        assert await closes(4, {"guild_id": "1"}) == 4003
        assert await closes(2, "?") == 4002
        gateway = await RawGateway(http, about).open()
        assert await gateway.closed() == 4009  # no heartbeat
        gateway = await RawGateway(http, about).open()
        await gateway.ws.send_str("{")
        assert await gateway.closed() == 4002
        gateway = await RawGateway(http, about).open()
        for _ in range(7):
            await gateway.send(1, None)
        assert await gateway.closed() == 4008
        gateway = await RawGateway(http, about).open()
        await gateway.identify()
        await gateway.send(2, valid)
        assert await gateway.closed() == 4005


async def test_identifying_too_early_invalidates(http: aiohttp.ClientSession) -> None:
    async with running_twin(identify_interval=0.4, max_concurrency=2) as (twin, client):
        gateways = [await RawGateway(http, twin.about()).open() for _ in range(3)]
        await gateways[0].identify(shard=(0, 4))
        await gateways[1].identify(shard=(1, 4))
        data = {"token": twin.about()["bot_token"], "intents": 1, "shard": [2, 4], "properties": {}}
        await gateways[2].send(2, data)
        assert (await gateways[2].next())["op"] == 9
        limited = await client.wait_for("identify_limited", since=0)
        assert 0 < limited["data"]["too_early_by"] <= 0.4
        for gateway in gateways:
            await gateway.ws.close()


async def test_each_shard_gets_its_guilds_and_intents_decide(
    world: tuple[Twin, TwinClient], http: aiohttp.ClientSession
) -> None:
    twin, client = world
    guilds = [await client.create_guild(f"G{shard}", shard=shard, shard_count=2) for shard in (0, 1)]
    alice = await client.create_user("Alice")
    for number, guild in enumerate(guilds):
        gateway = await RawGateway(http, twin.about()).open()
        ready = await gateway.identify(intents=1, shard=(number, 2))
        assert [each["id"] for each in ready["guilds"]] == [guild.id]
        await gateway.event("GUILD_CREATE", id=guild.id)
        await alice.join_guild(guild)
        await alice.join(guild.voice_channels[0])
        await guild.voice_channels[1].set_user_limit(1)
        await gateway.event("CHANNEL_UPDATE", id=guild.voice_channels[1].id, user_limit=1)
        assert {each.get("t") for each in gateway.received} == {None, "READY", "GUILD_CREATE", "CHANNEL_UPDATE"}
        await gateway.ws.close(code=1000)
    assert await client.sessions() == []


async def test_getting_into_voice_channels(world: tuple[Twin, TwinClient], http: aiohttp.ClientSession) -> None:
    twin, client = world
    guild = await client.create_guild()
    alice = await client.create_user("Alice")
    await alice.join_guild(guild)
    one, two = guild.voice_channels
    gateway = await RawGateway(http, twin.about()).open()
    await gateway.identify()
    await one.set_user_limit(1)
    await alice.join(one)
    since = await client.mark()
    await gateway.voice(guild.id, one.id)
    await client.wait_for("join_refused", since=since, reason="the channel is full")
    await two.set_permissions(str(twin.world.bot.id), deny=Permission.CONNECT)
    await gateway.voice(guild.id, two.id)
    await client.wait_for("join_refused", since=since, reason="lacks the permission to connect")
    await two.set_permissions(str(twin.world.bot.id), deny=Permission.SPEAK)
    await gateway.voice(guild.id, two.id)
    state = await gateway.event("VOICE_STATE_UPDATE", user_id=str(twin.world.bot.id))
    assert (state["channel_id"], state["suppress"]) == (two.id, True)
    first = await gateway.event("VOICE_SERVER_UPDATE")
    await two.set_permissions(str(twin.world.bot.id))
    assert (await gateway.event("VOICE_STATE_UPDATE"))["suppress"] is False

    await one.set_user_limit(0)
    await guild.move_bot(one)
    assert (await gateway.event("VOICE_STATE_UPDATE"))["channel_id"] == one.id
    second = await gateway.event("VOICE_SERVER_UPDATE")
    assert first["token"] != second["token"]
    await guild.change_voice_server(outage=True)
    assert (await gateway.event("VOICE_SERVER_UPDATE"))["endpoint"] is None
    await guild.change_voice_server()
    assert (await gateway.event("VOICE_SERVER_UPDATE"))["endpoint"] == twin.voice.endpoint
    await guild.disconnect_bot()
    assert (await gateway.event("VOICE_STATE_UPDATE"))["channel_id"] is None
    with pytest.raises(TwinError, match="not in a voice channel"):
        await guild.move_bot(one)
    await two.delete()
    await gateway.event("CHANNEL_DELETE", id=two.id)
    await gateway.ws.close()


async def test_voice_states_by_rest(world: tuple[Twin, TwinClient], http: aiohttp.ClientSession) -> None:
    twin, client = world
    guild = await client.create_guild()
    alice = await client.create_user("Alice")
    await alice.join_guild(guild)
    api = Api(http, twin.about())
    path = f"/guilds/{guild.id}/voice-states/{alice.id}"
    status, body = await api("GET", path)
    assert (status, body["code"]) == (404, 10065)
    await alice.join(guild.voice_channels[0])
    status, body = await api("GET", path)
    assert (status, body["channel_id"]) == (200, guild.voice_channels[0].id)
    await guild.voice_channels[0].set_permissions(str(twin.world.bot.id), deny=Permission.CONNECT)
    status, body = await api("GET", path)
    assert (status, body["code"]) == (403, 50001)
    status, body = await api("GET", path, token="wrong")
    assert (status, body["code"]) == (401, 0)
    status, body = await api("GET", "/nothing")
    assert (status, body["code"]) == (404, 0)
    status, body = await api("GET", f"/guilds/{guild.id}/voice-states/@me")
    assert (status, body["code"]) == (404, 10065)


async def test_many_guilds_leave_the_gateway_responsive(http: aiohttp.ClientSession) -> None:
    async with running_twin(guilds_per_shard=10_000) as (twin, client):
        guilds = await client.create_guilds("Many", 2000, shard=0, shard_count=1)
        gateway = await RawGateway(http, twin.about()).open()
        ready = await gateway.identify()
        assert len(ready["guilds"]) == 2000
        await gateway.send(1, None)
        while (payload := await gateway.next())["op"] != 11:
            assert payload["t"] == "GUILD_CREATE"
        last = [each["d"]["id"] for each in gateway.received if each.get("t") == "GUILD_CREATE"]
        assert len(last) < 2000
        await gateway.event("GUILD_CREATE", id=guilds[-1].id, within=20)
        await gateway.ws.close(code=1000)


async def test_voice_servers_take_the_tokens_that_were_told(
    world: tuple[Twin, TwinClient], http: aiohttp.ClientSession
) -> None:
    twin, client = world
    guild = await client.create_guild()
    alice = await client.create_user("Alice")
    await alice.join_guild(guild)
    gateway = await RawGateway(http, twin.about()).open()
    await gateway.identify()
    trusting = ssl.create_default_context(cafile=twin.about()["voice_ca"])

    async def identify(server: dict[str, Any]) -> aiohttp.ClientWebSocketResponse:
        ws = await http.ws_connect(f"wss://{server['endpoint']}/?v=8", ssl=trusting)
        assert (await ws.receive_json(timeout=5))["op"] == 8
        identity = {"server_id": guild.id, "user_id": str(twin.world.bot.id), "session_id": gateway.session_id}
        await ws.send_json({"op": 0, "d": identity | {"token": server["token"], "max_dave_protocol_version": 0}})
        return ws

    async def code(ws: aiohttp.ClientWebSocketResponse) -> int | None:
        while not ws.closed:
            await ws.receive(timeout=5)
        return ws.close_code

    await gateway.voice(guild.id, guild.voice_channels[0].id)
    first = await gateway.event("VOICE_SERVER_UPDATE")
    voice = await identify(first)
    assert (await voice.receive_json(timeout=5))["op"] == 2
    ear = await alice.listen(guild.voice_channels[0])
    assert await ear.is_silent()

    await guild.move_bot(guild.voice_channels[1])
    assert await code(voice) == 4014
    second = await gateway.event("VOICE_SERVER_UPDATE")
    assert await code(await identify(first)) == 4004
    voice = await identify(second)
    assert (await voice.receive_json(timeout=5))["op"] == 2
    await gateway.ws.close(code=1000)
    assert await code(voice) == 4014
    await guild.wait_bot_in(None)

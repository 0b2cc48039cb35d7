"""What goes wrong with voice, made by the twin and met by the audio node: what is heard, and what the bot is told."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from playground.library import tone
from playground.twin.actors import TwinClient, TwinError
from playground.twin.app import Twin
from playground.twin.handles import Channel, Guild
from playground.twin.voice.client import ListenerClient
from tests.support.audio_node.node import Client, running_node
from tests.support.twin import RawGateway, running_twin

AES_GCM, XCHACHA = "aead_aes256_gcm_rtpsize", "aead_xchacha20_poly1305_rtpsize"
Json = dict[str, Any]


class Stage:
    """A guild, and a bot that is in voice there: a gateway connection and a client of the audio node."""

    def __init__(self, guild: Guild, gateway: RawGateway, node: Client, ear: ListenerClient, track: Path) -> None:
        self.guild = guild
        self.gateway = gateway
        self.node = node
        self.ear = ear
        self.track = track
        self.channel: Channel = guild.voice_channels[0]
        self.voice: Json = {}

    async def told(self) -> Json:
        """Read the next VOICE_SERVER_UPDATE; return what Lavalink wants of it."""
        server = await self.gateway.event("VOICE_SERVER_UPDATE", guild_id=self.guild.id)
        known = {"token": server["token"], "endpoint": server["endpoint"]}
        self.voice = known | {"sessionId": self.gateway.session_id, "channelId": self.channel.id}
        return self.voice

    async def connect(self, voice: Json | None = None) -> tuple[int, Json]:
        path = self.node.player_path(int(self.guild.id))
        status, answer, _ = await self.node.request("PATCH", path, {"voice": voice or self.voice})
        return status, answer

    async def join(self) -> None:
        await self.gateway.voice(self.guild.id, self.channel.id)
        await self.told()

    async def play(self) -> None:
        """Join, play, and be heard."""
        await self.join()
        assert (await self.connect())[0] == 200
        await self.node.patch(int(self.guild.id), {"track": {"identifier": str(self.track)}})
        await self.ear.hears(440)

    async def closed(self) -> int:
        code: int = (await self.node.event("WebSocketClosedEvent", int(self.guild.id)))["code"]
        return code

    def closes(self) -> list[Json]:
        return [
            message
            for message in self.node.messages.entries
            if message.get("type") == "WebSocketClosedEvent" and message["guildId"] == self.guild.id
        ]


@pytest.fixture(scope="module")
async def world(
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[tuple[Twin, TwinClient, Client, RawGateway, Path]]:
    folder = tmp_path_factory.mktemp("music")
    tone(folder / "long.webm", 440, 60)
    async with (
        running_twin(heartbeat_interval_ms=600_000) as (twin, client),
        running_node(twin.voice.ca_path, folder) as url,
        aiohttp.ClientSession() as http,
    ):
        node = Client(http, url, str(twin.world.bot.id))
        await node.connect()
        gateway = await RawGateway(http, twin.about()).open()
        await gateway.identify()
        yield twin, client, node, gateway, folder / "long.webm"
        await node.close()
        await gateway.ws.close(code=1000)
        assert await client.violations() == []


@pytest.fixture
async def twin(world: Any) -> TwinClient:
    client: TwinClient = world[1]
    return client


@pytest.fixture
async def stage(world: tuple[Twin, TwinClient, Client, RawGateway, Path]) -> AsyncIterator[Stage]:
    _, client, node, gateway, track = world
    guild = await client.create_guild()
    alice = await client.create_user("Alice")
    stage = Stage(guild, gateway, node, await alice.listen(guild.voice_channels[0]), track)
    yield stage
    await node.request("DELETE", node.player_path(int(guild.id)))
    await guild.disconnect_bot()


async def test_where_only_xchacha20_is_offered_the_music_is_heard_through_it(twin: TwinClient, stage: Stage) -> None:
    with pytest.raises(TwinError, match="modes are some of"):
        await stage.guild.offer_voice_modes("xsalsa20_poly1305")
    await stage.guild.offer_voice_modes(XCHACHA)
    await stage.play()
    report = await stage.ear.wait_packets(30)
    assert report.unbroken, report
    assert report.bad == 0
    await stage.guild.offer_voice_modes()
    await twin.offer_voice_modes(AES_GCM)
    await stage.guild.change_voice_server()
    await stage.told()
    assert (await stage.connect())[0] == 200
    await stage.ear.hears(440)
    await twin.offer_voice_modes()


@pytest.mark.parametrize("how", ["4015", "tcp"])
async def test_a_crash_and_a_lost_connection_are_resumed_and_not_heard(
    twin: TwinClient, stage: Stage, how: str
) -> None:
    await stage.play()
    await stage.ear.mark()
    since = await twin.mark()
    await (stage.guild.close_voice(4015) if how == "4015" else stage.guild.cut_voice())
    resumed = await twin.wait_for("voice_resumed", since=since, guild_id=stage.guild.id)
    assert resumed["data"]["replayed"] == 0
    report = await stage.ear.wait_packets(50)
    assert report.unbroken, report
    assert report.ssrc_changes == 0
    assert stage.closes() == []
    await stage.guild.wait_bot_in(stage.channel)


@pytest.mark.parametrize("code", [4014, 4021, 4022])
async def test_who_is_disconnected_is_out_of_the_channel_and_unheard(twin: TwinClient, stage: Stage, code: int) -> None:
    await stage.play()
    since = await twin.mark()
    await stage.channel.close_voice(code)
    bot = (await twin.about())["bot_id"]
    await stage.gateway.event("VOICE_STATE_UPDATE", guild_id=stage.guild.id, user_id=bot, channel_id=None)
    assert await stage.closed() == code
    assert await stage.guild.bot_voice_state() is None
    assert (await twin.wait_for("voice_closing", since=since, guild_id=stage.guild.id))["data"]["code"] == code
    await stage.ear.hears_silence(for_ms=300)
    status, answer = await stage.connect()
    assert status == 500
    assert "4011" in answer["message"] or "4006" in answer["message"]
    with pytest.raises(TwinError, match="not in"):
        await stage.guild.close_voice(4014)
    with pytest.raises(TwinError, match="not in this channel"):
        await stage.channel.close_voice(4014)
    await stage.join()
    assert (await stage.connect())[0] == 200
    await stage.ear.hears(440)


@pytest.mark.parametrize(("code", "void"), [(4006, True), (4009, False), (4017, False)])
async def test_a_session_that_is_over_leaves_the_bot_in_the_channel(stage: Stage, code: int, void: bool) -> None:
    await stage.play()
    await stage.guild.close_voice(code)
    assert await stage.closed() == code
    await stage.guild.wait_bot_in(stage.channel)
    await stage.ear.hears_silence(for_ms=300)
    status, _ = await stage.connect()
    assert status == (500 if void else 200)
    if void:
        await stage.gateway.voice(stage.guild.id, None)
        await stage.guild.wait_bot_in(None)
        await stage.join()
        assert (await stage.connect())[0] == 200
    await stage.ear.hears(440)


async def test_what_has_no_connection_can_not_be_closed(stage: Stage) -> None:
    for verb in (stage.guild.close_voice(4015), stage.guild.cut_voice()):
        with pytest.raises(TwinError):
            await verb
    await stage.join()
    for verb in (stage.guild.close_voice(4015), stage.guild.cut_voice()):
        with pytest.raises(TwinError, match="no voice connection"):
            await verb
    with pytest.raises(TwinError, match="no code"):
        await stage.guild.close_voice(1006)


@pytest.mark.parametrize("where", ["guild", "channel"])
async def test_where_dave_is_demanded_nobody_without_it_gets_in(stage: Stage, where: str) -> None:
    place: Guild | Channel = stage.guild if where == "guild" else stage.channel
    await stage.play()
    await place.require_dave()
    assert await stage.closed() == 4017
    await stage.guild.wait_bot_in(stage.channel)
    status, answer = await stage.connect()
    assert (status, "4017" in answer["message"]) == (500, True)
    await place.require_dave(False)
    assert (await stage.connect())[0] == 200
    await stage.ear.hears(440)


async def test_a_new_voice_server_ends_the_old_connection_and_a_deleted_channel_all(
    twin: TwinClient, stage: Stage
) -> None:
    await stage.play()
    await stage.guild.change_voice_server()
    assert await stage.closed() == 4022
    await stage.told()
    assert (await stage.connect())[0] == 200
    await stage.ear.hears(440)
    known = len(stage.node.messages.entries)
    await stage.channel.delete()
    again = await stage.node.event("WebSocketClosedEvent", int(stage.guild.id), start=known)
    assert again["code"] == 4022
    await stage.guild.wait_bot_in(None)


async def test_a_voice_endpoint_that_refuses(stage: Stage) -> None:
    await stage.guild.break_voice_endpoint("refusing")
    await stage.join()
    status, answer = await stage.connect()
    assert status == 500
    assert "voice endpoint" in answer["message"]


@pytest.mark.parametrize("fault", ["silent", "mute"])
async def test_a_voice_endpoint_that_says_nothing(stage: Stage, fault: Any) -> None:
    await stage.play()
    await stage.guild.break_voice_endpoint(fault)
    await stage.guild.change_voice_server()
    assert await stage.closed() == 4022
    hanging = asyncio.create_task(stage.connect(await stage.told()))
    await stage.ear.hears_silence(for_ms=400)
    assert not hanging.done()
    await stage.guild.break_voice_endpoint(None)
    await stage.guild.change_voice_server()
    assert (await stage.connect(await stage.told()))[0] == 200
    await stage.ear.hears(440)
    async with asyncio.timeout(5):
        assert (await hanging)[0] == 500
    with pytest.raises(TwinError):
        await stage.guild.break_voice_endpoint("sleepy")  # type: ignore[arg-type]


async def test_a_slow_and_lossy_way_is_heard_as_such(stage: Stage) -> None:
    await stage.play()
    await stage.ear.mark()
    await stage.guild.delay_voice(300)
    late = await stage.ear.wait_packets(30)
    assert (late.lost, late.reordered) == (0, 0)
    assert late.largest_gap_ms >= 250
    await stage.guild.delay_voice(loss=0.5)
    await stage.ear.mark()
    report = await stage.ear.wait_packets(30)
    assert report.lost >= 5
    await stage.guild.delay_voice()
    with pytest.raises(TwinError):
        await stage.guild.delay_voice(loss=2)

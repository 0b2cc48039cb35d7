"""A shard's gateway connection, against a real twin in this process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from unittest.mock import create_autospec

import discord
import pytest
import yarl
from discord.gateway import DiscordWebSocket
from discord.http import Route

from playground.twin.actors import TwinClient
from playground.twin.app import Twin
from playground.twin.handles import Actor, Channel, Guild
from playground.twin.permissions import Permission
from tests.support.twin import running_twin
from tests.support.voice_nodes import running
from tonearm.errors import DiscordAway, LeaseLost, Refused, SettingsError
from tonearm.sentences import Sentence
from voice_nodes import gateway as module
from voice_nodes.gateway import Gateway, Listener

STAGE = 13


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


async def at_once(_: int) -> None:
    pass


def make(check: Any = lambda: None) -> Gateway:
    return Gateway(
        shard=0,
        shard_count=1,
        listener=create_autospec(Listener, instance=True),
        before_identify=at_once,
        check=check,
    )


class Place:
    """A guild that the gateway knows, with Ada in its voice channel."""

    def __init__(self, gateway: Gateway, client: TwinClient, guild: Guild, ada: Actor) -> None:
        self.gateway, self.client, self.guild, self.ada = gateway, client, guild, ada
        self.voice: Channel = guild.voice_channels[0]

    def require(self, channel: str | None = None) -> None:
        self.gateway.require_entry(int(self.guild.id), int(channel or self.voice.id))

    async def changed(self) -> None:
        """Wait until the gateway has told of the channel."""
        await self.gateway.wait_for(
            "guild_channel_update", check=lambda _, after: after.id == int(self.voice.id), timeout=5
        )


@pytest.fixture
async def place(twin: tuple[Twin, TwinClient], aimed: Any) -> AsyncIterator[Place]:
    client = twin[1]
    guild = await client.create_guild(name="Place")
    ada = await client.create_user("Ada")
    await ada.join_guild(guild)
    await ada.join(guild.voice_channels[0])
    gateway = make()
    async with running(gateway.run_forever(aimed["bot_token"])):
        await asyncio.wait_for(gateway.ready.wait(), 10)
        yield Place(gateway, client, guild, ada)
        await gateway.leave_behind()


async def test_an_open_channel_may_be_entered(place: Place) -> None:
    place.require()
    assert place.gateway.caller_channel(int(place.guild.id), int(place.ada.id)) == int(place.voice.id)
    assert place.gateway.caller_channel(int(place.guild.id), 1) is None


@pytest.mark.parametrize(
    ("permission", "sentence"),
    [
        (Permission.VIEW_CHANNEL, Sentence.NO_CONNECT),
        (Permission.CONNECT, Sentence.NO_CONNECT),
        (Permission.SPEAK, Sentence.NO_SPEAK),
    ],
)
async def test_a_missing_permission_is_a_sentence(place: Place, permission: Permission, sentence: Sentence) -> None:
    bot = (await place.client.about())["bot_id"]
    waiting = asyncio.create_task(place.changed())
    await asyncio.sleep(0)
    await place.voice.set_permissions(bot, deny=permission)
    await waiting
    with pytest.raises(Refused) as refused:
        place.require()
    assert str(refused.value) == sentence.format(channel=place.voice.id)


async def test_a_full_channel_may_be_entered_by_who_may_move_members(place: Place) -> None:
    waiting = asyncio.create_task(place.changed())
    await asyncio.sleep(0)
    await place.voice.set_user_limit(1)
    await waiting
    with pytest.raises(Refused) as refused:
        place.require()
    assert str(refused.value) == Sentence.CHANNEL_FULL.format(channel=place.voice.id)
    bot = (await place.client.about())["bot_id"]
    waiting = asyncio.create_task(place.changed())
    await asyncio.sleep(0)
    await place.voice.set_permissions(bot, allow=Permission.MOVE_MEMBERS)
    await waiting
    place.require()


async def test_a_stage_may_be_entered_and_a_text_channel_not(place: Place) -> None:
    waiting = asyncio.create_task(place.gateway.wait_for("guild_channel_create", timeout=5))
    await asyncio.sleep(0)
    raw = await place.client.link.call("create_channel", guild=place.guild.id, name="Stage", type=STAGE)
    assert isinstance(await waiting, discord.StageChannel)
    place.require(raw["id"])
    for unknown in (place.guild.text_channels[0].id, "99"):
        with pytest.raises(Refused) as refused:
            place.require(unknown)
        assert str(refused.value) == Sentence.NO_CONNECT.format(channel=unknown)


async def test_a_guild_without_the_bot_gets_the_invite_link(place: Place) -> None:
    with pytest.raises(Refused) as refused:
        place.gateway.find_guild(99)
    assert f"client_id={place.gateway.application_id}" in str(refused.value)


async def test_leaving_behind_keeps_the_session(place: Place) -> None:
    since = await place.client.mark()
    await place.gateway.leave_behind()
    entry = await place.client.wait_for("socket_gone", since=since)
    assert entry["data"]["code"] == 4000
    assert await place.client.log(since, name="session_ended") == []


async def test_without_the_lease_no_voice_state_is_sent(place: Place) -> None:
    def lost() -> None:
        raise LeaseLost("gone")

    place.gateway._check = lost
    guild = place.gateway.find_guild(int(place.guild.id))
    with pytest.raises(LeaseLost):
        await place.gateway.send_voice_state(guild, None)
    assert await place.guild.bot_voice_state() is None


async def test_a_wrong_token_is_a_sentence(aimed: Any) -> None:
    gateway = make()
    with pytest.raises(SettingsError, match="TONEARM_DISCORD_BOT_TOKEN is refused"):
        await asyncio.wait_for(gateway.run_forever("wrong"), 10)
    await gateway.leave_behind()


async def test_a_close_that_is_for_good_is_a_sentence(twin: tuple[Twin, TwinClient], place: Place, aimed: Any) -> None:
    gateway = make()
    async with running(gateway.run_forever(aimed["bot_token"])) as task:
        await asyncio.wait_for(gateway.ready.wait(), 10)
        await twin[1].drop_gateway(shard=0, code=4011)
        with pytest.raises(SettingsError, match="closed the gateway with 4011"):
            await asyncio.wait_for(task, 10)
    await gateway.leave_behind()


async def test_a_send_without_a_connection_is_discord_away(place: Place) -> None:
    guild = place.gateway.find_guild(int(place.guild.id))
    await place.gateway.leave_behind()
    with pytest.raises(DiscordAway):
        await place.gateway.send_voice_state(guild, None)


async def test_company_is_whoever_else_is_in_the_channel(place: Place) -> None:
    guild, voice = int(place.guild.id), int(place.voice.id)
    empty = int(place.guild.voice_channels[1].id)
    assert place.gateway.is_alone(guild, voice) is False
    assert place.gateway.is_alone(guild, empty) is True
    assert place.gateway.is_alone(guild, 1) is None
    changed = place.gateway._listener.company_changed
    async with asyncio.timeout(5):
        left = asyncio.create_task(place.gateway.wait_for("voice_state_update"))
        await asyncio.sleep(0)
        await place.ada.leave()
        await left
    assert place.gateway.is_alone(guild, voice) is True
    changed.assert_called_once_with(guild, {voice})  # type: ignore[attr-defined]


async def test_after_a_resume_only_the_bots_own_channel_is_known(place: Place) -> None:
    guild, voice = int(place.guild.id), int(place.voice.id)
    empty = int(place.guild.voice_channels[1].id)
    place.gateway._partial = {guild}
    assert place.gateway.is_alone(guild, empty) is None
    assert place.gateway.is_alone(guild, voice) is False  # somebody was seen
    place.gateway._known_channels = {guild: empty}
    assert place.gateway.is_alone(guild, empty) is True


async def test_who_left_does_not_connect_again(place: Place) -> None:
    """discord.py may be connecting just as the process leaves; the HTTP session is closed by then."""
    await place.gateway.leave_behind()

    async def connect(*, reconnect: bool) -> None:
        raise RuntimeError("Session is closed")

    place.gateway.connect = connect  # type: ignore[method-assign]
    async with asyncio.timeout(5):
        await place.gateway.run_forever("token")
    place.gateway._left = False
    with pytest.raises(RuntimeError):
        await place.gateway.run_forever("token")

"""A shard's gateway connection, against a real twin in this process."""

from __future__ import annotations

import asyncio
import threading
from typing import Any
from unittest.mock import MagicMock, create_autospec

import discord
import pytest
import wavelink
from aiohttp import web
from discord.gateway import DiscordWebSocket, KeepAliveHandler
from discord.http import Route

from playground.twin.actors import TwinClient
from playground.twin.app import Twin
from playground.twin.permissions import Permission
from tests.support.gateway import Place, make
from tests.support.metrics import counts
from tests.support.serving import serving
from tests.support.voice_nodes import running
from tonearm.backoff import Backoff
from tonearm.errors import DiscordAway, LeaseLost, Refused, SettingsError
from tonearm.sentences import Sentence
from voice_nodes import gateway as module
from voice_nodes.identifying import Turns
from voice_nodes.listener import Trouble

STAGE = 13


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


async def test_a_guild_is_told_of_a_new_session_once_it_can_be_joined_in_it(place: Place) -> None:
    guild, told = int(place.guild.id), asyncio.Event()
    available: list[bool] = []

    def started(which: int) -> None:
        assert which == guild
        available.append(not place.gateway.is_unavailable(which))
        told.set()

    assert not place.gateway._listener.gateway_started.called, "the first session is no new one"  # type: ignore[attr-defined]
    place.gateway._listener.gateway_started.side_effect = started  # type: ignore[attr-defined]
    await place.client.forget_session()
    async with asyncio.timeout(10):
        await told.wait()
    assert available == [True]


async def test_leaving_behind_keeps_the_session(place: Place) -> None:
    since = await place.client.mark()
    await place.gateway.leave_behind()
    entry = await place.client.wait_for("socket_gone", since=since)
    assert entry["data"]["code"] == 4000
    assert await place.client.log(since, name="session_ended") == []


async def test_without_the_lease_no_voice_state_is_sent(place: Place) -> None:
    place.lease.run_out()
    guild = place.gateway.find_guild(int(place.guild.id))
    with pytest.raises(LeaseLost):
        await place.gateway.send_voice_state(guild, None)
    assert await place.guild.bot_voice_state() is None


@pytest.mark.parametrize("out", [True, False])
async def test_no_voice_state_waits_for_its_turn_beyond_the_lease(
    place: Place, monkeypatch: pytest.MonkeyPatch, out: bool
) -> None:
    waits = asyncio.Event()

    async def block() -> None:
        waits.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(place.gateway.ws._rate_limiter, "block", block)
    monkeypatch.setattr(module, "SEND_TIMEOUT", 60.0)
    place.lease.left = 0.1
    guild = place.gateway.find_guild(int(place.guild.id))
    async with running(place.gateway.send_voice_state(guild, None)) as sending:
        await asyncio.wait_for(waits.wait(), 5)
        if out:
            place.lease.run_out()
        with pytest.raises(LeaseLost if out else DiscordAway):
            await asyncio.wait_for(sending, 5)


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


# Turns, and a lease that runs out for a moment.


def heartbeats() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if isinstance(thread, KeepAliveHandler)}


async def test_a_turn_that_does_not_come_is_waited_for_without_a_connection(
    twin: tuple[Twin, TwinClient], aimed: Any
) -> None:
    near, again, turns = asyncio.Semaphore(1), asyncio.Event(), create_autospec(Turns, instance=True)

    async def come_near() -> None:
        if near.locked():
            again.set()
        await near.acquire()

    turns.come_near.side_effect = come_near
    turns.take.side_effect = [DiscordAway("far away"), None]
    since = await twin[1].mark()
    gateway = make(turns=turns)
    beating = heartbeats()
    async with running(gateway.run_forever(aimed["bot_token"])):
        await asyncio.wait_for(again.wait(), 10)
        for thread in heartbeats() - beating:
            await asyncio.to_thread(thread.join, 5)
            assert not thread.is_alive(), "nobody sends heartbeats for a connection that was left"
        assert await twin[1].log(since, name="session_ready") == []
        near.release()
        await asyncio.wait_for(gateway.ready.wait(), 10)
        await gateway.leave_behind()
    assert turns.take.await_count == turns.come_near.await_count == 2


async def test_a_lease_that_ran_out_for_a_moment_ends_no_session(place: Place) -> None:
    since = await place.client.mark()
    place.lease.run_out()
    await place.client.drop_gateway(shard=0)
    await asyncio.wait_for(place.lease.waits.wait(), 10)
    assert await place.client.log(since, name="session_resumed") == []
    await place.lease.settle()
    await place.client.wait_for("session_resumed", since=since, timeout=10)
    assert await place.client.log(since, name="session_ready") == []


async def test_a_lease_that_is_anothers_ends_it(place: Place) -> None:
    place.lease.run_out()
    await place.client.drop_gateway(shard=0)
    await asyncio.wait_for(place.lease.waits.wait(), 10)
    await place.lease.settle(gone=True)
    with pytest.raises(LeaseLost):
        await asyncio.wait_for(place.running, 10)


@pytest.mark.parametrize("gone", [False, True], ids=["ours again", "another's"])
async def test_no_session_is_resumed_on_a_lease_that_ran_out_while_it_connects(
    place: Place, monkeypatch: pytest.MonkeyPatch, gone: bool
) -> None:
    """Another process may have the session by then, and would be sent away."""
    poll = DiscordWebSocket.poll_event

    async def poll_event(self: DiscordWebSocket) -> None:
        connecting = self._keep_alive is None
        await poll(self)
        if connecting:  # It was HELLO.
            place.lease.run_out()

    monkeypatch.setattr(DiscordWebSocket, "poll_event", poll_event)
    since = await place.client.mark()
    await place.client.drop_gateway(shard=0)
    await asyncio.wait_for(place.lease.waits.wait(), 10)
    assert await place.client.log(since, name="session_resumed") == []
    await place.lease.settle(gone=gone)
    if gone:
        with pytest.raises(LeaseLost):
            await asyncio.wait_for(place.running, 10)
    else:
        await place.client.wait_for("session_resumed", since=since, timeout=10)
    assert len(await place.client.log(since, name="session_resumed")) == (0 if gone else 1)
    assert await place.client.log(since, name="session_ready") == []


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
    assert [place.gateway.company(guild, channel) for channel in (voice, empty, 1)] == [1, 0, 0]
    changed = place.gateway._listener.company_changed
    async with asyncio.timeout(5):
        left = asyncio.create_task(place.gateway.wait_for("voice_state_update"))
        await asyncio.sleep(0)
        await place.ada.leave()
        await left
    assert place.gateway.is_alone(guild, voice) is True
    assert place.gateway.company(guild, voice) == 0
    changed.assert_called_once_with(guild, {voice})  # type: ignore[attr-defined]


# What Lavalink says of a track.


def track_of(place: Place, play: str) -> tuple[Any, wavelink.Playable]:
    """A player of the place's guild, and what it plays."""
    info = {"identifier": "x", "isSeekable": True, "author": "A", "length": 1, "isStream": False, "position": 0}
    info |= {"title": "T", "uri": None, "artworkUrl": None, "isrc": None, "sourceName": "bandcamp"}
    data: Any = {"encoded": "e", "info": info, "pluginInfo": {}, "userData": {"play": play}}
    player = MagicMock()
    player.guild.id = int(place.guild.id)
    return player, wavelink.Playable(data=data)


async def test_the_start_of_a_track_is_told(place: Place) -> None:
    player, track = track_of(place, "p1")
    await place.gateway.on_wavelink_track_start(wavelink.TrackStartEventPayload(player, track))
    told = place.gateway._listener.track_started
    told.assert_called_once_with(int(place.guild.id), "p1")  # type: ignore[attr-defined]


async def test_what_breaks_a_track_is_told_and_one_that_is_stuck_is_counted(place: Place) -> None:
    player, track = track_of(place, "p1")
    said: Any = {"message": "Not for you", "severity": "suspicious", "cause": "x"}
    await place.gateway.on_wavelink_track_exception(wavelink.TrackExceptionEventPayload(player, track, said))
    told = place.gateway._listener.track_failed
    told.assert_called_once_with(  # type: ignore[attr-defined]
        int(place.guild.id), "p1", Trouble("T", "bandcamp", "suspicious", "Not for you")
    )
    with counts("tonearm_track_errors_total", **{"class": "stuck", "source": "bandcamp"}):
        await place.gateway.on_wavelink_track_stuck(wavelink.TrackStuckEventPayload(player, track, 10_000))


# Leaving, and a Discord that says nothing.


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


async def test_a_discord_that_says_nothing_is_left_alone_in_time(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "LOGIN_TIMEOUT", 0.05)
    asked, connected = asyncio.Event(), asyncio.Event()

    async def hang(_: web.Request) -> web.Response:
        asked.set()
        await asyncio.Event().wait()
        raise AssertionError

    async def connect(*, reconnect: bool) -> None:
        connected.set()
        await asyncio.Event().wait()

    gateway = make()
    gateway._backoff = Backoff(first=0.01, most=0.01)
    gateway.connect = connect  # type: ignore[method-assign]
    async with serving(hang) as url:
        monkeypatch.setattr(Route, "BASE", url)
        async with running(gateway.run_forever("token")), asyncio.timeout(10):
            await asked.wait()
            await connected.wait()
        await gateway.leave_behind()
    assert "The gateway is not there: TimeoutError()" in caplog.text

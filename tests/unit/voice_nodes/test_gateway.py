"""A shard's gateway connection, against a real twin in this process."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from unittest.mock import MagicMock, create_autospec

import discord
import pytest
import wavelink
import yarl
from aiohttp import web
from discord.gateway import DiscordWebSocket, KeepAliveHandler
from discord.http import Route

from playground.twin.actors import TwinClient
from playground.twin.app import Twin
from playground.twin.handles import Actor, Channel, Guild
from playground.twin.permissions import Permission
from tests.support.metrics import counts
from tests.support.serving import serving
from tests.support.twin import running_twin
from tests.support.voice_nodes import Tenured, running
from tonearm.backoff import Backoff
from tonearm.discord.rest import RestClient
from tonearm.errors import DiscordAway, LeaseLost, Refused, SettingsError
from tonearm.redis.sessions import SavedGateway
from tonearm.sentences import Sentence
from voice_nodes import gateway as module
from voice_nodes import resuming
from voice_nodes.gateway import Gateway
from voice_nodes.identifying import Turns
from voice_nodes.listener import GuildListener, ServerListener, Trouble

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


def make(
    rest: RestClient | None = None, lease: Tenured | None = None, turns: Turns | None = None, shard_count: int = 1
) -> Gateway:
    return Gateway(
        shard=0,
        shard_count=shard_count,
        listener=create_autospec(GuildListener, instance=True),
        servers=create_autospec(ServerListener, instance=True),
        turns=turns or create_autospec(Turns, instance=True),
        lease=lease or Tenured(),
        rest=rest,
    )


class Place:
    """A guild that the gateway knows, with Ada in its voice channel."""

    def __init__(self, gateway: Gateway, client: TwinClient, guild: Guild, ada: Actor, lease: Tenured) -> None:
        self.gateway, self.client, self.guild, self.ada, self.lease = gateway, client, guild, ada, lease
        self.voice: Channel = guild.voice_channels[0]
        self.running: asyncio.Task[None]

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
    lease = Tenured()
    gateway = make(lease=lease)
    async with running(gateway.run_forever(aimed["bot_token"])) as task:
        await asyncio.wait_for(gateway.ready.wait(), 10)
        place = Place(gateway, client, guild, ada, lease)
        place.running = task
        yield place
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


# After a takeover.


class Takeover:
    """The session of one gateway, taken over by ``gateway``: the bot was in the first channel with Ada, and Bob in the
    second."""

    def __init__(self, place: Place, bob: Actor, gateway: Gateway) -> None:
        self.place, self.bob, self.gateway = place, bob, gateway
        self.guild = int(place.guild.id)
        self.here, self.there = (int(channel.id) for channel in place.guild.voice_channels[:2])

    async def where(self, actor: Actor, *, here: int | None = None) -> int | None:
        return await self.gateway.fetch_caller_channel(self.guild, int(actor.id), here=here)

    def seen(self, actor: Actor) -> int | None:
        return self.gateway.caller_channel(self.guild, int(actor.id))

    async def moved(self, actor: Actor, channel: Channel | None) -> None:
        """Move ``actor``, and wait until the gateway has told of it."""
        async with asyncio.timeout(5):
            told = asyncio.create_task(
                self.gateway.wait_for("voice_state_update", check=lambda member, *_: member.id == int(actor.id))
            )
            await asyncio.sleep(0)
            await (actor.join(channel) if channel is not None else actor.leave())
            await told


def saved_of(gateway: Gateway, guild: int) -> tuple[SavedGateway, dict[str, Any]]:
    """What the next owner of the session is told."""
    assert gateway.user is not None
    session = SavedGateway(
        gateway.ws.session_id, gateway.ws.sequence or 0, str(gateway.ws.gateway), resuming.reduced_user(gateway.user)
    )
    return session, gateway.snapshot(gateway.find_guild(guild))


@pytest.fixture
async def rest(aimed: Any) -> AsyncIterator[RestClient]:
    async with RestClient(aimed["api_url"], bot_token=aimed["bot_token"]) as rest:
        yield rest


@asynccontextmanager
async def taken_over(before: Gateway, guild: int, rest: RestClient, aimed: Any) -> AsyncIterator[Gateway]:
    """Another gateway goes on with the session of ``before``, which is left behind."""
    session, snapshot = saved_of(before, guild)
    await before.leave_behind()
    gateway = make(rest=rest)
    await gateway.restore(session, [snapshot])
    resumed = asyncio.create_task(gateway.wait_for("resumed", timeout=10))
    await asyncio.sleep(0)
    async with running(gateway.run_forever(aimed["bot_token"])):
        await resumed
        yield gateway
        await gateway.leave_behind()


@pytest.fixture
async def takeover(place: Place, rest: RestClient, aimed: Any) -> AsyncIterator[Takeover]:
    bob = await place.client.create_user("Bob")
    await bob.join_guild(place.guild)
    guild = place.gateway.find_guild(int(place.guild.id))
    first, second = place.guild.voice_channels[:2]
    before = Takeover(place, bob, place.gateway)
    await before.moved(bob, second)
    entered = asyncio.create_task(place.gateway.wait_for("voice_state_update", timeout=5))
    await asyncio.sleep(0)
    await place.gateway.send_voice_state(guild, discord.Object(int(first.id)))
    await entered
    async with taken_over(place.gateway, guild.id, rest, aimed) as gateway:
        yield Takeover(place, bob, gateway)


@asynccontextmanager
async def rest_away(takeover: Takeover) -> AsyncIterator[None]:
    hold = await takeover.place.client.hold_rest("GET", "/guilds/.*", count=None, status=503)
    try:
        yield
    finally:
        await hold.release()


async def test_who_is_in_the_bots_channel_is_known_though_rest_is_away(takeover: Takeover) -> None:
    async with rest_away(takeover):
        await known_without_rest(takeover)


async def known_without_rest(takeover: Takeover) -> None:
    assert await takeover.where(takeover.place.ada) == takeover.here
    assert await takeover.where(takeover.bob, here=takeover.here) is None, "wherever he is, he is not here"
    assert takeover.gateway.is_alone(takeover.guild, takeover.here) is False
    await takeover.moved(takeover.place.ada, None)
    assert await takeover.where(takeover.place.ada) is None, "she was seen to leave"
    assert takeover.gateway.is_alone(takeover.guild, takeover.here) is True
    with pytest.raises(DiscordAway):
        await takeover.where(takeover.bob)


async def test_discord_is_asked_once_where_somebody_is(takeover: Takeover) -> None:
    assert takeover.seen(takeover.bob) is None
    assert await takeover.where(takeover.bob) == takeover.there
    async with rest_away(takeover):
        assert await takeover.where(takeover.bob) == takeover.there
    await takeover.moved(takeover.bob, None)
    assert await takeover.where(takeover.bob) is None


async def test_what_the_gateway_tells_is_newer_than_what_was_asked(takeover: Takeover) -> None:
    hold = await takeover.place.client.hold_rest("GET", "/guilds/.*")
    asked = asyncio.create_task(takeover.where(takeover.bob))
    await hold.hit()
    await takeover.moved(takeover.bob, takeover.place.guild.voice_channels[0])
    await hold.release()
    assert await asyncio.wait_for(asked, 5) == takeover.here


async def test_a_channel_of_which_not_everybody_is_known_is_not_empty_for_the_next_owner_either(
    takeover: Takeover, rest: RestClient, aimed: Any
) -> None:
    """Else the bot would leave Bob, who sits where it was moved to, because it believes itself alone."""
    async with asyncio.timeout(5):
        moved = asyncio.create_task(takeover.gateway.wait_for("voice_state_update"))
        await asyncio.sleep(0)
        await takeover.place.guild.move_bot(takeover.place.guild.voice_channels[1])
        await moved
    assert takeover.gateway.is_alone(takeover.guild, takeover.there) is None
    async with taken_over(takeover.gateway, takeover.guild, rest, aimed) as third:
        assert third.is_alone(takeover.guild, takeover.there) is None
        assert await third.fetch_caller_channel(takeover.guild, int(takeover.bob.id)) == takeover.there
        assert third.is_alone(takeover.guild, takeover.there) is False


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

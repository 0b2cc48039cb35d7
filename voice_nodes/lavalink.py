"""Everything of Lavalink, behind one module, with a timeout on every call.

A :class:`Sound` holds one Lavalink session for each server on behalf of one shard. It leans on these internals of
wavelink, which has no hand-over of its own: ``Node._players``, ``Node._update_player``,
``Node._destroy_player``, ``Node._websocket``, ``Player._voice_state``, ``Player._dispatch_voice_update``.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, cast

import aiohttp
import discord
import msgspec
import wavelink
from wavelink.enums import DiscordVoiceCloseType

from tonearm.errors import DiscordAway, LavalinkAway
from tonearm.music.track import Loaded
from tonearm.settings import LavalinkNode
from tonearm.telemetry import LOG, context
from voice_nodes.gateway import Gateway
from voice_nodes.loading import broken, loaded
from voice_nodes.servers import Server, find_servers, keep_session, make_node

CALL_TIMEOUT = 2.0
LOAD_TIMEOUT = 15.0
JOIN_TIMEOUT = 5.0
PROBE_TIMEOUT = 0.7
LOAD_PATIENCE = 0.8
"""Seconds. A look-up may take LOAD_TIMEOUT, but after LOAD_PATIENCE the server must show that it is alive."""

FRESH = 1.0
"""Seconds for which a sign of life is believed."""

SEARCH_PREFIX = "ytsearch:"

T = TypeVar("T")


def _unknown_close(_: type[DiscordVoiceCloseType], code: Any) -> DiscordVoiceCloseType:
    """wavelink's enum lacks newer close codes, and the ValueError would end its reader of the WebSocket."""
    member = object.__new__(DiscordVoiceCloseType)
    member._name_ = f"CODE_{code}"
    member._value_ = code
    return member


DiscordVoiceCloseType._missing_ = classmethod(_unknown_close)  # type: ignore[method-assign, assignment]


class Wanted(msgspec.Struct, frozen=True):
    """What Lavalink's player should do: which track from where (ms), whether it is paused, how loud (per cent)."""

    play: str | None
    encoded: str | None
    position_ms: int
    paused: bool
    volume: int


class VoiceLink(wavelink.Player):
    """A guild's voice connection, as discord.py and Lavalink share it."""

    def __init__(self, client: Gateway, channel: Any, node: wavelink.Node) -> None:
        super().__init__(client, channel, nodes=[node])
        self._guild = channel.guild
        self.linked = asyncio.Event()
        self._sending = asyncio.Lock()

    async def connect(self, **_: Any) -> None:
        raise NotImplementedError("Sound.join does this")

    async def on_voice_state_update(self, data: Any, /) -> None:
        voice = self._voice_state["voice"]
        if data["channel_id"] is None:
            return
        changed = voice.get("session_id") != data["session_id"]
        voice["session_id"] = data["session_id"]
        self._voice_state["channel_id"] = data["channel_id"]
        channel = self.client.get_channel(int(data["channel_id"]))
        if channel is not None:
            self.channel = cast(Any, channel)
        if changed:
            await self._dispatch_voice_update()

    async def on_voice_server_update(self, data: Any, /) -> None:
        if data["endpoint"] is None:
            return  # The server went away; the next one is announced in a moment.
        self._voice_state["voice"]["token"] = data["token"]
        self._voice_state["voice"]["endpoint"] = data["endpoint"]
        await self._dispatch_voice_update()

    async def _dispatch_voice_update(self) -> None:
        """Hand Lavalink the voice data once both events have come. Identical data opens no new connection."""
        voice = self._voice_state["voice"]
        channel = self._voice_state.get("channel_id")
        if not (voice.get("session_id") and voice.get("token") and voice.get("endpoint") and channel):
            return
        data = {
            "voice": {
                "sessionId": voice["session_id"],
                "token": voice["token"],
                "endpoint": voice["endpoint"],
                "channelId": channel,
            }
        }
        async with self._sending:
            try:
                async with asyncio.timeout(JOIN_TIMEOUT):
                    answer = await self.node._update_player(self._guild_id, data=cast(Any, data))
            except (TimeoutError, aiohttp.ClientError, wavelink.WavelinkException) as error:
                LOG.warning("Lavalink could not connect to voice: %r", error, extra=context(guild=self._guild_id))
                return
        if answer["state"]["connected"]:
            self.linked.set()

    async def _update_event(self, payload: wavelink.PlayerUpdateEventPayload) -> None:
        if payload.connected:
            self.linked.set()

    async def _disconnected_wait(self, code: int, by_remote: bool) -> None:
        """Voice closed: what it means is decided by our voice state, not here."""

    async def _track_start(self, payload: wavelink.TrackStartEventPayload) -> None:
        """Nothing: the state is ours."""

    async def _auto_play_event(self, payload: wavelink.TrackEndEventPayload) -> None:
        """Nothing: the queue is ours."""

    @property
    def _guild_id(self) -> int:
        assert self._guild is not None
        return self._guild.id

    def forget(self) -> None:
        """Take it out of discord.py and wavelink, without a call to either side."""
        self.node._players.pop(self._guild_id, None)
        self.client._connection._remove_voice_client(self._guild_id)


class Sound:
    """One shard's Lavalink sessions."""

    def __init__(
        self, settings: tuple[LavalinkNode, ...], *, shard: int, api_url: str, check: Callable[[], None]
    ) -> None:
        self._settings = settings
        self._shard = shard
        self._api_url = api_url
        self._check = check
        self._nodes: list[wavelink.Node] = []
        self._alive_at: dict[str, float] = {}
        self._client: Gateway | None = None

    async def run(self, client: Gateway) -> None:
        """Open the sessions and keep them until cancelled. The sockets are closed, the sessions outlive them.

        Raises:
            SettingsError: a server refuses its password, or may not be used with this Discord.
        """
        self._client = client
        async with asyncio.TaskGroup() as tasks:
            for setting in self._settings:
                tasks.create_task(self._serve(setting, client))

    async def _serve(self, setting: LavalinkNode, client: Gateway) -> None:
        async with asyncio.TaskGroup() as tasks:
            for server in await find_servers(setting):
                tasks.create_task(self._keep(server, client))

    async def _keep(self, server: Server, client: Gateway) -> None:
        async with make_node(server, self._shard, client) as node:
            self._nodes.append(node)
            await keep_session(node, api_url=self._api_url)

    # Servers.

    def connected(self) -> list[wavelink.Node]:
        """The servers to which a session is open."""
        return [node for node in self._nodes if node.status is wavelink.NodeStatus.CONNECTED and node.session_id]

    def alive(self, node: wavelink.Node) -> None:
        """Note a sign of life."""
        self._alive_at[node.identifier] = time.monotonic()

    async def require_alive(self, guild: int) -> wavelink.Node:
        """The server that plays, or would play, for ``guild``, after a sign of life no older than a second.

        Raises:
            LavalinkAway: there is none.
        """
        link = self.link(guild)
        usable = self.connected()
        node = (
            link.node
            if link is not None and link.node in usable
            else min(usable, key=lambda node: len(node.players), default=None)
        )
        if node is None:
            raise LavalinkAway("no session is open")
        if time.monotonic() - self._alive_at.get(node.identifier, 0) > FRESH:
            await self._call(node, lambda: node.send("GET", path="version"), PROBE_TIMEOUT)
        return node

    async def _call(self, node: wavelink.Node, call: Callable[[], Awaitable[T]], timeout: float) -> T:
        self._check()
        try:
            async with asyncio.timeout(timeout):
                result = await call()
        except (TimeoutError, aiohttp.ClientError, OSError, wavelink.NodeException) as error:
            raise LavalinkAway(f"{node.uri}: {error!r}") from None
        self.alive(node)
        return result

    # Tracks.

    async def fetch_tracks(self, query: str, guild: int) -> Loaded:
        """The tracks that ``query`` (a URL, or words to search for) names; of a search, the best one.

        Raises:
            LavalinkAway: no server answers.
            Refused: nothing was found, or it can't be played.
        """
        node = await self.require_alive(guild)
        identifier = query if query.startswith(("http://", "https://")) else SEARCH_PREFIX + query
        load = asyncio.ensure_future(
            self._call(
                node, lambda: node.send("GET", path="v4/loadtracks", params={"identifier": identifier}), LOAD_TIMEOUT
            )
        )
        try:
            done, _ = await asyncio.wait([load], timeout=LOAD_PATIENCE)
            if not done:
                await self._call(node, lambda: node.send("GET", path="version"), PROBE_TIMEOUT)
            answer = await load
        except wavelink.LavalinkException as error:
            raise broken(query, error.error) from None
        finally:
            load.cancel()
            await asyncio.gather(load, return_exceptions=True)
        return loaded(answer, query)

    # Voice.

    def link(self, guild: int) -> VoiceLink | None:
        """The voice connection of ``guild``, if there is one."""
        for node in self._nodes:
            link = node.players.get(guild)
            if isinstance(link, VoiceLink):
                return link
        return None

    def entered(self, guild: int) -> bool:
        """Whether the gateway has said that the bot is in a channel, since this connection was begun."""
        link = self.link(guild)
        return link is not None and bool(link._voice_state["voice"].get("session_id"))

    async def join(self, channel: discord.VoiceChannel | discord.StageChannel) -> None:
        """Be in ``channel``: both events of the gateway came, and Lavalink says so. Else nothing is left behind.

        Raises:
            LavalinkAway: no server, or it did not connect in time.
            DiscordAway: the gateway did not answer in time.
            LeaseLost: the shard is another's.
        """
        assert self._client is not None
        guild = channel.guild
        link = self.link(guild.id)
        if link is None:
            node = await self.require_alive(guild.id)
            link = VoiceLink(self._client, channel, node)
            node._players[guild.id] = link
            self._client._connection._add_voice_client(guild.id, link)
        link.linked.clear()
        try:
            await self._client.send_voice_state(guild, channel)
            async with asyncio.timeout(JOIN_TIMEOUT):
                await link.linked.wait()
        except (DiscordAway, TimeoutError) as error:
            await self.leave(guild)
            if isinstance(error, DiscordAway):
                raise
            raise LavalinkAway(f"{link.node.uri}: no voice connection within {JOIN_TIMEOUT} s") from None

    async def leave(self, guild: discord.Guild) -> None:
        """Be in no channel of ``guild``, on both sides. What can't be reached is left to run out."""
        assert self._client is not None
        link = self.link(guild.id)
        if link is not None:
            link.forget()
            node = link.node
            try:
                await self._call(node, lambda: node._destroy_player(guild.id), CALL_TIMEOUT)
            except (LavalinkAway, wavelink.LavalinkException) as error:
                LOG.info("A player was not destroyed: %r", error, extra=context(guild=guild.id))
        try:
            await self._client.send_voice_state(guild, None)
        except DiscordAway as error:
            LOG.info("The channel was not left: %r", error.detail, extra=context(guild=guild.id))

    async def update(self, guild: int, wanted: Wanted, *, new_track: bool) -> None:
        """Bring the player of ``guild`` to ``wanted``; may be repeated. The track is sent only if ``new_track``.

        Raises:
            LavalinkAway: the server does not answer.
            LeaseLost: the shard is another's.
        """
        link = self.link(guild)
        if link is None:
            raise LavalinkAway("no voice connection")
        data: dict[str, Any] = {"paused": wanted.paused, "volume": wanted.volume}
        if new_track:
            data["track"] = {"encoded": wanted.encoded}
            if wanted.encoded is not None:
                data["track"]["userData"] = {"play": wanted.play}
                data["position"] = wanted.position_ms
        node = link.node
        try:
            await self._call(node, lambda: node._update_player(guild, data=cast(Any, data), replace=True), CALL_TIMEOUT)
        except wavelink.LavalinkException as error:
            raise LavalinkAway(f"{node.uri}: {error.error}") from None

    async def reconnect_voice(self, guild: int) -> None:
        """Hand the voice data to a session that does not know it."""
        link = self.link(guild)
        if link is not None:
            link.linked.clear()
            await link._dispatch_voice_update()

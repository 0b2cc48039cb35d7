"""Everything of Lavalink, behind one module, with a timeout on every call.

A :class:`Sound` holds one Lavalink session for each server on behalf of one shard. It leans on these internals of
wavelink, which has no hand-over of its own: ``Node._players``, ``Node._update_player``,
``Node._destroy_player``, ``Node._websocket``, ``Player._voice_state``, ``Player._dispatch_voice_update``.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, cast

import aiohttp
import discord
import msgspec
import wavelink

from tonearm.errors import DiscordAway, LavalinkAway
from tonearm.music.track import Loaded
from tonearm.redis.sessions import SavedShard
from tonearm.settings import LavalinkNode
from tonearm.telemetry import LOG, context
from voice_nodes.gateway import Gateway
from voice_nodes.loading import broken, loaded
from voice_nodes.resuming import abort
from voice_nodes.servers import Server, find_servers, keep_session, make_node
from voice_nodes.voicelink import JOIN_TIMEOUT, OnVoice, VoiceLink, server_of, wire

CALL_TIMEOUT = 2.0
LOAD_TIMEOUT = 15.0
PROBE_TIMEOUT = 0.7
LOAD_PATIENCE = 0.8
"""Seconds. A look-up may take LOAD_TIMEOUT, but after LOAD_PATIENCE the server must show that it is alive."""

REPORT_SECONDS = 0.5
FRESH = 1.0
"""Seconds for which a sign of life is believed."""

SEARCH_PREFIX = "ytsearch:"

T = TypeVar("T")


class Wanted(msgspec.Struct, frozen=True):
    """What Lavalink's player should do: which track from where (ms), whether it is paused, how loud (per cent)."""

    play: str | None
    encoded: str | None
    position_ms: int
    paused: bool
    volume: int


class Actual(msgspec.Struct, frozen=True):
    """What Lavalink's player does. ``play`` is ``None`` when it plays nothing."""

    play: str | None
    position_ms: int
    paused: bool
    volume: int
    connected: bool


class Sound:
    """One shard's Lavalink sessions.

    ``saved`` is what the owner before left: its sessions are resumed and its voice connections taken over. ``on_voice``
    is told of each change of a voice connection.
    """

    def __init__(
        self,
        settings: tuple[LavalinkNode, ...],
        *,
        shard: int,
        api_url: str,
        check: Callable[[], None],
        saved: SavedShard | None = None,
        on_voice: OnVoice | None = None,
    ) -> None:
        self._settings = settings
        self._shard = shard
        self._api_url = api_url
        self._check = check
        self._saved = saved or SavedShard()
        self._on_voice = on_voice
        self._nodes: list[wavelink.Node] = []
        self._alive_at: dict[str, float] = {}
        self._sessions: dict[str, str] = {}
        self._reported: dict[str, asyncio.Event] = {}
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
            self._reported[node.identifier] = asyncio.Event()
            self._take_over(node)
            self._nodes.append(node)
            await keep_session(node, api_url=self._api_url, check=self._check)

    def _take_over(self, node: wavelink.Node) -> None:
        """Resume the session that the owner before had, with the players it held. No call to either side is made."""
        server = server_of(node)
        session = self._saved.lavalink.get(server)
        if session is None:
            return
        node._session_id = self._sessions[node.identifier] = session
        assert self._client is not None
        for guild, voice in self._saved.voices.items():
            channel = self._client.voice_channel(guild, voice.channel)
            if voice.server == server and channel is not None:
                link = VoiceLink(self._client, channel, node, self._on_voice)
                link.adopt(voice)
                link.linked.set()
                link.attach()

    # Servers.

    def connected(self) -> list[wavelink.Node]:
        """The servers to which a session is open."""
        return [node for node in self._nodes if node.status is wavelink.NodeStatus.CONNECTED and node.session_id]

    def drop_sockets(self) -> None:
        """Cut every session's socket, with all that waits in it."""
        for node in self._nodes:
            if node._websocket is not None:
                abort(node._websocket.socket)

    def alive(self, node: wavelink.Node) -> None:
        """Note a sign of life."""
        self._alive_at[node.identifier] = time.monotonic()

    def reported(self, node: wavelink.Node) -> None:
        """Note that the server has told of a player: by then it has told of all events that came before."""
        self.alive(node)
        self._reported[node.identifier].set()

    def began(self, node: wavelink.Node) -> str | None:
        """Note that a session is open; returns the one that was to be resumed and was not, if there was one."""
        self.alive(node)
        before = self._sessions.get(node.identifier)
        assert node.session_id is not None
        self._sessions[node.identifier] = node.session_id
        return before if before != node.session_id else None

    async def end_session(self, node: wavelink.Node, session: str) -> None:
        """Destroy the players of a session that could not be resumed, so that nobody is heard twice."""
        path = f"v4/sessions/{session}/players"
        try:
            players = await self._call(node, lambda: node.send("GET", path=path), CALL_TIMEOUT)
            for player in players:
                await self._destroy(node, path, int(player["guildId"]))
        except (LavalinkAway, wavelink.LavalinkException) as error:
            LOG.info("An old session is gone: %r", error, extra=context(node=node.identifier))

    async def _destroy(self, node: wavelink.Node, path: str, guild: int) -> None:
        with contextlib.suppress(wavelink.LavalinkException):
            await self._call(node, lambda: node.send("DELETE", path=f"{path}/{guild}"), CALL_TIMEOUT)

    async def fetch_actual(self, node: wavelink.Node) -> dict[int, Actual]:
        """What each player of a session does, by guild.

        Raises:
            LavalinkAway: the server does not answer.
        """
        path = f"v4/sessions/{node.session_id}/players"
        try:
            players = await self._call(node, lambda: node.send("GET", path=path), CALL_TIMEOUT)
        except wavelink.LavalinkException as error:
            raise LavalinkAway(f"{node.uri}: {error.error}") from None
        return {int(player["guildId"]): _actual(player) for player in players}

    async def wait_reported(self, node: wavelink.Node) -> None:
        """Wait until the server has told of a player, or has had the time to."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(REPORT_SECONDS):
                await self._reported[node.identifier].wait()

    async def destroy_orphan(self, node: wavelink.Node, guild: int) -> None:
        """Destroy a player that nobody wants.

        Raises:
            LavalinkAway: the server does not answer.
        """
        await self._destroy(node, f"v4/sessions/{node.session_id}/players", guild)

    async def require_alive(self, guild: int) -> wavelink.Node:
        """The server that plays, or would play, for ``guild``, after a sign of life no older than a second.

        Raises:
            LavalinkAway: there is none.
        """
        link = self.link(guild)
        node = link.node if link is not None and link.node in self.connected() else self._choose()
        if time.monotonic() - self._alive_at.get(node.identifier, 0) > FRESH:
            await self._call(node, lambda: node.send("GET", path="version"), PROBE_TIMEOUT)
        return node

    def _choose(self) -> wavelink.Node:
        usable = self.connected()
        if not usable:
            raise LavalinkAway("no session is open")
        return min(usable, key=lambda node: len(node.players))

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
            link = VoiceLink(self._client, channel, node, self._on_voice)
            link.attach()
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
        await self._patch(link.node, guild, _request(wanted, new_track=new_track))

    async def move(self, guild: int, wanted: Wanted) -> bool:
        """Go on at another server, with the same voice connection and from ``wanted``'s position.

        ``False`` when there is no voice connection to go on with. The server that is left may be gone.

        Raises:
            LavalinkAway: there is no other server, or it does not connect.
            LeaseLost: the shard is another's.
        """
        assert self._client is not None
        link = self.link(guild)
        voice = link.saved() if link is not None else self._saved.voices.get(guild)
        channel = self._client.voice_channel(guild, voice.channel) if voice is not None else None
        if voice is None or channel is None:
            return False
        node = self._choose()
        if link is not None:
            link.forget()
        moved = VoiceLink(self._client, channel, node, self._on_voice)
        moved.adopt(voice)
        moved.attach()
        await self._patch(node, guild, _request(wanted, new_track=True) | {"voice": wire(voice)}, JOIN_TIMEOUT)
        moved.linked.set()
        current = moved.saved()
        if self._on_voice is not None:
            self._on_voice(guild, current)
        return True

    async def _patch(
        self, node: wavelink.Node, guild: int, data: dict[str, Any], timeout: float = CALL_TIMEOUT
    ) -> None:
        try:
            await self._call(node, lambda: node._update_player(guild, data=cast(Any, data), replace=True), timeout)
        except wavelink.LavalinkException as error:
            raise LavalinkAway(f"{node.uri}: {error.error}") from None

    async def reconnect_voice(self, guild: int) -> None:
        """Hand the voice data to a session that does not know it."""
        link = self.link(guild)
        if link is not None:
            link.linked.clear()
            await link._dispatch_voice_update()


def _actual(player: dict[str, Any]) -> Actual:
    """Lavalink's documentation, REST API, *Player*."""
    track, state = player["track"], player["state"]
    return Actual(
        play=str(track.get("userData", {}).get("play", "")) if track else None,
        position_ms=int(state["position"]),
        paused=bool(player["paused"]),
        volume=int(player["volume"]),
        connected=bool(state["connected"]),
    )


def _request(wanted: Wanted, *, new_track: bool) -> dict[str, Any]:
    """Lavalink's documentation, REST API, *Update Player*."""
    data: dict[str, Any] = {"paused": wanted.paused, "volume": wanted.volume}
    if new_track:
        data["track"] = {"encoded": wanted.encoded}
        if wanted.encoded is not None:
            data["track"]["userData"] = {"play": wanted.play}
            data["position"] = wanted.position_ms
    return data

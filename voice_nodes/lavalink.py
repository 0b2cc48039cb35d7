"""Everything of Lavalink, behind one module, with a timeout on every call.

A :class:`Sound` places the players of one shard on Lavalink's servers, each of which is a
:class:`voice_nodes.station.Station` of its :class:`voice_nodes.fleet.Fleet`. It leans on these internals of wavelink,
which has neither a hand-over nor a failover: ``Node._players``, ``Node._update_player``, ``Node._websocket``,
``Player._voice_state``, ``Player._dispatch_voice_update``.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any, cast

import discord
import wavelink

from tonearm.errors import DiscordAway, LavalinkAway, LavalinkGone
from tonearm.music.track import Loaded
from tonearm.redis.sessions import SavedShard, SavedVoice
from tonearm.settings import LavalinkNode
from tonearm.telemetry import LOG, context, traces
from tonearm.telemetry.traces import Kind
from voice_nodes.fleet import EVERY, Fleet, Report, report_to_nobody
from voice_nodes.gateway import Gateway
from voice_nodes.lease import Tenure
from voice_nodes.loading import load
from voice_nodes.moves import Moves
from voice_nodes.placement import region_of
from voice_nodes.restarts import start_and_seek
from voice_nodes.resuming import abort
from voice_nodes.station import PROBE_TIMEOUT, Station
from voice_nodes.voicelink import JOIN_TIMEOUT, OnVoice, VoiceLink, server_of, wire
from voice_nodes.wishes import Actual, Wanted, actual_of, request_for

REPORT_SECONDS = 0.5


class Sound:
    """One shard's players at Lavalink.

    ``saved`` is what the owner before left: its sessions are resumed and its voice connections taken over. ``on_voice``
    is told of each change of a voice connection, ``on_voice_lost`` where one can't be made any more, and ``on_leave``
    where a player is to go on at a better server. ``report`` and ``every`` are as :class:`Fleet` has them.
    """

    def __init__(
        self,
        settings: tuple[LavalinkNode, ...],
        *,
        shard: int,
        api_url: str,
        lease: Tenure,
        saved: SavedShard | None = None,
        on_voice: OnVoice | None = None,
        on_voice_lost: Callable[[int], None] = lambda _: None,
        on_leave: Callable[[int], None] = lambda _: None,
        report: Report = report_to_nobody,
        every: float = EVERY,
    ) -> None:
        self._moves = Moves(on_leave)
        self._fleet = Fleet(
            settings,
            shard=shard,
            api_url=api_url,
            lease=lease,
            on_server=self._take_over,
            move_away=self._moves.ask,
            report=report,
            every=every,
        )
        saved = saved or SavedShard()
        self._sessions, self._voices = dict(saved.lavalink), dict(saved.voices)
        """What is not used up yet: a session is once it is open, a voice connection once its guild has a link."""
        self._on_voice = on_voice
        self._on_voice_lost = on_voice_lost
        self._joining: set[int] = set()
        self._client: Gateway | None = None

    async def run(self, client: Gateway) -> None:
        """Open the sessions and keep them until cancelled. The sockets are closed, the sessions outlive them.

        Raises:
            LeaseLost: the shard is another's.
            SettingsError: a server refuses its password, or may not be used with this Discord.
        """
        self._client = client
        await self._fleet.run(client)

    def _take_over(self, station: Station) -> None:
        """Resume the session that the owner before had, with the players it held. No call to either side is made."""
        session = self._sessions.get(station.name)
        if session is None:
            return
        station.node._session_id = station.session = session
        assert self._client is not None
        for guild, voice in tuple(self._voices.items()):
            channel = self._client.voice_channel(guild, voice.channel)
            if voice.server == station.name and channel is not None:
                link = self._make_link(channel, station)
                link.adopt(voice)
                link.linked.set()
                link.attach()

    # Servers.

    def connected(self) -> list[wavelink.Node]:
        """The servers to which a session is open."""
        return [station.node for station in self._fleet.stations.values() if station.connected]

    def _station(self, node: wavelink.Node) -> Station | None:
        return next((each for each in self._fleet.stations.values() if each.node is node), None)

    def hung(self, node: wavelink.Node) -> bool:
        """Whether a server's session was given up because it did not answer: it has had its time to come back."""
        station = self._station(node)
        return station is None or station.hung

    def reported(self, node: wavelink.Node) -> None:
        """Note that the server has told of a player: by then it has told of all events that came before."""
        station = self._station(node)
        if station is not None:
            station.reported.set()

    def began(self, node: wavelink.Node) -> str | None:
        """Note that a session is open; returns the one that was to be resumed and was not, if there was one."""
        self._fleet.opened.set()
        station = self._station(node)
        self._sessions.pop(server_of(node), None)
        return station.began() if station is not None else None

    def drop_sockets(self) -> None:
        """Cut every session's socket, with all that waits in it."""
        for station in self._fleet.stations.values():
            if station.node._websocket is not None:
                abort(station.node._websocket.socket)

    async def end_session(self, node: wavelink.Node, session: str) -> None:
        """Destroy the players of a session that could not be resumed, so that nobody is heard twice."""
        station = self._station(node)
        try:
            if station is not None:
                await station.end_session(session)
        except (LavalinkAway, wavelink.LavalinkException) as error:
            LOG.info("An old session is gone: %r", error, extra=context(node=node.identifier))

    async def fetch_actual(self, node: wavelink.Node) -> dict[int, Actual]:
        """What each player of a session does, by guild.

        Raises:
            LavalinkAway: the server does not answer.
        """
        path = f"v4/sessions/{node.session_id}/players"
        try:
            players = await self._require(node).call(lambda: node.send("GET", path=path))
        except wavelink.LavalinkException as error:
            raise LavalinkAway(f"{node.uri}: {error.error}") from None
        return {int(player["guildId"]): actual_of(player) for player in players}

    def _require(self, node: wavelink.Node) -> Station:
        station = self._station(node)
        if station is None:
            raise LavalinkAway(f"{node.identifier} is used no more")
        return station

    async def wait_reported(self, node: wavelink.Node) -> None:
        """Wait until the server has told of a player, or has had the time to."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(REPORT_SECONDS):
                await self._require(node).reported.wait()

    async def destroy_orphan(self, node: wavelink.Node, guild: int) -> None:
        """Destroy a player that nobody wants.

        Raises:
            LavalinkAway: the server does not answer.
        """
        await self._require(node).destroy(guild)

    async def require_alive(self, guild: int, region: str = "") -> Station:
        """The server that plays for ``guild``, or the best one for it, after a sign of life no older than a second.
        Where it gives none, the next one is asked, and no other: somebody waits.

        Raises:
            LavalinkGone: there is none.
        """
        await self._fleet.wait_usable(PROBE_TIMEOUT)
        order = self._fleet.ranked(region)
        link = self.link(guild)
        held = self._station(link.node) if link is not None else None
        if held is not None and held.usable:
            order = [held, *(station for station in order if station is not held)]
        failure = "no session is open"
        for station in order[:2]:
            try:
                await station.show_alive()
            except LavalinkAway as error:
                failure = error.detail
            else:
                return station
        raise LavalinkGone(failure)

    # Tracks.

    async def fetch_tracks(self, query: str, guild: int) -> Loaded:
        """The tracks that ``query`` (a URL, or words to search for) names; of a search, the best one.

        Raises:
            LavalinkAway: no server answers.
            Refused: nothing was found, or it can't be played.
        """
        with traces.span("lavalink load", Kind.CLIENT):
            station = await self.require_alive(guild)
            try:
                return await load(station, query)
            except LavalinkAway:
                others = [other for other in self._fleet.ranked() if other is not station]
                if not others:
                    raise
            await others[0].show_alive()
            return await load(others[0], query)

    # Voice.

    def link(self, guild: int) -> VoiceLink | None:
        """The voice connection of ``guild``, if there is one."""
        links = (station.node._players.get(guild) for station in self._fleet.stations.values())
        return next((link for link in links if isinstance(link, VoiceLink)), None)

    def entered(self, guild: int) -> bool:
        """Whether the gateway has said that the bot is in a channel, since this connection was begun."""
        link = self.link(guild)
        return link is not None and bool(link._voice_state["voice"].get("session_id"))

    def _make_link(self, channel: discord.VoiceChannel | discord.StageChannel, station: Station) -> VoiceLink:
        assert self._client is not None
        self._voices.pop(channel.guild.id, None)
        return VoiceLink(self._client, channel, station.node, self._on_voice, self._broken)

    def _broken(self, guild: int) -> None:
        if guild not in self._joining:
            self._on_voice_lost(guild)

    async def join(self, channel: discord.VoiceChannel | discord.StageChannel) -> None:
        """Be in ``channel``: both events of the gateway came, and Lavalink says so. Else nothing is left behind.

        Raises:
            LavalinkAway: it did not connect in time.
            LavalinkGone: no server, or it went away meanwhile.
            DiscordAway: the gateway did not answer in time.
            LeaseLost: the shard is another's.
        """
        assert self._client is not None
        guild = channel.guild
        link = self.link(guild.id)
        if link is None:
            self._voices.pop(guild.id, None)  # Else a server that turns up meanwhile makes another link.
            link = self._make_link(channel, await self.require_alive(guild.id, region_of(channel.rtc_region)))
            link.attach()
            if guild.me.voice is not None:  # Else Discord would not say again which voice server it is.
                await self._client.send_voice_state(guild, None)
        link.begin()
        session = link.node.session_id
        self._joining.add(guild.id)
        try:
            await self._client.send_voice_state(guild, channel)
            async with asyncio.timeout(JOIN_TIMEOUT):
                await link.wait_linked()
        except (DiscordAway, LavalinkAway, TimeoutError) as error:
            station = self._station(link.node)
            # One that came back meanwhile has another session, and knows nothing of this.
            gone = station is None or not station.usable or link.node.session_id != session
            await self.leave(guild)
            if gone:
                raise LavalinkGone(f"{link.node.uri}: went away during the join") from None
            if isinstance(error, TimeoutError):
                raise LavalinkAway(f"{link.node.uri}: no voice connection within {JOIN_TIMEOUT} s") from None
            raise
        finally:
            self._joining.discard(guild.id)

    async def leave(self, guild: discord.Guild) -> None:
        """Be in no channel of ``guild``, on both sides. What can't be reached is left to run out."""
        assert self._client is not None
        await self.drop(guild.id)
        try:
            await self._client.send_voice_state(guild, None)
        except DiscordAway as error:
            LOG.info("The channel was not left: %r", error.detail, extra=context(guild=guild.id))

    async def drop(self, guild: int) -> None:
        """Have no player for ``guild``, whatever channel the bot is in."""
        link = self.link(guild)
        if link is not None:
            link.forget()
            await self._destroy_old(self._station(link.node), guild)

    async def _destroy_old(self, station: Station | None, guild: int) -> None:
        """Also the only way to free a player that hangs while it connects to voice. A server that does not answer
        now is cleared of it as soon as it does."""
        try:
            if station is not None and station.usable:
                await station.destroy(guild)
        except LavalinkAway as error:
            LOG.info("A player was not destroyed: %r", error, extra=context(guild=guild))

    async def update(self, guild: int, wanted: Wanted, *, new_track: bool, seek: bool = False) -> None:
        """Bring the player of ``guild`` to ``wanted``; may be repeated. The track is sent only if ``new_track``, its
        position then and to ``seek``.

        Raises:
            LavalinkAway: the server does not answer.
            LeaseLost: the shard is another's.
        """
        await self._patch(guild, request_for(wanted, new_track=new_track, seek=seek))

    async def start_and_seek(self, guild: int, wanted: Wanted) -> None:
        """The same, for a track that can't be started at its position.

        Raises:
            LavalinkAway: the server does not answer.
            LeaseLost: the shard is another's.
        """
        await start_and_seek(wanted, lambda data: self._patch(guild, data), lambda: self._fetch_position(guild))

    async def _fetch_position(self, guild: int) -> int:
        link = self.link(guild)
        actual = (await self.fetch_actual(link.node)).get(guild) if link is not None else None
        return actual.position_ms if actual is not None and actual.play is not None else -1

    async def _patch(self, guild: int, data: dict[str, Any]) -> None:
        link = self.link(guild)
        if link is None:
            raise LavalinkAway("no voice connection")
        station = self._require(link.node)
        try:
            with traces.span("lavalink play" if "track" in data else "lavalink update", Kind.CLIENT, node=station.name):
                await station.call(lambda: _patch(station, guild, data))
        except wavelink.LavalinkException as error:
            raise LavalinkAway(f"{station.name}: {error.error}") from None

    async def move(self, guild: int, wanted: Wanted) -> bool:
        """Go on at the best server, with the same voice connection and from ``wanted``'s position.

        ``False`` when there is no voice connection to go on with: then nothing is left of it. The server that is left
        may be gone.

        Raises:
            LavalinkAway: there is no server, or it does not answer.
            LeaseLost: the shard is another's.
        """
        assert self._client is not None
        link = self.link(guild)
        voice = link.saved() if link is not None else self._voices.get(guild)
        channel = self._client.voice_channel(guild, voice.channel) if voice is not None else None
        if voice is None or channel is None:
            return False
        before = self._station(link.node) if link is not None else self._fleet.stations.get(voice.server)
        station = self._fleet.choose(region_of(voice.endpoint))
        if link is not None:
            link.forget()
        moved = self._make_link(channel, station)
        moved.adopt(voice)
        moved.attach()
        if not await self._connect(station, guild, voice, wanted):
            await self.leave(channel.guild)
            return False
        moved.linked.set()
        if self._on_voice is not None:
            self._on_voice(guild, moved.saved())
        if before is not station:
            await self._destroy_old(before, guild)
        self._moves.gone(guild, elsewhere=before is not station)
        return True

    async def _connect(self, station: Station, guild: int, voice: SavedVoice, wanted: Wanted) -> bool:
        """``False`` where the server answers, but voice does not."""
        data = request_for(wanted, new_track=True) | {"voice": wire(voice)}
        try:
            await station.call(lambda: _patch(station, guild, data), JOIN_TIMEOUT, counts=False)
        except wavelink.LavalinkException as error:
            LOG.warning("Voice refuses: %s", error.error, extra=context(guild=guild, node=station.node.identifier))
            return False
        except LavalinkAway:
            await station.show_alive()
            return False
        return True

    async def reconnect_voice(self, guild: int) -> None:
        """Hand the voice data to a session that does not know it."""
        link = self.link(guild)
        if link is not None:
            link.linked.clear()
            await link._dispatch_voice_update()


async def _patch(station: Station, guild: int, data: dict[str, Any]) -> None:
    await station.node._update_player(guild, data=cast(Any, data), replace=True)

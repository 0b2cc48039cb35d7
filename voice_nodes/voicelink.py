"""A guild's voice connection, as discord.py, wavelink and Lavalink share it.

It leans on these internals of wavelink: ``Node._players``, ``Node._update_player``, ``Player._voice_state``,
``Player._dispatch_voice_update``, ``Player._update_event``, and the three handlers of its own that are silenced here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import aiohttp
import wavelink
from wavelink.enums import DiscordVoiceCloseType

from tonearm.errors import LavalinkAway, TonearmError
from tonearm.redis.sessions import SavedVoice
from tonearm.telemetry import LOG, context
from voice_nodes.gateway import Gateway

JOIN_TIMEOUT = 5.0
"""Seconds."""

GRACE = 0.4
"""Seconds within which newer voice data may come, where Lavalink could not connect with what there was."""

OnVoice = Callable[[int, SavedVoice | None], None]
"""Told of each voice connection that is another one, or gone."""


def _unknown_close(_: type[DiscordVoiceCloseType], code: Any) -> DiscordVoiceCloseType:
    """wavelink's enum lacks newer close codes, and the ValueError would end its reader of the WebSocket."""
    member = object.__new__(DiscordVoiceCloseType)
    member._name_ = f"CODE_{code}"
    member._value_ = code
    return member


DiscordVoiceCloseType._missing_ = classmethod(_unknown_close)  # type: ignore[method-assign, assignment]


class VoiceLink(wavelink.Player):
    """A guild's voice connection, as discord.py and Lavalink share it.

    ``on_broken`` is told when voice refuses or does not answer: Lavalink then answers nothing more for this player
    until it is destroyed.
    """

    def __init__(
        self,
        client: Gateway,
        channel: Any,
        node: wavelink.Node,
        on_voice: OnVoice | None = None,
        on_broken: Callable[[int], None] = lambda _: None,
    ) -> None:
        super().__init__(client, channel, nodes=[node])
        self._guild = channel.guild
        self._on_voice = on_voice or _nobody
        self._on_broken = on_broken
        self.linked = asyncio.Event()
        self._settled = asyncio.Event()
        self._failure = ""
        self._sending = asyncio.Lock()

    def attach(self) -> None:
        """Make it known to discord.py and wavelink."""
        self.node._players[self._guild_id] = self
        self.client._connection._add_voice_client(self._guild_id, self)

    def adopt(self, voice: SavedVoice) -> None:
        """Take over a connection that Lavalink holds already."""
        self._voice_state["voice"] = {"session_id": voice.session, "token": voice.token, "endpoint": voice.endpoint}
        self._voice_state["channel_id"] = str(voice.channel)

    def begin(self) -> None:
        """From now on it counts whether it is linked."""
        self.linked.clear()
        self._settled.clear()
        self._failure = ""

    async def wait_linked(self) -> None:
        """Wait until Lavalink is connected to voice.

        Raises:
            LavalinkAway: it can't be.
        """
        linked, settled = asyncio.create_task(self.linked.wait()), asyncio.create_task(self._settled.wait())
        try:
            await asyncio.wait([linked, settled], return_when=asyncio.FIRST_COMPLETED)
        finally:
            linked.cancel()
            settled.cancel()
        if not self.linked.is_set():
            raise LavalinkAway(f"{server_of(self.node)}: no voice connection: {self._failure}")

    def saved(self) -> SavedVoice | None:
        """What another process, or another server, needs to go on with it; ``None`` while it is not complete."""
        voice = self._voice_state["voice"]
        session, token, endpoint = voice.get("session_id"), voice.get("token"), voice.get("endpoint")
        channel = self._voice_state.get("channel_id")
        if not (session and token and endpoint and channel):
            return None
        return SavedVoice(session, token, endpoint, int(channel), server_of(self.node))

    async def connect(self, **_: Any) -> None:
        """Not the way in: discord.py would call this from ``channel.connect()``, and wavelink's own asks nobody whether
        the shard is ours. :meth:`voice_nodes.lavalink.Sound.join` connects.

        Raises:
            TonearmError: always.
        """
        raise TonearmError("a voice channel is joined by Sound.join, which looks at the lease first")

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
        voice = self.saved()
        if voice is None:
            return
        self._on_voice(self._guild_id, voice)
        async with self._sending:
            await cast(Gateway, self.client).until_held()
            if voice != self.saved():
                return  # Newer data came while the lease had run out, and stands behind us.
            error = await self._send(voice)
        if error is None:
            return
        LOG.warning("Lavalink could not connect to voice: %r", error, extra=context(guild=self._guild_id))
        # Refused data may be old already; and a server that is away is noticed elsewhere.
        await asyncio.sleep(GRACE)
        current = self.node._players.get(self._guild_id) is self and self.saved() == voice
        if current and isinstance(error, TimeoutError | wavelink.LavalinkException) and not self.linked.is_set():
            self._failure = repr(error)
            self._settled.set()
            self._on_broken(self._guild_id)

    async def _send(self, voice: SavedVoice) -> Exception | None:
        """Returns what went wrong."""
        try:
            async with asyncio.timeout(JOIN_TIMEOUT):
                answer = await self.node._update_player(self._guild_id, data={"voice": cast(Any, wire(voice))})
        except (OSError, aiohttp.ClientError, wavelink.WavelinkException) as error:
            self.linked.clear()
            return error
        if answer["state"]["connected"]:
            self.linked.set()
        return None

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
        """Take it out of discord.py and wavelink, without a call to either side. Who waits for it waits no more."""
        self._failure = "forgotten meanwhile"
        self._settled.set()
        self._on_voice(self._guild_id, None)
        self.node._players.pop(self._guild_id, None)
        self.client._connection._remove_voice_client(self._guild_id)


def wire(voice: SavedVoice) -> dict[str, str]:
    """As Lavalink wants it (Lavalink's documentation, REST API, *Voice State*); without ``channelId`` it refuses."""
    return {
        "sessionId": voice.session,
        "token": voice.token,
        "endpoint": voice.endpoint,
        "channelId": str(voice.channel),
    }


def server_of(node: wavelink.Node) -> str:
    """The name of a session's server, the same in every process."""
    return node.identifier.partition("@")[2]


def _nobody(guild: int, voice: SavedVoice | None) -> None:
    """Nobody wants to know."""

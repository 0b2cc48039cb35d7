"""A guild's player: a lavaplayer player, a voice connection, and the sink between them.

Lives on the event loop. lavaplayer's events come from its own threads and are brought over by `_from_jvm`.
https://lavalink.dev/api/rest.html (Player, Update Player) and https://lavalink.dev/api/websocket.html (events).
"""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import aiohttp

from playground.audio_node.engine import Engine
from playground.audio_node.filters import Filters
from playground.audio_node.pump import Pump, Sink
from playground.audio_node.rtp import RtpLink
from playground.audio_node.voice import Closed, VoiceConnection, VoiceInfo

UPDATE_INTERVAL = 5.0
MAX_VOLUME = 1000


@dataclass(frozen=True, slots=True)
class World:
    """What all players of a node share."""

    engine: Engine
    pump: Pump
    http: aiohttp.ClientSession
    tls: ssl.SSLContext
    stats_seconds: float


class Player:
    """One guild's player of one session. `send` takes messages for the session's client."""

    def __init__(self, guild_id: int, user_id: int, world: World, send: Callable[[dict[str, Any]], None]) -> None:
        self.guild_id = guild_id
        self.voice_info = VoiceInfo()
        self.filters = Filters()
        self.volume = 100
        self._user_id = user_id
        self._world = world
        self._send = send
        self._loop = asyncio.get_running_loop()
        self._voice: VoiceConnection | None = None
        self._player = world.engine.create_player(self._from_jvm)
        self._sink = Sink(self._player.provide, self._speaking_from_pump)
        self._timer: asyncio.TimerHandle | None = None
        self._playing_since: float | None = None
        self._counted = (0, 0)
        self._destroyed = False

    # What it is

    @property
    def track(self) -> Any | None:
        """lavaplayer's playing track."""
        return self._player.getPlayingTrack()

    @property
    def playing(self) -> bool:
        """Whether it has a track and is not paused."""
        return self.track is not None and not self._player.isPaused()

    def state(self) -> dict[str, Any]:
        """The `state` object: position in ms, ping in ms or -1."""
        track, voice = self.track, self._voice
        connected = voice is not None and voice.connected
        return {
            "time": time.time_ns() // 1_000_000,
            "position": 0 if track is None else int(track.getPosition()),
            "connected": connected,
            "ping": voice.ping if voice is not None and connected else -1,
        }

    def to_json(self) -> dict[str, Any]:
        """The player object of the REST API."""
        track, voice = self.track, self.voice_info
        return {
            "guildId": str(self.guild_id),
            "track": None if track is None else self._world.engine.track_json(track),
            "volume": self.volume,
            "paused": bool(self._player.isPaused()),
            "state": self.state(),
            "voice": {
                "token": voice.token,
                "endpoint": voice.endpoint,
                "sessionId": voice.session_id,
                "channelId": voice.channel_id,
            },
            "filters": dict(self.filters.echo),
        }

    def take_frames(self) -> tuple[int, int] | None:
        """Frames sent and missing since the last call, if it has been playing from one stats to the next; else None."""
        total = (self._sink.sent, self._sink.nulled)
        before, self._counted = self._counted, total
        if self._playing_since is None or time.monotonic() - self._playing_since < self._world.stats_seconds:
            return None
        return total[0] - before[0], total[1] - before[1]

    # What can be done with it

    def play(self, track: Any, *, position_ms: int | None, user_data: dict[str, Any], paused: bool) -> None:
        """Start a track, in place of the playing one if there is one."""
        track.setUserData(json.dumps(user_data))
        if position_ms is not None:
            track.setPosition(position_ms)
        self._player.setPaused(paused)
        self._player.startTrack(track, False)
        self._refresh()
        self._loop.call_soon(self.send_update)  # after the start event, which is already on its way

    def stop(self) -> None:
        """End the playing track, if any; its end event says `stopped`."""
        self._player.stopTrack()
        self._refresh()

    def set_paused(self, paused: bool) -> None:
        """Pause or go on."""
        self._player.setPaused(paused)
        self._refresh()

    def set_volume(self, percent: int) -> None:
        """Set the volume, held between 0 and 1000 as the real server does."""
        self.volume = min(max(percent, 0), MAX_VOLUME)
        self._apply_volume()

    def set_filters(self, filters: Filters) -> None:
        """Replace all filters."""
        self.filters = filters
        self._player.setFilterFactory(self._world.engine.equalizer(filters))
        self._apply_volume()
        self.send_update()

    def seek(self, position_ms: int) -> None:
        """Go to a position of the playing track, if there is one."""
        track = self.track
        if track is not None:
            track.setPosition(position_ms)
            self.send_update()

    def set_end_time(self, end_ms: int | None, track: Any | None = None) -> None:
        """End the given track (else the playing one) at a position; None: at its own end."""
        track = track if track is not None else self.track
        if track is None:
            return

        def reached() -> None:
            self._loop.call_soon_threadsafe(self._stop_if, track)

        track.setMarker(None if end_ms is None else self._world.engine.marker(end_ms, reached))

    def set_user_data(self, user_data: dict[str, Any]) -> None:
        """Replace what is attached to the playing track, if there is one."""
        track = self.track
        if track is not None:
            track.setUserData(json.dumps(user_data))

    async def set_voice(self, info: VoiceInfo) -> None:
        """Connect to a voice server. The same data again changes nothing while that connection lives.

        Other data replaces the connection, also one still being made. Raises VoiceError within 8 s.
        """
        current = self._voice
        self.voice_info = info
        if current is not None and current.alive and current.info.same_connection(info):
            await current.open()
            return
        voice = VoiceConnection(
            info,
            self.guild_id,
            self._user_id,
            self._world.http,
            self._world.tls,
            lambda link: self._linked(voice, link),
            self._voice_closed,
        )
        self._voice = voice
        if current is not None:
            await self._close_voice(current)
        await voice.open()
        self.send_update()

    async def destroy(self) -> None:
        """Stop, leave voice, and forget the JVM's player."""
        if self._destroyed:
            return
        self._destroyed = True
        self._player.destroy()
        self._cancel_timer()
        voice, self._voice = self._voice, None
        if voice is not None:
            await self._close_voice(voice)
            self.send_update()

    def send_update(self) -> None:
        """Send a playerUpdate now."""
        self._send({"op": "playerUpdate", "guildId": str(self.guild_id), "state": self.state()})

    # Behind the curtain

    def _apply_volume(self) -> None:
        # The volume filter is a factor on the samples, as the player's volume is; lavaplayer has only the latter.
        self._player.setVolume(min(round(self.volume * self.filters.volume), MAX_VOLUME))

    def _refresh(self) -> None:
        """Bring the sink to what the player is, after anything that may have changed it."""
        wanted = self.playing and self._sink.link is not None
        self._sink.wanted = wanted
        if not wanted:
            self._playing_since = None
            return
        if self._playing_since is None:
            self._playing_since = time.monotonic()
        self._world.pump.arm(self._sink)

    def _linked(self, voice: VoiceConnection, link: RtpLink) -> None:
        if voice is self._voice:
            self._sink.link = link
            self._refresh()

    def _voice_closed(self, voice: VoiceConnection, closed: Closed) -> None:
        """Tell of a final close. Frames are sent on, to nobody, until this player is deleted or joins again."""
        fields = {"code": closed.code, "reason": closed.reason, "byRemote": closed.by_remote}
        self._event("WebSocketClosedEvent", fields)
        self.send_update()

    async def _close_voice(self, voice: VoiceConnection) -> None:
        was_connected = voice.connected
        self._sink.link = None
        self._refresh()
        await voice.close()
        if was_connected:
            # The real server reports its own closing like this, as if the far side had done it.
            self._event("WebSocketClosedEvent", {"code": 1000, "reason": "", "byRemote": True})

    def _speaking_from_pump(self, speaking: bool) -> None:
        self._loop.call_soon_threadsafe(self._speaking, speaking)

    def _speaking(self, speaking: bool) -> None:
        if self._voice is not None:
            self._voice.set_speaking(speaking)

    def _from_jvm(self, kind: str, fields: dict[str, Any]) -> None:
        self._loop.call_soon_threadsafe(self._track_event, kind, fields)

    def _track_event(self, kind: str, fields: dict[str, Any]) -> None:
        self._event(kind, fields)
        if kind == "TrackStartEvent":
            self._cancel_timer()
            self._tick()
        elif kind == "TrackEndEvent" and self.track is None:
            self._cancel_timer()
        self._refresh()

    def _event(self, kind: str, fields: dict[str, Any]) -> None:
        self._send({"op": "event", "type": kind, "guildId": str(self.guild_id), **fields})

    def _stop_if(self, track: Any) -> None:
        playing = self.track
        if playing is not None and playing.equals(track):
            self.stop()

    def _tick(self) -> None:
        """A playerUpdate now and each 5 s while a track plays."""
        self.send_update()
        self._timer = self._loop.call_later(UPDATE_INTERVAL, self._tick)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

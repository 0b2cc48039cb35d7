"""What a shard is told of: what comes over its gateway, and from Lavalink."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import wavelink


class Report(NamedTuple):
    """What Lavalink tells of a player every few seconds; times in ms, a ping of -1 is none."""

    position_ms: int
    connected: bool
    ping_ms: int


class Trouble(NamedTuple):
    """Why a track breaks: ``severity`` in Lavalink's words, ``reason`` in those of where the track comes from."""

    title: str
    source: str
    severity: str
    reason: str


class GuildListener(Protocol):
    """Who is told what the gateway and Lavalink say of guilds."""

    def bot_moved(self, guild: int, channel: int | None) -> None:
        """The bot is in ``channel`` now, or in none."""

    def company_changed(self, guild: int, channels: set[int]) -> None:
        """Somebody else came to, or left, one of ``channels``."""

    def track_over(self, guild: int, play: str, reason: str) -> None:
        """Lavalink is through with the track of ``play``."""

    def track_started(self, guild: int, play: str) -> None:
        """Lavalink plays the track of ``play`` from now on."""

    def track_failed(self, guild: int, play: str, trouble: Trouble) -> None:
        """The track of ``play`` breaks; its end is reported apart."""

    def voice_closed(self, guild: int, code: int) -> None:
        """Lavalink's connection to Discord's voice server was closed."""

    def gateway_started(self, guild: int) -> None:
        """A new gateway session knows the guild: its voice connection of the session before is gone."""

    def guild_removed(self, guild: int) -> None:
        """The bot was removed from a guild. An outage of the guild is not a removal."""

    def guild_joined(self, guild: int) -> None:
        """The bot was invited to a guild."""

    def guild_available(self, guild: int) -> None:
        """The outage of a guild is over."""


class ServerListener(Protocol):
    """Who is told what becomes of the sessions at Lavalink's servers."""

    def session_away(self, node: wavelink.Node) -> None:
        """The socket of a Lavalink session is lost; it is being opened again."""

    def player_reported(self, node: wavelink.Node, guild: int, report: Report) -> None:
        """Lavalink told of the state of one of its players."""

    def session_started(self, node: wavelink.Node, resumed: bool) -> None:
        """Lavalink knows this session, or has just begun it."""

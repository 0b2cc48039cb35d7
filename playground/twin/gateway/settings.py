"""Limits and times of the gateway, as Discord documents them; tests may change them."""

from __future__ import annotations

from dataclasses import dataclass

PRIVILEGED = 1 << 1 | 1 << 8 | 1 << 15
"""GUILD_MEMBERS, GUILD_PRESENCES and MESSAGE_CONTENT (Discord documentation, "Privileged Intents")."""

GUILDS = 1 << 0
GUILD_MEMBERS = 1 << 1
GUILD_VOICE_STATES = 1 << 7
GUILD_PRESENCES = 1 << 8
GUILD_MESSAGES = 1 << 9
MESSAGE_CONTENT = 1 << 15
KNOWN = (1 << 17) - 1 | 0b11 << 20 | 0b11 << 24
"""All intents there are."""

_BY_PREFIX = (
    ("GUILD_MEMBER_", GUILD_MEMBERS),
    ("VOICE_STATE_", GUILD_VOICE_STATES),
    ("MESSAGE_", GUILD_MESSAGES),
    ("GUILD_", GUILDS),
    ("CHANNEL_", GUILDS),
    ("VOICE_CHANNEL_STATUS_", GUILDS),
)


def intent_of(event: str) -> int:
    """Return the intent an event needs, 0 for those that come always (Discord documentation, "List of Intents")."""
    return next((intent for prefix, intent in _BY_PREFIX if event.startswith(prefix)), 0)


@dataclass(slots=True)
class GatewaySettings:
    """Everything that can be set.

    Attributes:
        heartbeat_interval_ms: what HELLO asks for; a client that is silent for half as long again is closed (4009).
        resume_window: seconds that a session outlives its socket.
        identify_interval: seconds between two IDENTIFY in one bucket; 0 switches the limit off.
        max_concurrency: number of buckets.
        session_starts: IDENTIFYs left in this window.
        session_starts_total: IDENTIFYs of a fresh window.
        session_starts_window: seconds until there are as many again, by the clock of the twin.
        sends: payloads a client may send in ``sends_window`` seconds.
        guilds_per_shard: more than this is closed with 4011.
        privileged: privileged intents the application was given.
        replayed: dispatches kept for a RESUME.
    """

    heartbeat_interval_ms: int = 41_250
    resume_window: float = 30.0
    identify_interval: float = 5.0
    max_concurrency: int = 1
    session_starts: int = 1000
    session_starts_total: int = 1000
    session_starts_window: float = 24 * 60 * 60
    sends: int = 120
    sends_window: float = 60.0
    guilds_per_shard: int = 2500
    privileged: int = 0
    replayed: int = 2048

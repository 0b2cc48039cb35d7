"""What is told of Lavalink: of its servers, each by the one name that it has for all shards and only while it is used,
and of tracks that break."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tonearm.telemetry import (
    LAVALINK_FRAMES,
    LAVALINK_PENALTY,
    LAVALINK_PLAYERS,
    LAVALINK_SESSIONS,
    LAVALINK_UP,
    TRACK_ERRORS,
)
from voice_nodes.placement import penalty

if TYPE_CHECKING:
    from voice_nodes.station import Station

STATES = ("connected", "draining", "away", "open")
"""``away``: without a session; ``open``: it does not answer, and is asked now and then only."""

KINDS = ("sent", "nulled", "deficit")

STUCK, LOAD, OTHER = "stuck", "load", "other"
CLASSES = frozenset({"common", "suspicious", "fault", STUCK, LOAD})
"""Why tracks break: Lavalink's severities (its documentation, *Exception Object*), and what has none."""

SOURCES = frozenset(
    {"youtube", "soundcloud", "bandcamp", "twitch", "vimeo", "nico", "http", "local", "spotify", "applemusic", "deezer"}
)
"""Where tracks come from, as Lavalink and its common plugins call it; whatever else there is, is :data:`OTHER`."""

HOSTS = {
    "youtube.com": "youtube",
    "youtu.be": "youtube",
    "soundcloud.com": "soundcloud",
    "bandcamp.com": "bandcamp",
    "twitch.tv": "twitch",
    "vimeo.com": "vimeo",
    "nicovideo.jp": "nico",
    "spotify.com": "spotify",
    "music.apple.com": "applemusic",
    "deezer.com": "deezer",
}
"""Whose links they are, by the end of the host's name."""

_stations: dict[str, set[Station]] = {}
"""By the name of the server: one for each shard."""


@contextmanager
def measured(station: Station) -> Iterator[None]:
    """A shard uses this server."""
    name = station.name
    if name not in _stations:
        _begin(name)
    _stations[name].add(station)
    try:
        yield
    finally:
        _stations[name].discard(station)
        if not _stations[name]:
            _forget(name)


def count_frames(name: str, players: int, averages: dict[str, int]) -> None:
    """``averages`` of the players of one shard in the last minute, by kind. A deficit below 0 makes up for nothing."""
    for kind in KINDS:
        LAVALINK_FRAMES.labels(name, kind).inc(players * max(0, averages[kind]))


def count_trouble(kind: str, source: str) -> None:
    """A track broke. ``kind`` is one of :data:`CLASSES`; another one is counted as a fault."""
    TRACK_ERRORS.labels(kind if kind in CLASSES else "fault", source if source in SOURCES else OTHER).inc()


def source_of(query: str) -> str:
    """Which of :data:`SOURCES` a query leads to: words are searched for at YouTube."""
    if not query.startswith(("http://", "https://")):
        return "youtube"
    try:
        host = urlsplit(query).hostname or ""
    except ValueError:
        return OTHER
    return next((source for end, source in HOSTS.items() if host == end or host.endswith(f".{end}")), "http")


def _begin(name: str) -> None:
    of = _stations[name] = set()
    LAVALINK_UP.labels(name).set_function(lambda: float(any(each.usable for each in of)))
    LAVALINK_PENALTY.labels(name).set_function(lambda: max((penalty(each.load()) for each in of), default=0.0))
    LAVALINK_PLAYERS.labels(name).set_function(lambda: float(sum(each.players for each in of)))
    for kind in KINDS:
        LAVALINK_FRAMES.labels(name, kind)


def _forget(name: str) -> None:
    """Addresses come and go: their names must not pile up."""
    del _stations[name]
    for gauge in (LAVALINK_UP, LAVALINK_PENALTY, LAVALINK_PLAYERS):
        gauge.remove(name)
    for kind in KINDS:
        LAVALINK_FRAMES.remove(name, kind)


def _sessions(state: str) -> Callable[[], float]:
    return lambda: float(sum(each.state == state for of in tuple(_stations.values()) for each in of))


for _state in STATES:
    LAVALINK_SESSIONS.labels(_state).set_function(_sessions(_state))

"""Scenes for tests of the pure player."""

from __future__ import annotations

from typing import Any

from tonearm.music.actions import Scene, start
from tonearm.music.change import QueueChange
from tonearm.music.player import Player
from tonearm.music.track import Entry, Loaded, Track
from tonearm.premium.plans import PRO

NOW = 1_700_000_000_000
HERE, ELSEWHERE, TEXT, USER = 11, 12, 21, 42


def track(name: str, length_ms: int = 200_000) -> Track:
    """A track by its name."""
    return Track("encoded " + name, name, "Author", length_ms)


def entry(name: str) -> Entry:
    """A track that somebody asked for before."""
    return Entry(f"old:{name}", track(name), 7)


def loaded(*names: str, playlist: str | None = None) -> Loaded:
    """What a look-up found."""
    return Loaded(tuple(track(name) for name in names), playlist)


def idle(**changes: Any) -> Player:
    """A player that sits in its channel and is silent."""
    return Player(**{"voice_channel": HERE, "text_channel": TEXT, **changes})


def busy(name: str = "now", **changes: Any) -> Player:
    """A player that has been playing for 10 s."""
    return start(idle(**changes), entry(name), NOW - 10_000)


def scene(player: Player, **changes: Any) -> Scene:
    """A command of somebody in the player's channel, who saw what is there, in a guild with the best plan."""
    known = {
        "job": "i:1",
        "user": USER,
        "now_ms": NOW,
        "asked_ms": NOW,
        "text_channel": TEXT,
        "player": player,
        "caller_channel": HERE,
        "plan": PRO,
        "seen_play": player.playing.play if player.playing else None,
    }
    return Scene(**{**known, **changes})


def changed(queue: list[Entry], change: QueueChange) -> list[Entry]:
    """What a change makes of a queue, in its documented order: clear, take the first, add in front, add at the end."""
    left = [] if change.clear else list(queue)
    if change.take_first:
        left = left[1:]
    return [*change.prepend, *left, *change.append]

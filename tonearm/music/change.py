"""What an action or an event does to a guild: the new state, and everything that is written with it in one commit."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from tonearm.music.player import MAX_QUEUE, Player
from tonearm.music.track import Entry, Track


class Where(StrEnum):
    """Where in the queue tracks are added."""

    END = "end"
    NEXT = "next"
    NOW = "now"


class QueueChange(msgspec.Struct, frozen=True):
    """What happens to the queue, in this order: clear, take the first, add in front, add at the end."""

    clear: bool = False
    take_first: bool = False
    prepend: tuple[Entry, ...] = ()
    append: tuple[Entry, ...] = ()


# What is told to the person who asked. Rendered by tonearm.discord.cards.


class Started(msgspec.Struct, frozen=True):
    """A track starts now; ``more`` further tracks were queued behind it. ``left_out`` did not fit, as ``limit`` may
    wait."""

    track: Track
    more: int = 0
    playlist: str | None = None
    left_out: int = 0
    limit: int = MAX_QUEUE


class Queued(msgspec.Struct, frozen=True):
    """Tracks wait from ``position`` (1 = the next one) on. ``left_out`` did not fit, as ``limit`` may wait."""

    tracks: tuple[Track, ...]
    position: int
    playlist: str | None = None
    left_out: int = 0
    limit: int = MAX_QUEUE


class Paused(msgspec.Struct, frozen=True):
    track: Track
    position_ms: int


class Resumed(msgspec.Struct, frozen=True):
    track: Track
    position_ms: int


class Skipped(msgspec.Struct, frozen=True):
    track: Track
    following: Track | None


class Stopped(msgspec.Struct, frozen=True):
    removed: int


class Left(msgspec.Struct, frozen=True):
    channel: int


class Sought(msgspec.Struct, frozen=True):
    track: Track
    position_ms: int


class VolumeSet(msgspec.Struct, frozen=True):
    volume: int


Outcome = Started | Queued | Paused | Resumed | Skipped | Stopped | Left | Sought | VolumeSet


class Change(msgspec.Struct, frozen=True):
    """One step of a guild. ``what`` is the word for it in the guild's log; steps without one are not logged.

    ``forget``: of the player, its queue, history and log nothing is kept at all.
    """

    player: Player
    what: str
    outcome: Outcome | None = None
    queue: QueueChange = QueueChange()
    played: Entry | None = None
    forget: bool = False

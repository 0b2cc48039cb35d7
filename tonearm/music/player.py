"""What a guild's player should be doing. It is the wish; Lavalink and Discord are brought to it."""

from __future__ import annotations

import msgspec

from tonearm.music.track import Entry

MAX_VOLUME = 200
"""In per cent. What a plan allows may be less."""

MAX_QUEUE = 10_000
"""Tracks that may wait. What a plan allows may be less."""

FRAME_BUFFER_MS = 400
"""How long after Lavalink's TrackEndEvent the listeners still hear the old track."""

REACTION_MS = 300
"""Who says "skip" this soon after a track was first heard means the one before it."""

HEARD_AFTER_MS = FRAME_BUFFER_MS + REACTION_MS


class Playing(msgspec.Struct, frozen=True):
    """The track that plays.

    ``play`` names this one start of it and goes out with the track, so that events and buttons say which start they
    mean. ``position_ms`` was true at ``at_ms``. Who skips before ``heard_from_ms`` means the track before. ``seeks`` is
    how often somebody chose another position.
    """

    play: str
    entry: Entry
    position_ms: int
    at_ms: int
    heard_from_ms: int
    seeks: int = 0


class PlayerMessage(msgspec.Struct, frozen=True):
    """The message with the buttons."""

    channel: int
    id: int


class Player(msgspec.Struct, frozen=True, omit_defaults=True):
    """A guild's player. ``voice_channel`` is where it should be connected, ``text_channel`` where it speaks.

    ``wished_volume`` is there while the plan does not allow it. ``alone_at_ms`` and ``idle_at_ms`` are when it leaves
    by itself.
    """

    voice_channel: int | None = None
    text_channel: int | None = None
    playing: Playing | None = None
    paused: bool = False
    volume: int = 100
    last_play: str = ""
    message: PlayerMessage | None = None
    wished_volume: int = 0
    alone_at_ms: int | None = None
    idle_at_ms: int | None = None

    def position_ms(self, now_ms: int) -> int:
        """The position in the current track at ``now_ms``; 0 when nothing plays."""
        if self.playing is None:
            return 0
        if self.paused:
            return self.playing.position_ms
        elapsed = max(0, now_ms - self.playing.at_ms)
        position = self.playing.position_ms + elapsed
        length = self.playing.entry.track.length_ms
        return min(position, length) if length else position


_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


def next_play(last: str, now_ms: int) -> str:
    """A name for the next start of a track: later than ``last``, and, as it holds the time, than any lost one."""
    number = max(now_ms, int(last, 36) + 1 if last else 0)
    digits = ""
    while number:
        number, digit = divmod(number, 36)
        digits = _DIGITS[digit] + digits
    return digits or "0"

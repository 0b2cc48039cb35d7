"""Tracks, and tracks that wait in a queue."""

from __future__ import annotations

import msgspec


class Track(msgspec.Struct, frozen=True, omit_defaults=True):
    """Something that can be played, as Lavalink describes it.

    ``encoded`` is Lavalink's own description, from which it plays the track again without a look-up
    (Lavalink's documentation, REST API, *Track*). ``length_ms`` is 0 for a stream.
    """

    encoded: str
    title: str
    author: str = ""
    length_ms: int = 0
    uri: str | None = None
    artwork: str | None = None
    source: str = ""
    is_stream: bool = False

    @property
    def is_live(self) -> bool:
        """Whether it has no length, and so no positions either."""
        return self.is_stream or self.length_ms <= 0


class Entry(msgspec.Struct, frozen=True, omit_defaults=True):
    """A track that somebody asked for. ``id`` is derived from the job that added it, so adding twice adds once."""

    id: str
    track: Track
    user: int


class Loaded(msgspec.Struct, frozen=True):
    """What a look-up found: tracks in order, and the playlist's name if it was one."""

    tracks: tuple[Track, ...]
    playlist: str | None = None

"""lavaplayer's tracks and exceptions as the JSON of Lavalink's API.

https://lavalink.dev/api/rest.html (Track, Track Loading Result) and https://lavalink.dev/api/websocket.html
(Exception Object). Objects of the JVM are `Any` here: JPype gives them no types.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

LOOKUP_FAILED = "Something went wrong while looking up the track."
"""The one sentence that Lavalink gives for every failed look-up; the cause says more."""
FRIENDLY = "com.sedmelluq.discord.lavaplayer.tools.FriendlyException"


class LookupFailed(Exception):
    """Looking a track up failed (as opposed to: found nothing). `stack` is the JVM's stack trace."""

    def __init__(self, stack: str) -> None:
        super().__init__(LOOKUP_FAILED)
        self.stack = stack

    def to_json(self) -> dict[str, object]:
        """The exception object of a load result of type `error`."""
        cause = f"{FRIENDLY}: {LOOKUP_FAILED}"
        return {
            "message": LOOKUP_FAILED,
            "severity": "fault",
            "cause": cause,
            "causeStackTrace": f"{cause}\nCaused by: {self.stack}",
        }


class DecodeFailed(ValueError):
    """A string that is no encoded track."""


@dataclass(frozen=True, slots=True)
class Playlist:
    """Several tracks under one name; `search` tells whether they answer a search."""

    name: str
    tracks: list[Any]
    search: bool = False


def text(value: Any) -> str | None:
    """A Java string as a Python one, null as None."""
    return None if value is None else str(value)


def info_json(track: Any) -> dict[str, object]:
    """Lavalink's `info` object of a lavaplayer track. Times are milliseconds."""
    info, source = track.getInfo(), track.getSourceManager()
    return {
        "identifier": text(info.identifier),
        "isSeekable": bool(track.isSeekable()),
        "author": text(info.author),
        "length": int(info.length),
        "isStream": bool(info.isStream),
        "position": int(track.getPosition()),
        "title": text(info.title),
        "uri": text(info.uri),
        "sourceName": None if source is None else str(source.getSourceName()),
        "artworkUrl": text(info.artworkUrl),
        "isrc": text(info.isrc),
    }


def user_data(track: Any) -> dict[str, Any]:
    """What the client attached to a track; it is kept on the JVM's track as a JSON string."""
    attached = track.getUserData()
    if attached is None:
        return {}
    found: dict[str, Any] = json.loads(str(attached))
    return found


def exception_json(exception: Any) -> dict[str, object]:
    """The exception object of a TrackExceptionEvent: message, severity, and the innermost cause."""
    root = exception
    while root.getCause() is not None:
        root = root.getCause()
    return {
        "message": text(exception.getMessage()),
        "severity": str(exception.severity.name()).lower(),
        "cause": str(root.toString()),
        "causeStackTrace": str(exception.stacktrace()),
    }

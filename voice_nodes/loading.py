"""What Lavalink answers to a look-up, as tracks (Lavalink's documentation, REST API, *Track Loading Result*)."""

from __future__ import annotations

from typing import Any

from tonearm.errors import Refused
from tonearm.music.player import MAX_QUEUE
from tonearm.music.track import Loaded, Track
from tonearm.sentences import Sentence


def loaded(answer: dict[str, Any], query: str) -> Loaded:
    """The tracks that were found; of a search, the best one.

    Raises:
        Refused: nothing was found, or it can't be played.
    """
    data = answer["data"]
    match answer["loadType"]:
        case "track":
            return Loaded((_track(data),))
        case "playlist":
            tracks = tuple(_track(track) for track in data["tracks"][:MAX_QUEUE])
            return Loaded(tracks, data["info"]["name"]) if tracks else Loaded(())
        case "search" if data:
            return Loaded((_track(data[0]),))
        case "error":
            raise broken(query, str(data.get("message") or "it can't be read"))
        case _:
            raise Refused(Sentence.NOTHING_FOUND, query=_short(query))


def broken(query: str, reason: str) -> Refused:
    """What ``query`` names can't be played."""
    return Refused(Sentence.TRACK_BROKEN, query=_short(query), reason=reason.rstrip("."))


def _short(query: str) -> str:
    return query if len(query) <= 100 else query[:99] + "…"


def _track(data: dict[str, Any]) -> Track:
    info = data["info"]
    return Track(
        encoded=data["encoded"],
        title=info["title"],
        author=info["author"],
        length_ms=0 if info["isStream"] else info["length"],
        uri=info.get("uri"),
        artwork=info.get("artworkUrl"),
        source=info["sourceName"],
        is_stream=info["isStream"],
    )

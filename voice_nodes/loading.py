"""Look-ups at Lavalink, and what it answers, as tracks (Lavalink's documentation, REST API, *Track Loading Result*)."""

from __future__ import annotations

import asyncio
from typing import Any

import wavelink

from tonearm.errors import Refused
from tonearm.music.player import MAX_QUEUE
from tonearm.music.track import Loaded, Track
from tonearm.sentences import Sentence
from voice_nodes.measuring import LOAD, count_trouble, source_of
from voice_nodes.station import PROBE_TIMEOUT, Station

LOAD_TIMEOUT = 15.0
LOAD_PATIENCE = 0.8
"""Seconds. A look-up may take LOAD_TIMEOUT, but after LOAD_PATIENCE the server must show that it is alive."""


SEARCH_PREFIX = "ytsearch:"


async def load(station: Station, query: str) -> Loaded:
    """The tracks that ``query`` (a URL, or words to search for) names; of a search, the best one.

    Raises:
        LavalinkAway: the server does not answer.
        LeaseLost: the shard is another's.
        Refused: nothing was found, or it can't be played.
    """
    identifier = query if query.startswith(("http://", "https://")) else SEARCH_PREFIX + query
    node, path, params = station.node, "v4/loadtracks", {"identifier": identifier}
    loading = asyncio.ensure_future(
        station.call(lambda: node.send("GET", path=path, params=params), LOAD_TIMEOUT, counts=False)
    )
    try:
        done, _ = await asyncio.wait([loading], timeout=LOAD_PATIENCE)
        if not done:
            await station.call(lambda: node.send("GET", path="version"), PROBE_TIMEOUT)
        return loaded(await loading, query)
    except wavelink.LavalinkException as error:
        count_trouble(LOAD, source_of(identifier))
        raise broken(query, error.error) from None
    finally:
        loading.cancel()
        await asyncio.gather(loading, return_exceptions=True)


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
            count_trouble(LOAD, source_of(query))
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

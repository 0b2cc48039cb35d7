"""What ``tonearm doctor`` looks at in each Lavalink server: its version, and whether its sources find music."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import aiohttp
import msgspec

from tonearm.addresses import DNS, addresses_of, session_to
from tonearm.doctor.finding import TIMEOUT, Finding
from tonearm.settings import PREFIX, LavalinkNode, Settings

OLDEST_LAVALINK = (4, 2, 2)

LOOK_UP_TIMEOUT = 15.0
"""Seconds that a source may take to find something."""

WORDS = "the"
"""What is searched for: a word that every catalogue has."""

PLAIN = "ytsearch:"
"""With which `/play` searches for words."""

SEARCHES = {
    "youtube": PLAIN,
    "soundcloud": "scsearch:",
    "bandcamp": "bcsearch:",
    "spotify": "spsearch:",
    "applemusic": "amsearch:",
    "deezer": "dzsearch:",
    "yandexmusic": "ymsearch:",
}
"""The prefix for searching each source (lavaplayer's, youtube-source's and LavaSrc's documentation); the others take
links only."""

Json = dict[str, Any]


class Server(NamedTuple):
    """One that answered: what it is called, what it says of itself, and how to ask it on."""

    name: str
    info: Json
    load: Callable[[str], Awaitable[Json]]


async def examine(settings: Settings, words: str = WORDS) -> list[Finding]:
    """Every check of every configured server; ``words`` are searched for."""
    found = await asyncio.gather(*(_node(node, words) for node in settings.lavalink_nodes))
    return [finding for findings in found for finding in findings]


async def _node(node: LavalinkNode, words: str) -> list[Finding]:
    """A name that stands for several servers has findings for each."""
    url = node.url.removeprefix(DNS)
    addresses: tuple[str | None, ...] = (None,)
    if url != node.url:
        try:
            addresses = await addresses_of(url)
        except OSError as error:
            remedy = f"Check the name in {PREFIX}LAVALINK_NODES."
            return [Finding(f"Lavalink at {node.url}", f"has no address ({error})", remedy)]
    found = await asyncio.gather(*(_at(url, node.password, address, words) for address in addresses))
    return [finding for findings in found for finding in findings]


async def _at(url: str, password: str, address: str | None, words: str) -> list[Finding]:
    name = f"Lavalink at {url}" + (f" ({address})" if address else "")
    headers = {"Authorization": password}
    async with session_to(address, LOOK_UP_TIMEOUT) as http:

        async def get(path: str, timeout: float, **query: str) -> Any:
            async with asyncio.timeout(timeout), http.get(f"{url}{path}", headers=headers, params=query) as response:
                response.raise_for_status()
                return msgspec.json.decode(await response.read(), type=Json)

        async def load(identifier: str) -> Json:
            found: Json = await get("/v4/loadtracks", LOOK_UP_TIMEOUT, identifier=identifier)
            return found

        try:
            server = Server(name, await get("/v4/info", TIMEOUT), load)
        except Exception as error:  # whatever the other end is
            return [_unanswered(name, error)]
        searches = (source(server, name, prefix, words) for name, prefix in sources(server.info))
        return [version(server), *await asyncio.gather(*searches)]


def _unanswered(name: str, error: Exception) -> Finding:
    match error:
        case aiohttp.ClientResponseError(status=401 | 403):
            return Finding(name, f"refuses ({error.status})", f"Check the password in {PREFIX}LAVALINK_NODES.")
        case aiohttp.ClientResponseError() | msgspec.DecodeError():
            return Finding(name, "is not a Lavalink server", f"Check {PREFIX}LAVALINK_NODES.")
    return Finding(name, f"does not answer ({error!r})", f"Check {PREFIX}LAVALINK_NODES, and that the server runs.")


def version(server: Server) -> Finding:
    """Old ones are silent at today's Discord."""
    said = server.info.get("version")
    told: Json = said if isinstance(said, dict) else {}
    number = tuple(int(part) if str(part := told.get(each) or 0).isdecimal() else 0 for each in _NUMBER)
    text = str(told.get("semver", "unknown"))
    if number < OLDEST_LAVALINK:
        remedy = "Discord's voice is end-to-end encrypted only (DAVE) since March 2026: use Lavalink 4.2.2 or newer."
        return Finding(server.name, text, remedy)
    return Finding(server.name, text)


def sources(info: Json) -> list[tuple[str, str]]:
    """What can be searched: the name and the prefix of each source, and first what `/play` searches with."""
    configured = [str(each) for each in info.get("sourceManagers") or ()]
    found = [(each, SEARCHES[each]) for each in configured if SEARCHES.get(each, PLAIN) != PLAIN]
    return [("words", PLAIN), *found]


async def source(server: Server, name: str, prefix: str, words: str) -> Finding:
    """One search, and one load of what it found."""
    what = f"{server.name}, {name}"
    broken = _PLAIN_BROKEN if prefix == PLAIN else _SOURCE_BROKEN
    try:
        found = await server.load(prefix + words)
        tracks = found["data"] if found["loadType"] == "search" else []
        if not tracks:
            return Finding(what, f"finds nothing ({_reason(found)})", broken)
        info = tracks[0]["info"]
        loaded = await server.load(str(info["uri"] or info["identifier"]))
        if loaded["loadType"] not in ("track", "playlist"):
            return Finding(what, f"finds “{info['title']}” but can't load it ({_reason(loaded)})", broken)
        return Finding(what, f"finds and loads “{info['title']}”")
    except TimeoutError:
        return Finding(what, f"found nothing within {LOOK_UP_TIMEOUT:g} s", broken)
    except (aiohttp.ClientError, msgspec.DecodeError, LookupError, TypeError, OSError) as error:
        return Finding(what, f"can't be searched ({error!r})", broken)


def _reason(answer: Json) -> str:
    data = answer.get("data")
    said = data.get("message") if isinstance(data, dict) else None
    return str(said or f"the answer is of type {answer.get('loadType')}")


_NUMBER = ("major", "minor", "patch")
_PLAIN_BROKEN = (
    "`/play` with words finds nothing; other sources' links may work. See that Lavalink has the plugin youtube-source "
    "up to date, and what its log says."
)
_SOURCE_BROKEN = "See the source's credentials in Lavalink's settings, and what its log says."

"""What the doctor says of Lavalink: the version, and one search and one load of each source."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import web

from tests.support.serving import saying, serving
from tonearm.doctor import lavalink
from tonearm.doctor.finding import Finding, Verdict
from tonearm.settings import PREFIX, load

GOOD = {"semver": "4.2.2", "major": 4, "minor": 2, "patch": 2}
Answer = Callable[[web.Request], web.Response]


async def examined(url: str) -> list[Finding]:
    return await lavalink.examine(load((), {f"{PREFIX}LAVALINK_NODES": url}))


async def look(answer: Answer) -> list[Finding]:
    async with serving(answer) as url:
        return await examined(url.replace("://", "://:pw@"))


def like_lavalink(version: Any = GOOD, sources: tuple[str, ...] = ("youtube", "http"), **found: Any) -> Answer:
    """A server whose sources find one track each; ``found`` has what a prefix, or ``uri``, is answered with instead."""

    def answer(request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != "pw":
            return web.Response(status=401)
        if request.path == "/v4/info":
            return web.json_response({"version": version, "sourceManagers": list(sources)})
        assert request.path == "/v4/loadtracks"
        prefix, _, rest = request.query["identifier"].partition(":")
        if prefix == "https":
            return web.json_response(found.get("uri", {"loadType": "track", "data": {}}))
        assert rest == lavalink.WORDS
        info = {"title": f"From {prefix}", "uri": f"https://x.example/{prefix}", "identifier": "1"}
        return web.json_response(found.get(prefix, {"loadType": "search", "data": [{"info": info}]}))

    return answer


async def test_each_source_that_can_be_searched_is_searched_and_loaded() -> None:
    found = await look(like_lavalink(sources=("youtube", "spotify", "deezer", "http", "local", "twitch")))
    assert {finding.verdict for finding in found} == {Verdict.OK}
    assert [finding.found for finding in found] == [
        "4.2.2",
        "finds and loads “From ytsearch”",
        "finds and loads “From spsearch”",
        "finds and loads “From dzsearch”",
    ]


EMPTY = {"loadType": "empty", "data": None}
BROKEN = {"loadType": "error", "data": {"message": "This video requires login.", "severity": "common"}}


@pytest.mark.parametrize(
    ("answers", "says"),
    [
        ({"ytsearch": EMPTY}, "finds nothing (the answer is of type empty)"),
        ({"ytsearch": BROKEN}, "finds nothing (This video requires login.)"),
        ({"ytsearch": {"loadType": "search", "data": []}}, "finds nothing"),
        ({"uri": BROKEN}, "but can't load it (This video requires login.)"),
        ({"ytsearch": {}}, "can't be searched (KeyError"),
    ],
)
async def test_a_source_that_finds_or_loads_nothing(answers: dict[str, Any], says: str) -> None:
    version, words = await look(like_lavalink(**answers))
    assert version.verdict is Verdict.OK
    assert words.verdict is Verdict.ERROR
    assert says in words.found
    assert "youtube-source" in words.remedy


async def test_one_broken_source_stops_no_other() -> None:
    _, words, spotify = await look(like_lavalink(sources=("spotify",), spsearch=EMPTY))
    assert words.verdict is Verdict.OK
    assert spotify.verdict is Verdict.ERROR
    assert "credentials" in spotify.remedy


@pytest.mark.parametrize(
    ("version", "remedy"),
    [
        (GOOD, ""),
        ({"semver": "4.1.1", "major": 4, "minor": 1, "patch": 1}, "use Lavalink 4.2.2 or newer"),
        (None, "use Lavalink 4.2.2 or newer"),
    ],
)
async def test_the_version_is_judged(version: Any, remedy: str) -> None:
    async with serving(like_lavalink(version)) as url:
        first, *_ = await examined(url.replace("://", "://:pw@"))
        named = await examined(url.replace("http://127.0.0.1", "dns+http://:pw@localhost"))
    assert remedy in first.remedy
    assert bool(remedy) == bool(first.remedy)
    assert first.found in {finding.found for finding in named}


@pytest.mark.parametrize(
    ("answer", "remedy"),
    [
        (saying({}, 401), "Check the password"),
        (saying({}, 403), "Check the password"),
        (saying({}, 404), "Check TONEARM_LAVALINK_NODES."),
        (lambda _: web.Response(text="hello"), "Check TONEARM_LAVALINK_NODES."),
        (
            lambda _: web.Response(text=json.dumps([1]), content_type="application/json"),
            "Check TONEARM_LAVALINK_NODES.",
        ),
    ],
)
async def test_what_is_no_lavalink(answer: Answer, remedy: str) -> None:
    (finding,) = await look(answer)
    assert remedy in finding.remedy


async def test_a_name_without_addresses() -> None:
    (finding,) = await examined("dns+http://:pw@nobody.invalid")
    assert f"{PREFIX}LAVALINK_NODES" in finding.remedy

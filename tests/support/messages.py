"""Messages for tests: any track, player and outcome there can be, and Discord's rules that no schema holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from hypothesis import strategies as st

from tonearm.discord import cards
from tonearm.music.change import (
    Left,
    Outcome,
    Paused,
    Queued,
    Resumed,
    Skipped,
    Sought,
    Started,
    Stopped,
    VolumeSet,
)
from tonearm.music.player import Player, Playing, next_play
from tonearm.music.track import Entry, Track

Message = dict[str, Any]

NASTY = [
    "@everyone",
    "<@1>",
    "<@&2>",
    "<#3>",
    "<t:1:R>",
    "</play:4>",
    "<:e:5>",
    ":thumbsup:",
    "[click](https://bad.example)",
    "https://bad.example",
    "`code`",
    "```",
    "||spoiler||",
    "**bold**",
    "__u__",
    "~~s~~",
    "# head",
    "\n> quote",
    "\n-# small",
    "\u202egnp",
    "\u2066",
    "\u200b",
    "\ufeff",
    "\\",
    "]",
    "[",
    ")(",
    "\r\n",
    "\0",
    "e" + "\u0301" * 40,
    "👩\u200d🚀",
    "نام\u200cها",
]

words = st.lists(st.one_of(st.sampled_from(NASTY), st.text(max_size=30)), max_size=12).map("".join)
moments = st.integers(0, 4_102_444_800_000)
snowflakes = st.integers(1, 2**63 - 1)
plays = st.integers(0, 2**45).map(lambda number: next_play("", number))
addresses = st.one_of(
    st.none(),
    st.sampled_from(
        [
            "https://youtu.be/dQw4w9WgXcQ",
            "https://en.wikipedia.org/wiki/Record_(disambiguation)?a=[b]#c#d",
            "https://üml.example/x",
            "https://a.example/ü x%zz|<>\"'\\",
            "https://me:secret@a.example/x",
            "http://127.0.0.1:8080/x",
            "http://[::1]/x",
            "http://a.example:99999/",
            "javascript:alert(1)",
            "file:///etc/passwd",
            "https://",
            "https://a.example/" + "x" * 3_000,
        ]
    ),
    words.map(lambda text: "https://a.example/" + text),
    words,
)
tracks = st.builds(
    Track,
    encoded=st.just("x"),
    title=words,
    author=words,
    length_ms=st.one_of(st.just(0), st.integers(1, 10**7), st.integers(1, 2**63 - 1)),
    uri=addresses,
    artwork=addresses,
    is_stream=st.booleans(),
)
entries = st.builds(Entry, id=st.uuids().map(str), track=tracks, user=snowflakes)
playings = st.builds(
    Playing, play=plays, entry=entries, position_ms=st.integers(0, 10**7), at_ms=moments, heard_from_ms=moments
)
players = st.builds(
    Player,
    voice_channel=st.none() | snowflakes,
    text_channel=st.none() | snowflakes,
    playing=st.none() | playings,
    paused=st.booleans(),
    volume=st.integers(0, 200),
)
counts = st.integers(0, 10_000)
outcomes: st.SearchStrategy[Outcome] = st.one_of(
    st.builds(Started, tracks, counts, st.none() | words),
    st.builds(
        Queued, st.lists(tracks, min_size=1, max_size=30).map(tuple), st.integers(1, 10_000), st.none() | words, counts
    ),
    st.builds(Paused, tracks, st.integers(0, 10**9)),
    st.builds(Resumed, tracks, st.integers(0, 10**9)),
    st.builds(Skipped, tracks, st.none() | tracks),
    st.builds(Stopped, counts),
    st.builds(Left, snowflakes),
    st.builds(Sought, tracks, st.integers(0, 10**9)),
    st.builds(VolumeSet, st.integers(0, 200)),
)


@st.composite
def messages(draw: Callable[[Any], Any]) -> Message:
    """Any body that the cards can make."""
    player, length, now = draw(players), draw(counts), draw(moments)
    match draw(st.integers(0, 4)):
        case 0:
            return cards.sentence(draw(words))
        case 1:
            return cards.outcome(draw(outcomes), player, queue_length=length, now_ms=now)
        case 2:
            return cards.player_message(player, length, following=draw(st.none() | tracks), now_ms=now)
        case 3:
            return cards.now_playing(player, length, now_ms=now)
        case _:
            first = 10 * draw(st.integers(0, 1_000))
            page = draw(st.lists(entries, max_size=12))
            return cards.queue_page(player, length, page, first=first, now_ms=now)


def components(body: Message) -> Iterator[Message]:
    """Every component of a message, also those inside others."""

    def walk(component: Message) -> Iterator[Message]:
        yield component
        for child in component.get("components", []):
            yield from walk(child)
        if "accessory" in component:
            yield from walk(component["accessory"])

    for component in body["components"]:
        yield from walk(component)


def words_of(body: Message) -> str:
    """All that is to be read in a message."""
    return "\n".join(part["content"] for part in components(body) if part["type"] == 10)


def buttons_of(body: Message) -> list[str]:
    """What its buttons bring back."""
    return [part["custom_id"] for part in components(body) if part["type"] == 2]


def broken_rules(body: Message) -> list[str]:
    """The rules of Discord that a Components V2 message breaks though its form is right."""
    broken = []
    if not body.get("flags", 0) & 1 << 15:
        broken.append("the flag for Components V2 is missing")
    broken += [f"{field} excludes Components V2" for field in ("content", "embeds", "poll") if body.get(field)]
    if body.get("allowed_mentions") != {"parse": []}:
        broken.append("it may ping")
    everything = list(components(body))
    if not everything:
        broken.append("it is empty")
    if len(everything) > 40:
        broken.append(f"{len(everything)} components")
    length = len("".join(part["content"] for part in everything if part["type"] == 10).encode("utf-16-le")) // 2
    if length > 4_000:
        broken.append(f"{length} characters")
    ids = [part["custom_id"] for part in everything if "custom_id" in part]
    if len(ids) != len(set(ids)):
        broken.append("two custom ids are the same")
    broken += [f"the custom id {id} is too long" for id in ids if not 1 <= len(id) <= 100]
    for part in everything:
        if part["type"] == 2 and (part["style"] in (5, 6) or not part.get("label") or "custom_id" not in part):
            broken.append("a button without label or custom id")
        if part["type"] == 1 and not 1 <= len(part["components"]) <= 5:
            broken.append("a row of more than 5 buttons or none")
        if part["type"] == 10 and not part["content"].strip():
            broken.append("an empty text")
    return broken

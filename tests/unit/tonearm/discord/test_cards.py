import subprocess
import sys
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.messages import (
    Message,
    broken_rules,
    buttons_of,
    components,
    counts,
    entries,
    messages,
    moments,
    players,
    words_of,
)
from tonearm.discord import cards
from tonearm.discord.components import private
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
from tonearm.music.player import Player, Playing
from tonearm.music.track import Entry, Track

NOW = 1_700_000_000_000
SONG = Track("x", "Blue in Green", "Miles Davis", 225_000, "https://a.example/blue", "https://a.example/blue.jpg")
RADIO = Track("x", "Radio", is_stream=True)


def player(track: Track = SONG, *, at: int = 25_000, paused: bool = False, volume: int = 100) -> Player:
    return Player(1, 2, Playing("abc", Entry("e", track, 42), at, NOW, NOW), paused, volume, "abc")


@given(messages())
@settings(max_examples=100, deadline=None)
def test_any_state_gives_a_message_within_discords_rules(body: Message) -> None:
    assert broken_rules(body) == []


@given(players, counts, st.lists(entries, min_size=10, max_size=10), st.integers(0, 1_000), moments)
@settings(max_examples=20, deadline=None)
def test_a_full_page_of_long_titles_fits(player: Player, length: int, page: list[Entry], number: int, now: int) -> None:
    long = [Entry(e.id, Track("x", "*" * 500, "", 2**62, "https://a.example/" + "x" * 120), 2**63 - 1) for e in page]
    assert broken_rules(cards.queue_page(player, length, long, first=10 * number, now_ms=now)) == []


def test_the_player_message_says_everything_and_needs_no_edit() -> None:
    body = cards.player_message(player(volume=60), 12, following=RADIO, now_ms=NOW)
    read = words_of(body)
    for said in (
        "[Blue in Green](https://a.example/blue)",
        "Miles Davis",
        "3:45",
        "<@42>",
        f"<t:{(NOW + 200_000) // 1000}:R>",
        "Volume 60%",
        "Next: Radio",
        "12 waiting",
    ):
        assert said in read
    assert {"type": 11, "media": {"url": "https://a.example/blue.jpg"}} in list(components(body))
    # The moment of its making does not change it while the track plays on.
    assert cards.player_message(player(volume=60), 12, following=RADIO, now_ms=NOW + 60_000) == body


def test_the_usual_is_not_said() -> None:
    read = words_of(cards.player_message(player(), 0, following=None, now_ms=NOW))
    assert "Volume" not in read
    assert "Next" not in read
    assert "waiting" not in read


@pytest.mark.parametrize(("paused", "first"), [(False, "pause"), (True, "resume")])
def test_the_buttons_state_the_wanted_result(paused: bool, first: str) -> None:
    expected = [f"v1:{first}:abc", "v1:skip:abc", "v1:stop:abc"]
    assert buttons_of(cards.player_message(player(paused=paused), 0, following=None, now_ms=NOW)) == expected
    assert buttons_of(cards.now_playing(player(paused=paused), 0, now_ms=NOW)) == expected


@pytest.mark.parametrize("waiting", [0, 1, 12])
def test_when_nothing_plays_there_is_nothing_to_press(waiting: int) -> None:
    body = cards.player_message(Player(), waiting, following=SONG if waiting else None, now_ms=NOW)
    assert buttons_of(body) == []
    assert "Nothing is playing" in words_of(body)
    assert ("waiting" in words_of(body)) == bool(waiting)
    assert cards.now_playing(Player(), waiting, now_ms=NOW) == body


def test_a_pause_has_no_moment_that_passes() -> None:
    read = words_of(cards.player_message(player(paused=True), 0, following=None, now_ms=NOW + 5_000))
    assert "<t:" not in read
    assert "Paused at 0:25 of 3:45" in read


def test_a_stream_is_live() -> None:
    read = words_of(cards.player_message(player(RADIO), 0, following=None, now_ms=NOW))
    assert "live" in read
    assert "0:00" not in read
    assert "live for 0:30" in words_of(cards.now_playing(player(RADIO), 0, now_ms=NOW + 5_000))


@pytest.mark.parametrize(("at", "done"), [(0, 0), (112_500, 8), (225_000, 16)])
def test_the_bar_shows_how_far_it_is(at: int, done: int) -> None:
    read = words_of(cards.now_playing(player(at=at, paused=True), 0, now_ms=NOW))
    assert "━" * done + "●" + "─" * (16 - done) in read


OUTCOMES: list[tuple[Outcome, list[str]]] = [
    (Started(SONG), ["Now playing", "[Blue in Green](https://a.example/blue)", "Miles Davis · 3:45"]),
    (Started(SONG, 1_200, "Kind_of"), ["1,200 more tracks", r"**Kind\_of**"]),
    (Started(SONG, 0, "Jazz", 1, 50), ["1 track did not fit: 50 can wait."]),
    (Queued((SONG,), 1), ["Queued as next", f"<t:{(NOW + 200_000) // 1000}:R>"]),
    (Queued((SONG,), 7), ["number 7"]),
    (
        Queued((SONG, RADIO), 3, "Jazz", 5),
        ["2 tracks", "**Jazz**", "3 to 4", "3:45 and live", "5 tracks did not fit"],
    ),
    (Paused(SONG, 61_000), ["Paused", "1:01 of 3:45"]),
    (Resumed(RADIO, 61_000), ["Going on with **Radio**"]),
    (Skipped(SONG, RADIO), ["Skipped", "Now playing **Radio**"]),
    (Skipped(SONG, None), ["at its end"]),
    (Stopped(0), ["Stopped."]),
    (Stopped(1), ["1 waiting track removed"]),
    (Left(77), ["<#77>", "kept: 3 tracks"]),
    (Sought(SONG, 61_000), ["[Blue in Green]", "is at 1:01 of 3:45"]),
    (VolumeSet(70), ["**70%**", "▰" * 7 + "▱" * 3]),
    (VolumeSet(0), ["🔇", "**0%**"]),
    (VolumeSet(200), ["**200%**", "▰" * 10]),
]


@pytest.mark.parametrize(("outcome", "said"), OUTCOMES)
def test_outcomes(outcome: Outcome, said: list[str]) -> None:
    body = cards.outcome(outcome, player(), queue_length=3, now_ms=NOW)
    assert [part for part in said if part not in words_of(body)] == []
    assert buttons_of(body) == []


def test_the_outcomes_above_are_all() -> None:
    assert {type(outcome) for outcome, _ in OUTCOMES} == set(get_args(Outcome))


def page_of(length: int, first: int) -> Message:
    page = [Entry(f"e{n}", SONG, 42) for n in range(first, min(first + 10, length))]
    return cards.queue_page(player(), length, page, first=first, now_ms=NOW)


def test_a_short_queue_has_no_pages() -> None:
    body = page_of(3, 0)
    assert buttons_of(body) == []
    read = words_of(body)
    assert "3 tracks waiting" in read
    assert "11:15 in all" in read
    assert "` 1`" in read
    assert "` 3`" in read
    assert "Blue in Green" in read


def test_pages_lead_on_and_back() -> None:
    states = {}
    for first in (0, 10, 20):
        body = page_of(25, first)
        states[first] = [
            (part["custom_id"], part.get("disabled", False)) for part in components(body) if part["type"] == 2
        ]
    assert states == {
        0: [("v1:page:0", True), ("v1:page:2", False)],
        10: [("v1:page:1", False), ("v1:page:3", False)],
        20: [("v1:page:2", False), ("v1:page:4", True)],
    }
    assert "page 2 of 3" in words_of(page_of(25, 10))
    assert "`11`" in words_of(page_of(25, 10))
    assert [cards.first_of_page(page) for page in (0, 1, 2, 3)] == [0, 0, 10, 20]


def test_a_page_that_is_gone_leads_back_to_the_last() -> None:
    body = page_of(15, 90)
    assert "nothing on this page any more" in words_of(body)
    assert ("v1:page:2", False) in [
        (part["custom_id"], part.get("disabled", False)) for part in components(body) if part["type"] == 2
    ]


def test_an_empty_queue_says_what_to_do() -> None:
    assert "`/play`" in words_of(cards.queue_page(Player(), 0, [], first=0, now_ms=NOW))


def test_only_a_private_message_is_ephemeral() -> None:
    body = cards.sentence("No.")
    assert body["flags"] == 1 << 15
    assert private(body)["flags"] == 1 << 15 | 1 << 6
    assert body["flags"] == 1 << 15


def test_a_sentence_is_shown_as_it_is() -> None:
    assert words_of(cards.sentence("I am playing in <#5>.")) == "I am playing in <#5>."


def test_looks_need_no_network() -> None:
    program = "import sys, tonearm.discord.cards, tonearm.discord.snowflake; print('aiohttp' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=30)
    assert ran.stdout.strip() == "False"

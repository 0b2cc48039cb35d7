import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.support.messages import NASTY, addresses, words
from tonearm.discord.text import count, from_now, linked, web_address
from tonearm.wording import clock, escape, plain, shown

ESCAPED = re.compile(r"\\(.)", re.DOTALL)
LINK = re.compile(r"\[(?P<text>[^\[\]]*)\]\((?P<address>https?://[^\s()<>\[\]\"\\]+)\)")


@given(words, st.integers(1, 200))
@example("\ud800", 5)
@example("a\u200db", 5)
@example("e" + "\u0301" * 500, 3)
def test_a_plain_line_is_short_and_shows_all_it_holds(text: str, most: int) -> None:
    line = plain(text, most)
    assert len(line) <= most
    assert line == line.strip()
    assert not set(line) & set("\n\r\t\0\u202a\u202b\u202d\u202e\u2066\u2067\u2068\u2069\u200b\u200e\u200f\ufeff\ud800")
    assert "  " not in line
    assert not re.search("\u0301{5}", line)
    line.encode()


@given(words)
def test_escaping_takes_nothing_away_and_leaves_no_sign_alone(text: str) -> None:
    escaped = escape(text)
    assert ESCAPED.sub(r"\1", escaped) == text
    assert not re.search(r"[*_~`|>#\[\]<:@]", ESCAPED.sub("", escaped))


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("AC/DC - T.N.T. (Live)", "AC/DC - T.N.T. (Live)"),
        ("<@123> @everyone", r"\<\@123\> \@everyone"),
        ("snake_case", r"snake\_case"),
        ("a\nb\r\n\r\nc", "a b c"),
        ("\u202eabc\u200b", "abc"),
        ("", "Untitled"),
        (" \u200b\u3164\u2800 ", "Untitled"),
        ("👩\u200d🚀 and a\u200db", "👩\u200d🚀 and ab"),
        ("نام\u200cها", "نام\u200cها"),
        ("x" * 31, "x" * 29 + "…"),
    ],
)
def test_what_is_shown(text: str, seen: str) -> None:
    assert shown(text, 30) == seen


@given(addresses, st.integers(1, 600))
def test_an_address_can_stand_in_a_link(uri: str | None, most: int) -> None:
    address = web_address(uri, most=most)
    if address is not None:
        assert len(address) <= most
        assert re.fullmatch(r"https?://[A-Za-z0-9._-]+(:\d+)?([/?#][^\s()<>\[\]\"\\^`{}|]*)?", address)
        assert address.isascii()
        assert address.count("#") <= 1
        assert web_address(address, most=most) == address


@pytest.mark.parametrize(
    ("uri", "address"),
    [
        ("https://youtu.be/x?t=3&a=b#c", "https://youtu.be/x?t=3&a=b#c"),
        ("https://en.wikipedia.org/wiki/A_(b)", "https://en.wikipedia.org/wiki/A_%28b%29"),
        ("https://a.example/%41%zz/ü", "https://a.example/%41%25zz/%C3%BC"),
        ("https://a.example:8080/x", "https://a.example:8080/x"),
        ("https://me:secret@a.example/x", None),
        ("https://@a.example/x", None),
        ("https://аpple.example/", None),  # the first letter is Cyrillic
        ("file:///etc/passwd", None),
        ("javascript:alert(1)", None),
        ("https:///x", None),
        ("https://a.example:port/", None),
        ("/home/me/song.mp3", None),
        ("https://a.example/\ud800", None),
        (None, None),
        ("", None),
    ],
)
def test_addresses(uri: str | None, address: str | None) -> None:
    assert web_address(uri) == address


@given(words, addresses)
def test_a_link_is_whole_or_none(text: str, uri: str | None) -> None:
    made = linked(text, uri, 60, most_link=150)
    without_escapes = ESCAPED.sub("", made)
    if web_address(uri, most=150) is None or "://" in plain(text, 60):
        assert "](" not in without_escapes
    else:
        assert LINK.fullmatch(without_escapes)
    assert len(made) <= 2 * 60 + 150 + 4


def test_brackets_in_a_link_become_parentheses() -> None:
    assert linked("Song [Official Video", "https://a.example/", 60) == "[Song (Official Video](https://a.example/)"


def test_text_with_an_address_of_its_own_is_no_link() -> None:
    assert linked("https://good.example", "https://bad.example/", 60) == r"https\://good.example"


@pytest.mark.parametrize("text", NASTY)
def test_what_is_nasty_has_no_meaning(text: str) -> None:
    without_escapes = ESCAPED.sub("", shown(text, 100))
    assert not re.search(r"[*_~`|>#\[\]<:@\n]", without_escapes)


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (0, "0:00"),
        (999, "0:00"),
        (225_000, "3:45"),
        (3_599_999, "59:59"),
        (3_723_000, "1:02:03"),
        (360_000_000, "100:00:00"),
        (-5, "0:00"),
    ],
)
def test_times(ms: int, text: str) -> None:
    assert clock(ms) == text


def test_moments() -> None:
    assert from_now(1_700_000_000_999) == "<t:1700000000:R>"
    assert from_now(-1) is None
    assert from_now(8_640_000_000_001_000) is None


def test_counts() -> None:
    assert [count(0, "track"), count(1, "track"), count(2_000, "track")] == ["0 tracks", "1 track", "2,000 tracks"]

"""The file of an export: it says everything, and nothing that does not fit is read."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.scenes import NOW, idle
from tonearm.errors import InvalidDocument
from tonearm.guild_data import document as module
from tonearm.guild_data.document import make_document, read_document, write_document
from tonearm.music.actions import start
from tonearm.music.guild_settings import MOST_SECONDS, GuildSettings
from tonearm.music.player import MAX_VOLUME, Player
from tonearm.music.track import Entry, Track
from tonearm.premium.grants import Event, Source, fold
from tonearm.premium.plans import PlanId
from tonearm.premium.states import Kind
from tonearm.redis.guilds import LogEntry

AT = datetime.fromtimestamp(NOW / 1000, UTC)
EVENT = Event("e1", Kind.ACTIVATE, AT, PlanId.PRO, None, payer="discord:5")


def entry(name: str) -> Entry:
    return Entry(f"old:{name}", Track("QAAA+/8=", name, "Author", 200_000, "https://x/y"), 7)


def whole(**changes: Any) -> Any:
    known: dict[str, Any] = {
        "settings": GuildSettings(),
        "player": start(idle(), entry("now"), NOW - 10_000),
        "queue": [entry("next"), entry("last")],
        "history": [entry("before")],
        "log": [LogEntry("i:1", "play", NOW, 7)],
        "grants": [fold(1, Source.MANUAL, "1", [EVENT])],
        "events": [EVENT],
    }
    return make_document(1, AT, **{**known, **changes})


def altered(*path: str | int, value: Any) -> bytes:
    """The file with something else at one place."""
    said = msgspec.to_builtins(whole())
    place = said
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    return msgspec.json.encode(said)


def test_what_is_written_is_read() -> None:
    document = whole()
    assert read_document(write_document(document)) == document


def test_what_played_is_the_first_that_waits_again_under_a_name_of_its_own() -> None:
    entries = whole().entries("w:imp")
    assert [(each.id, each.track.title, each.user) for each in entries] == [
        ("w:imp:0", "now", 7),
        ("w:imp:1", "next", 7),
        ("w:imp:2", "last", 7),
    ]
    assert [each.track for each in whole(player=Player()).entries("x")] == [entry("next").track, entry("last").track]


settings = st.builds(
    GuildSettings,
    st.integers(0, MAX_VOLUME),
    st.integers(0, MOST_SECONDS),
    st.integers(0, MOST_SECONDS),
    st.booleans(),
    st.booleans(),
)


@given(settings)
def test_any_settings_come_back(wanted: GuildSettings) -> None:
    assert read_document(write_document(whole(settings=wanted))).guild_settings() == wanted


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("more",), 1),
        (("settings", "more"), 1),
        (("queue", 0, "track", "more"), 1),
        (("settings", "default_volume"), MAX_VOLUME + 1),
        (("settings", "alone_seconds"), -1),
        (("settings", "always_on"), "yes"),
        (("queue", 0, "track", "encoded"), "no base64!"),
        (("queue", 0, "track", "title"), "x" * 4_001),
        (("queue", 0, "requested_by"), "somebody"),
        (("queue",), [msgspec.to_builtins(whole())["queue"][0]] * 10_001),
        (("exported_at",), "2026-01-01T00:00:00"),
        (("log", 0, "user_id"), "-1"),
    ],
)
def test_what_does_not_fit_makes_all_of_it_invalid(path: tuple[str | int, ...], value: Any) -> None:
    with pytest.raises(InvalidDocument, match=r"^The file does not fit: .*\.$") as caught:
        read_document(altered(*path, value=value))
    *above, last = (step for step in path if isinstance(step, str))
    assert (f"`{last}`" if last == "more" else last) in str(caught.value)
    assert all(step in str(caught.value) for step in above)


def test_a_file_that_is_too_long_is_not_even_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_BYTES", 2**20)
    with pytest.raises(InvalidDocument, match=r"^The file has more than 1 MiB\.$"):
        read_document(b" " * (2**20 + 1))


def test_deep_nests_and_broken_text_are_no_json() -> None:
    for raw in (b"[" * 100_000, b'"\xff"', b""):
        with pytest.raises(InvalidDocument):
            read_document(raw)


@given(st.binary(max_size=200))
def test_whatever_comes_is_refused_in_a_sentence(raw: bytes) -> None:
    with pytest.raises(InvalidDocument, match=r"^The file .*\.$"):
        read_document(raw)

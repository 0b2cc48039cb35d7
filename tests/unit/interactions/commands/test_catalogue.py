"""The commands that there are."""

import sys
from types import SimpleNamespace

import pytest

from interactions import commands
from interactions.commands import catalogue
from interactions.commands.declare import button, command
from tonearm.errors import StartFailed
from tonearm.jobs.job import CONTROL_VALID_MS, PLAY_VALID_MS

PUBLIC = {"play", "pause", "resume", "skip", "stop", "leave", "seek", "volume", "247"}
READING = {"queue", "nowplaying", "help"}
PRIVATE = {*READING, "premium", "settings"}


def test_all_are_found_with_their_visibility():
    found = catalogue().commands
    assert {name for name, each in found.items() if not each.private} == PUBLIC
    assert {name for name, each in found.items() if each.private} == PRIVATE
    players = {"pause", "resume", "skip", "stop", "page"}
    assert set(catalogue().buttons) == {
        *players,
        "trial",
        "subscribe",
        "manage",
        "setvolume",
        "setswitch",
        "setleaving",
    }
    assert set(catalogue().forms) == {"leaving"}


def test_those_that_change_something_are_jobs_with_a_time():
    found = catalogue().commands
    assert {name for name, each in found.items() if each.reads} == READING
    assert {name: each.valid_ms for name, each in found.items() if name in PUBLIC} == {
        **dict.fromkeys(PUBLIC, CONTROL_VALID_MS),
        "play": PLAY_VALID_MS,
    }


def test_all_are_for_guilds_only():
    for each in catalogue().commands.values():
        assert each.declaration()["contexts"] == [0]
        assert each.declaration()["integration_types"] == [0]


@pytest.fixture
def another_module(monkeypatch):
    """A file more in the package, with what it declares."""
    commands.catalogue.cache_clear()

    def another(**declared):
        monkeypatch.setitem(sys.modules, "interactions.commands.more", SimpleNamespace(**declared))
        found = [*commands.pkgutil.iter_modules(commands.__path__), SimpleNamespace(name="more")]
        monkeypatch.setattr(commands.pkgutil, "iter_modules", lambda path: found)
        return commands.catalogue()

    yield another
    commands.catalogue.cache_clear()


def test_adding_a_file_adds_its_commands_and_buttons(another_module):
    @command("More.")
    def more(call):
        return None

    @button("more")
    def more_button(click):
        return None

    found = another_module(more=more, more_button=more_button)
    assert found.commands["more"] is more
    assert found.buttons["more"] is more_button


def test_a_name_that_is_declared_twice_is_a_mistake(another_module):
    @command("Again.")
    def pause(call):
        return None

    with pytest.raises(StartFailed, match="pause is declared twice"):
        another_module(pause=pause)

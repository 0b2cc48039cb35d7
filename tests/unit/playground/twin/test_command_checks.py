"""Rules for application commands that schemas do not catch."""

from typing import Any

import pytest

from playground.twin.command_checks import characters, check_choices, check_command, check_set, valid_name
from playground.twin.commands import Commands
from playground.twin.errors import DiscordError
from playground.twin.snowflakes import Snowflakes


def command(**more: Any) -> dict[str, Any]:
    return {"name": "play", "description": "Play", **more}


def option(kind: int = 3, name: str = "query", **more: Any) -> dict[str, Any]:
    return {"type": kind, "name": name, "description": "What", **more}


def sub(*options: dict[str, Any], name: str = "add", kind: int = 1) -> dict[str, Any]:
    return {"type": kind, "name": name, "description": "x", "options": list(options)}


@pytest.mark.parametrize("name", ["play", "now-playing", "a_b", "ü", "再生", "बजाओ", "เล่น", "x" * 32, "it's"])
def test_names(name: str) -> None:
    assert valid_name(name)


@pytest.mark.parametrize("name", ["", "Play", "a b", "x" * 33, "a.b", "♫", None, 5])
def test_no_names(name: object) -> None:
    assert not valid_name(name)


CHOICE = {"name": "A", "value": "a"}

GOOD = [
    command(),
    command(
        contexts=[0], integration_types=[0, 1], options=[option(required=True, autocomplete=True), option(4, "at")]
    ),
    command(options=[option(choices=[CHOICE])]),
    command(options=[sub(option()), sub(sub(option()), name="group", kind=2)]),
    {"name": "Play This", "type": 3},
]


@pytest.mark.parametrize("body", GOOD, ids=range(len(GOOD)))
def test_what_is_right(body: dict[str, Any]) -> None:
    assert check_command(body) == []


BAD = [
    command(name="Play"),
    command(description=""),
    command(description="x" * 101),
    command(contexts=[]),
    command(contexts=[0, 0]),
    command(contexts=[3]),
    command(integration_types=[2]),
    command(name_localizations={"de": "Spiel"}),
    command(description_localizations={"de": ""}),
    command(options=[option(name=f"o{n}") for n in range(26)]),
    command(options=[option(), option()]),
    command(options=[option(name="a"), option(name="b", required=True)]),
    command(options=[option(), sub()]),
    command(options=[sub(sub(sub()), kind=2)]),
    command(options=[sub(option(), kind=2)]),
    command(options=[option(12)]),
    command(options=[option(name="Query")]),
    command(options=[option(autocomplete=True, choices=[CHOICE])]),
    command(options=[option(5, autocomplete=True)]),
    command(options=[option(choices=[CHOICE, CHOICE])]),
    command(options=[option(choices=[{"name": "A", "value": 1}])]),
    command(options=[option(4, min_value=5, max_value=1)]),
    command(options=[option(min_value=1)]),
    command(options=[option(options=[option()])]),
    command(options=[option(name=f"o{n}", choices=[{"name": f"{c} " + "x" * 90, "value": "y" * 99} for c in range(25)])
                     for n in range(2)]),
    {"name": "", "type": 2},
    {"name": "x", "type": 2, "description": "x"},
    {"name": "x", "type": 2, "options": [option()]},
]  # fmt: skip


@pytest.mark.parametrize("body", BAD, ids=range(len(BAD)))
def test_what_is_wrong(body: dict[str, Any]) -> None:
    assert check_command(body)


def test_characters_count_the_longest_localization() -> None:
    body = command(name_localizations={"de": "spielen", "fr": "jouer"}, options=[option(choices=[CHOICE])])
    assert characters(body) == len("spielen") + len("Play") + len("query") + len("What") + len("Aa")


def test_sets() -> None:
    assert check_set([command(name=f"c{n}") for n in range(100)]) == []
    assert check_set([command(name=f"c{n}") for n in range(101)])
    assert check_set([command(), command()])
    assert check_set([command(), {"name": "play", "type": 2}]) == []


def test_choices_of_autocomplete() -> None:
    assert not list(check_choices([{"name": "A", "value": 2.5}], 10, ()))
    assert not list(check_choices([{"name": "A", "value": 2}], 4, ()))
    for kind, value in ((4, 2.5), (4, True), (4, 2**54), (3, "x" * 101), (3, ""), (10, "1")):
        assert list(check_choices([{"name": "A", "value": value}], kind, ()))
    assert list(check_choices([CHOICE] * 26, 3, ()))
    assert list(check_choices([{"name": "", "value": "a"}], 3, ()))


def test_a_guilds_own_command_wins() -> None:
    commands = Commands(1, Snowflakes())
    commands.replace(None, [command(), command(name="stop")])
    commands.replace(7, [command(description="Ours")])
    found = commands.find(7, "play")
    assert found is not None
    assert found["description"] == "Ours"
    found = commands.find(8, "play")
    assert found is not None
    assert found["description"] == "Play"
    assert commands.find(7, "stop") is not None
    assert commands.find(7, "nothing") is None
    with pytest.raises(DiscordError) as refused:
        commands.create(None, command(name="Bad"))
    assert refused.value.errors == {
        "name": {"_errors": [{"code": "APPLICATION_COMMAND_INVALID_NAME", "message": "'Bad' is not a command name"}]}
    }

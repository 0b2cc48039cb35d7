"""What the HTTP side says, against Discord's published document, where it is at hand."""

import json
import os
from pathlib import Path

import jsonschema_rs
import pytest

from interactions.commands.sync import declared
from interactions.discord import at_once, respond
from tests.support.interactions.stub_node import answer
from tonearm.discord import cards
from tonearm.music.player import Player, Playing
from tonearm.music.track import Entry, Track
from tonearm.sentences import Sentence

FOLDER = os.environ.get("TONEARM_GROUND_TRUTH")
pytestmark = pytest.mark.skipif(not FOLDER, reason="TONEARM_GROUND_TRUTH names no folder with Discord's document")

KINDS = {
    1: "PongInteractionCallbackRequest",
    4: "CreateMessageInteractionCallbackRequest",
    5: "CreateMessageInteractionCallbackRequest",
    6: "UpdateMessageInteractionCallbackRequest",
    7: "UpdateMessageInteractionCallbackRequest",
    8: "ApplicationCommandAutocompleteCallbackRequest",
}


@pytest.fixture(scope="module")
def document():
    return json.loads(Path(FOLDER, "discord-openapi.json").read_text())


@pytest.fixture(scope="module")
def problems(document):
    """``problems(schema, value)``: what is wrong with a value."""

    def problems(schema, value):
        root = {"allOf": [schema], "components": document["components"]}
        validator = jsonschema_rs.Draft202012Validator(root)
        return [f"{'/'.join(map(str, error.instance_path))}: {error.message}" for error in validator.iter_errors(value)]

    return problems


def entries(count):
    return [
        Entry(f"e{n}", Track("e", "A title " * 40, "An author", 60_000, "https://example.org/x"), 7)
        for n in range(count)
    ]


PLAYER = Player(4, 5, Playing("abc", entries(1)[0], 0, 0, 0), last_play="abc")
FILL = {"channel": 7, "query": "words", "reason": "it is broken", "limit": 20, "link": "https://example.org"}
FILL |= {"option": "query", "seconds": 3, "id": "i:7", "length": "3:00"}
FILL |= {"what": "The queue", "plan": "Free", "more": "2,000", "needed": "Premium", "state": "expired"}

RESPONSES = {
    "pong": at_once.PONG,
    "no choices": at_once.NO_CHOICES,
    **{
        f"deferral {private} {component}": respond.deferral(private=private, component=component)
        for private in (False, True)
        for component in (False, True)
    },
    **{
        f"answer {private} {component}": respond.answer(answer(private=private), component=component)
        for private in (False, True)
        for component in (False, True)
    },
    **{f"sentence {each.name}": respond.sentence(each.format(**FILL)) for each in Sentence},
    "queue": respond.message(cards.queue_page(PLAYER, 500, entries(10), first=10, now_ms=5), private=True),
    "page": respond.message(cards.queue_page(PLAYER, 500, entries(10), first=10, now_ms=5), private=True, updates=True),
    "empty queue": respond.message(cards.queue_page(Player(), 0, [], first=0, now_ms=5), private=True),
    "now playing": respond.message(cards.now_playing(PLAYER, 3, now_ms=5), private=True),
    "nothing playing": respond.message(cards.now_playing(Player(), 0, now_ms=5), private=True),
}


@pytest.mark.parametrize("name", RESPONSES)
def test_a_response_is_one_that_discord_takes(problems, name):
    body = json.loads(RESPONSES[name])
    assert problems({"$ref": f"#/components/schemas/{KINDS[body['type']]}"}, body) == []


def test_the_check_notices_a_wrong_response(problems):
    schema = {"$ref": f"#/components/schemas/{KINDS[4]}"}
    assert problems(schema, {"type": 4, "data": {"flags": 64, "colour": 1}})
    assert problems(schema, {"type": 3})


def test_the_commands_are_what_discord_takes(document, problems):
    operation = document["paths"]["/applications/{application_id}/commands"]["put"]
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    assert problems(schema, declared()) == []
    wrong = declared()
    wrong[0]["colour"] = 1
    assert problems(schema, wrong)


def test_the_commands_keep_the_limits_that_no_schema_knows():
    names = [command["name"] for command in declared()]
    assert len(set(names)) == len(names) <= 100
    for command in declared():
        assert command["name"] == command["name"].lower()
        assert 1 <= len(command["description"]) <= 100
        required = [option["required"] for option in command["options"]]
        assert required == sorted(required, reverse=True)
        assert len(json.dumps(command)) <= 8_000

import re

import pytest

from tonearm import errors
from tonearm.errors import Away, DiscordAway, DiscordError, InvalidInteraction, Refused, TonearmError, UserError
from tonearm.sentences import Sentence

CLASSES = [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, Exception)]


def children(kind: type) -> list[str]:
    return sorted(child.__name__ for child in kind.__subclasses__() if child.__module__ == "tonearm.errors")


def test_the_drawing_is_the_tree() -> None:
    drawn: dict[str, list[str]] = {}
    above = ["TonearmError"]
    for line in (errors.__doc__ or "").splitlines():
        match = re.match(r"([│ ]*)[├└]── (\w+)", line)
        if match:
            depth = len(match.group(1)) // 4 + 1
            above[depth:] = [match.group(2)]
            drawn.setdefault(above[depth - 1], []).append(match.group(2))
    assert {name: sorted(names) for name, names in drawn.items()} == {
        kind.__name__: children(kind) for kind in CLASSES if children(kind)
    }


@pytest.mark.parametrize("kind", CLASSES)
def test_all_are_ours(kind: type[Exception]) -> None:
    assert issubclass(kind, TonearmError)
    assert kind.__doc__


@pytest.mark.parametrize("kind", Away.__subclasses__())
def test_who_is_away_says_so_and_tells_the_log_more(kind: type[Away]) -> None:
    error = kind("connection refused")
    assert str(error) == kind.default.value
    assert error.detail == "connection refused"
    assert error.sentence is kind.default
    assert kind().detail == ""


def test_a_refusal_is_a_whole_sentence() -> None:
    error = Refused(Sentence.OTHER_CHANNEL, channel=5)
    assert str(error) == "I am playing in <#5>. Join me there and try again."
    assert error.sentence is Sentence.OTHER_CHANNEL
    assert isinstance(error, UserError)


def test_a_refusal_of_discord_names_the_route() -> None:
    error = DiscordError("PATCH /webhooks/{application}/{token}", 404, 10015, "Unknown Webhook")
    assert str(error) == "PATCH /webhooks/{application}/{token}: 404, code 10015: Unknown Webhook"
    assert (error.status, error.code, error.message) == (404, 10015, "Unknown Webhook")
    assert not isinstance(error, (UserError, DiscordAway))


def test_what_is_no_interaction_has_a_status() -> None:
    assert InvalidInteraction("x").status == 400
    assert InvalidInteraction("x", status=413).status == 413

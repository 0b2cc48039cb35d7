"""Commands declared as functions."""

from enum import StrEnum
from typing import Annotated

import pytest

from interactions.commands.declare import MAX_TEXT, Option, button, command
from interactions.discord.decode import Option as Given
from tonearm.errors import Refused
from tonearm.sentences import Sentence


class Fruit(StrEnum):
    APPLE = "apple"
    PEAR = "pear"


@command("Everything.", private=True, valid_ms=7, permissions=1 << 5)
def everything(
    call,
    text: Annotated[str, Option("A text.", least=2, most=4)],
    number: Annotated[int, Option("A number.", most=9, beyond=Sentence.VOLUME_RANGE)] = 1,
    yes: Annotated[bool, Option("Yes or no.")] = False,
    share: Annotated[float, Option("A share.", least=0)] = 0.5,
    fruit: Annotated[Fruit, Option("A fruit.", labels={"pear": "A pear"})] = Fruit.APPLE,
):
    return text


@command("Reads.")
async def reads(call):
    return {}


@button("turn", updates=True)
async def turn(click):
    return {}


def given(**values):
    return [Given(name, 3, value) for name, value in values.items()]


def refusal(declared, options):
    with pytest.raises(Refused) as caught:
        declared.bind(options)
    return caught.value


def test_the_declaration_is_made_from_the_signature():
    assert everything.declaration() == {
        "type": 1,
        "name": "everything",
        "description": "Everything.",
        "options": [
            {
                "type": 3,
                "name": "text",
                "description": "A text.",
                "required": True,
                "min_length": 2,
                "max_length": 4,
            },
            {"type": 4, "name": "number", "description": "A number.", "required": False, "max_value": 9},
            {"type": 5, "name": "yes", "description": "Yes or no.", "required": False},
            {"type": 10, "name": "share", "description": "A share.", "required": False, "min_value": 0},
            {
                "type": 3,
                "name": "fruit",
                "description": "A fruit.",
                "required": False,
                "choices": [{"name": "apple", "value": "apple"}, {"name": "A pear", "value": "pear"}],
            },
        ],
        "default_member_permissions": "32",
        "contexts": [0],
        "integration_types": [0],
    }
    assert (everything.private, everything.valid_ms, everything.reads) == (True, 7, False)


def test_everybody_may_use_a_command_that_names_no_permissions():
    assert reads.declaration()["default_member_permissions"] is None


def test_a_coroutine_function_reads():
    assert reads.reads
    assert turn.reads
    assert (turn.action, turn.updates) == ("turn", True)


def test_options_become_typed_arguments():
    assert everything.bind(given(text="abc")) == {"text": "abc"}
    assert everything.bind(given(text="ab", number=9, yes=True, share=2, fruit="pear")) == {
        "text": "ab",
        "number": 9,
        "yes": True,
        "share": 2.0,
        "fruit": Fruit.PEAR,
    }
    assert type(everything.bind(given(text="ab", share=2))["share"]) is float


@pytest.mark.parametrize("options", [{}, {"number": 3}, {"text": "abc", "other": 1}])
def test_options_of_another_command_are_of_an_old_one(options):
    assert refusal(everything, given(**options)).sentence is Sentence.UNKNOWN_COMMAND


def test_an_option_given_twice_is_refused():
    assert refusal(everything, given(text="abc") * 2).sentence is Sentence.UNKNOWN_COMMAND


def test_a_subcommand_is_no_option():
    nested = Given("text", 1, None, (Given("a", 3, "b"),))
    assert refusal(everything, [nested]).sentence is Sentence.UNKNOWN_COMMAND


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"text": 5}, "The value of `text` doesn't fit: it is of another kind."),
        ({"text": None}, "The value of `text` doesn't fit: it is of another kind."),
        ({"text": "a"}, "The value of `text` doesn't fit: at least 2 characters."),
        ({"text": "abcde"}, "The value of `text` doesn't fit: at most 4 characters."),
        ({"text": "abc", "number": True}, "The value of `number` doesn't fit: it is of another kind."),
        ({"text": "abc", "number": 1.0}, "The value of `number` doesn't fit: it is of another kind."),
        ({"text": "abc", "number": 10}, "The volume goes from 0 to 9."),
        ({"text": "abc", "yes": 1}, "The value of `yes` doesn't fit: it is of another kind."),
        ({"text": "abc", "share": -1}, "The value of `share` doesn't fit: at least 0."),
        ({"text": "abc", "share": float("nan")}, "The value of `share` doesn't fit: at least 0."),
        ({"text": "abc", "fruit": "plum"}, "The value of `fruit` doesn't fit: there is no such choice."),
    ],
)
def test_a_value_that_does_not_fit_is_a_sentence(options, said):
    assert str(refusal(everything, given(**options))).startswith(said)


def test_a_text_without_a_bound_has_discords():
    @command("Text.")
    def free(call, text: Annotated[str, Option("Any.")]):
        return text

    assert free.bind(given(text="x" * MAX_TEXT))
    assert refusal(free, given(text="x" * (MAX_TEXT + 1))).sentence is Sentence.BAD_OPTION


def test_a_parameter_without_an_option_is_a_mistake():
    with pytest.raises(TypeError, match="text has no Option"):

        @command("Wrong.")
        def wrong(call, text: str):
            return text

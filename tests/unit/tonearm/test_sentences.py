"""The catalogue against the code that uses it."""

import ast
import re
import string
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import tonearm
from tonearm.errors import Refused
from tonearm.sentences import FROM_THE_WORLD, Sentence

ROOMS = ("tonearm", "interactions", "voice_nodes")
FILES = [
    file
    for room in ROOMS
    for file in sorted((Path(tonearm.__file__).parents[1] / room).rglob("*.py"))
    if file.name != "sentences.py"
]

FILLED_ELSEWHERE = {"beyond": {"limit"}}
"""Arguments that take a sentence and fill it themselves, and with what."""


class Use(NamedTuple):
    """One place where a sentence is used: with which values, ``None`` where it is only named."""

    name: str
    given: frozenset[str] | None
    where: str


def named(node: ast.AST) -> list[str]:
    """The sentences that an expression can be."""
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "Sentence":
        return [node.attr] if node.attr.isupper() else []
    if isinstance(node, ast.IfExp):
        return [*named(node.body), *named(node.orelse)]
    return []


def uses_in(file: Path) -> Iterator[Use]:
    tree = ast.parse(file.read_text(), str(file))
    filled: set[int] = set()
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        where = f"{file.name}:{node.lineno}"
        given = frozenset(keyword.arg or "**" for keyword in node.keywords)
        targets: list[tuple[ast.AST, frozenset[str]]] = []
        if isinstance(node.func, ast.Attribute) and node.func.attr == "format":
            value = node.func.value
            if isinstance(value, ast.Attribute) and value.attr == "value":
                value = value.value
            targets.append((value, given))
        elif isinstance(node.func, ast.Name) and node.func.id in ("Refused", "UserError") and node.args:
            targets.append((node.args[0], given))
        targets += [
            (keyword.value, frozenset(FILLED_ELSEWHERE[keyword.arg]))
            for keyword in node.keywords
            if keyword.arg in FILLED_ELSEWHERE
        ]
        for target, values in targets:
            filled |= {id(part) for part in ast.walk(target)}
            yield from (Use(name, values, where) for name in named(target))
    for node in ast.walk(tree):
        if id(node) not in filled and isinstance(node, ast.Attribute):
            yield from (Use(name, None, f"{file.name}:{node.lineno}") for name in named(node))


USES = [use for file in FILES for use in uses_in(file)]


def placeholders(sentence: Sentence) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(sentence.value) if name is not None}


def test_the_code_was_found() -> None:
    assert len(FILES) > 30
    assert len(USES) > 30


def test_every_sentence_is_used_and_every_used_one_exists() -> None:
    assert {use.name for use in USES} == set(Sentence.__members__)


@pytest.mark.parametrize("use", USES, ids=lambda use: f"{use.where}-{use.name}")
def test_a_sentence_is_given_what_it_asks_for(use: Use) -> None:
    assert (use.given or set()) == placeholders(Sentence[use.name])


@pytest.mark.parametrize("sentence", Sentence)
def test_sentences_are_sentences(sentence: Sentence) -> None:
    shown = sentence.format(**dict.fromkeys(placeholders(sentence), 7))
    assert shown[0].isupper() or shown[0] in "<“7"
    assert shown.endswith((".", "7"))
    assert "{" not in shown
    assert "\n" not in shown
    assert len(shown) < 300


def test_sentences_differ() -> None:
    assert len({sentence.value for sentence in Sentence}) == len(Sentence)


@pytest.mark.parametrize(
    "words", ["**bold**", "<@1>", "@everyone", "[x](https://bad.example)", "a\nb", "\u202ex", "{limit}", "`code`"]
)
@pytest.mark.parametrize("sentence", [s for s in Sentence if placeholders(s) & FROM_THE_WORLD])
def test_words_of_the_world_have_no_meaning_in_a_sentence(sentence: Sentence, words: str) -> None:
    values = {name: words if name in FROM_THE_WORLD else 7 for name in placeholders(sentence)}
    unescaped = re.sub(r"\\.", "", str(Refused(sentence, **values))).replace("`7`", "")
    assert not set(unescaped) & set("*_~`|<>@[]#\n\u202e")


def test_long_words_are_shortened() -> None:
    assert len(Sentence.NOTHING_FOUND.format(query="x" * 5_000)) < 200

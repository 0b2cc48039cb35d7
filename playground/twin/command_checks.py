"""Rules for application commands that schemas do not catch (Discord documentation, "Application Commands")."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from playground.twin.errors import Problem
from playground.twin.model import Json

LIMITS = {1: 100, 2: 15, 3: 15}
"""How many commands of each type a scope holds."""

SUBCOMMAND, GROUP = 1, 2
WITH_CHOICES = {3, 4, 10}
OPTION_TYPES = set(range(1, 12))


def valid_name(name: object) -> bool:
    """Return whether Discord takes this as the name of a slash command or an option."""
    return (
        isinstance(name, str)
        and 1 <= len(name) <= 32
        and name == name.lower()
        and all(_name_character(each) for each in name)
    )


def _name_character(character: str) -> bool:
    if character in "-_'" or unicodedata.category(character)[0] in "LN":
        return True
    return unicodedata.name(character, "").startswith(("DEVANAGARI", "THAI"))


def characters(node: Json) -> int:
    """Return how many characters a command counts: names, descriptions and choice values, the longest localization."""
    total = 0
    for key in ("name", "description"):
        texts = [node.get(key) or "", *(node.get(f"{key}_localizations") or {}).values()]
        total += max(len(text) for text in texts)
    if isinstance(node.get("value"), str):
        total += len(node["value"])
    children = [*(node.get("options") or []), *(node.get("choices") or [])]
    return total + sum(characters(child) for child in children)


def check_set(bodies: list[Json]) -> list[Problem]:
    """Return what is wrong with the commands of one scope taken together."""
    kinds = Counter(body.get("type") or 1 for body in bodies)
    problems = [
        Problem(
            (), "APPLICATION_COMMAND_TOO_MANY", f"at most {LIMITS.get(kind, 1)} commands of type {kind}, not {count}"
        )
        for kind, count in kinds.items()
        if count > LIMITS.get(kind, 1)
    ]
    names = Counter((body.get("type") or 1, body["name"]) for body in bodies)
    problems += [
        Problem((), "APPLICATION_COMMANDS_DUPLICATE_NAME", f"the name {name!r} is taken")
        for (_, name), count in names.items()
        if count > 1
    ]
    return problems


def check_command(body: Json) -> list[Problem]:
    """Return what is wrong with one command."""
    return list(_check_command(body))


def _check_command(body: Json) -> Iterator[Problem]:
    kind = body.get("type") or 1
    name = body.get("name")
    if kind == 1:
        if not valid_name(name):
            yield Problem(("name",), "APPLICATION_COMMAND_INVALID_NAME", f"{name!r} is not a command name")
        yield from _check_description(body)
        yield from _check_options(body.get("options") or [], ("options",), depth=0)
    else:
        if not isinstance(name, str) or not 1 <= len(name) <= 32:
            yield Problem(("name",), "BASE_TYPE_BAD_LENGTH", "must be 1 to 32 characters")
        if body.get("description"):
            yield Problem(("description",), "APPLICATION_COMMAND_DESCRIPTION_NOT_ALLOWED", "only for slash commands")
        if body.get("options"):
            yield Problem(("options",), "APPLICATION_COMMAND_OPTIONS_NOT_ALLOWED", "only for slash commands")
    for key in ("contexts", "integration_types"):
        yield from _check_enumeration(body.get(key), key, {0, 1, 2} if key == "contexts" else {0, 1})
    for key, value in (body.get("name_localizations") or {}).items():
        if kind == 1 and not valid_name(value):
            yield Problem(("name_localizations", key), "APPLICATION_COMMAND_INVALID_NAME", f"{value!r} is not a name")
    if (total := characters(body)) > 8000:
        yield Problem((), "APPLICATION_COMMAND_TOO_LARGE", f"at most 8000 characters, not {total}")


def _check_enumeration(values: Any, key: str, allowed: set[int]) -> Iterator[Problem]:
    if values is None:
        return
    if not isinstance(values, list) or not values or len(set(values)) < len(values) or not set(values) <= allowed:
        yield Problem((key,), "BASE_TYPE_CHOICES", f"must be different values out of {sorted(allowed)}")


def _check_description(node: Json, path: tuple[str | int, ...] = ()) -> Iterator[Problem]:
    description = node.get("description")
    if not isinstance(description, str) or not 1 <= len(description) <= 100:
        yield Problem((*path, "description"), "BASE_TYPE_BAD_LENGTH", "must be 1 to 100 characters")
    for key, value in (node.get("description_localizations") or {}).items():
        if not 1 <= len(value) <= 100:
            yield Problem((*path, "description_localizations", key), "BASE_TYPE_BAD_LENGTH", "1 to 100 characters")


def _check_options(options: list[Json], path: tuple[str | int, ...], depth: int) -> Iterator[Problem]:
    if len(options) > 25:
        yield Problem(path, "BASE_TYPE_MAX_LENGTH", f"at most 25 options, not {len(options)}")
    yield from _unique((each.get("name") for each in options), path, "APPLICATION_COMMAND_OPTIONS_NAME_ALREADY_EXISTS")
    nested = [each.get("type") in (SUBCOMMAND, GROUP) for each in options]
    if any(nested) and not all(nested):
        yield Problem(path, "APPLICATION_COMMAND_OPTIONS_TYPE_INVALID", "subcommands and other options do not mix")
    optional = False
    for index, option in enumerate(options):
        here = (*path, index)
        required = option.get("required") is True
        if required and optional:
            yield Problem(here, "APPLICATION_COMMAND_OPTIONS_REQUIRED_INVALID", "required options come first")
        optional |= not required
        yield from _check_option(option, here, depth)


def _check_option(option: Json, path: tuple[str | int, ...], depth: int) -> Iterator[Problem]:
    kind = option.get("type")
    if kind not in OPTION_TYPES:
        yield Problem((*path, "type"), "BASE_TYPE_CHOICES", f"{kind!r} is not an option type")
        return
    if not valid_name(option.get("name")):
        name = option.get("name")
        yield Problem((*path, "name"), "APPLICATION_COMMAND_INVALID_NAME", f"{name!r} is not an option name")
    yield from _check_description(option, path)
    if kind in (SUBCOMMAND, GROUP):
        if (kind == GROUP and depth > 0) or depth > 1:
            yield Problem(path, "APPLICATION_COMMAND_OPTIONS_TYPE_INVALID", "nested too deep")
        if kind == GROUP and any(each.get("type") != SUBCOMMAND for each in option.get("options") or []):
            yield Problem(path, "APPLICATION_COMMAND_OPTIONS_TYPE_INVALID", "a group holds subcommands only")
        yield from _check_options(option.get("options") or [], (*path, "options"), depth + 1)
    elif option.get("options"):
        yield Problem((*path, "options"), "APPLICATION_COMMAND_OPTIONS_TYPE_INVALID", "only subcommands have options")
    yield from _check_choices(option, path)
    yield from _check_bounds(option, path)


def _check_choices(option: Json, path: tuple[str | int, ...]) -> Iterator[Problem]:
    choices, kind = option.get("choices") or [], option.get("type")
    if option.get("autocomplete") and choices:
        code = "APPLICATION_COMMAND_OPTIONS_AUTOCOMPLETE_CHOICES"
        yield Problem((*path, "choices"), code, "autocomplete excludes choices")
    if (option.get("autocomplete") or choices) and kind not in WITH_CHOICES:
        code = "APPLICATION_COMMAND_OPTIONS_TYPE_INVALID"
        yield Problem(path, code, "only strings and numbers have choices or autocomplete")
    yield from check_choices(choices, kind, (*path, "choices"))
    names = (each.get("name") for each in choices)
    yield from _unique(names, (*path, "choices"), "APPLICATION_COMMAND_OPTIONS_CHOICE_NAME_ALREADY_EXISTS")


def check_choices(choices: list[Json], kind: Any, path: tuple[str | int, ...]) -> Iterator[Problem]:
    """Yield what is wrong with the choices of an option of type ``kind``, declared or answered to autocomplete."""
    if len(choices) > 25:
        yield Problem(path, "BASE_TYPE_MAX_LENGTH", f"at most 25 choices, not {len(choices)}")
    for index, choice in enumerate(choices):
        name, value = choice.get("name"), choice.get("value")
        if not isinstance(name, str) or not 1 <= len(name) <= 100:
            yield Problem((*path, index, "name"), "BASE_TYPE_BAD_LENGTH", "must be 1 to 100 characters")
        if not _fits(value, kind):
            yield Problem((*path, index, "value"), "BASE_TYPE_BAD_TYPE", f"{value!r} is no value of type {kind}")


def _fits(value: Any, kind: Any) -> bool:
    if kind == 3:
        return isinstance(value, str) and 1 <= len(value) <= 100
    if isinstance(value, bool) or not isinstance(value, (int, float) if kind == 10 else int):
        return False
    return abs(value) <= 2**53


def _check_bounds(option: Json, path: tuple[str | int, ...]) -> Iterator[Problem]:
    for kind, low, high in (("value", "min_value", "max_value"), ("length", "min_length", "max_length")):
        least, most = option.get(low), option.get(high)
        if least is None and most is None:
            continue
        if option.get("type") not in ({4, 10} if kind == "value" else {3}):
            yield Problem(path, "APPLICATION_COMMAND_OPTIONS_TYPE_INVALID", f"no {kind} bounds for this type")
        if least is not None and most is not None and least > most:
            yield Problem((*path, low), "BASE_TYPE_MIN", f"{low} is above {high}")


def _unique(names: Iterable[Any], path: tuple[str | int, ...], code: str) -> Iterator[Problem]:
    for name, count in Counter(names).items():
        if count > 1:
            yield Problem(path, code, f"the name {name!r} is taken")

"""Declared and registered commands, side by side (Discord's documentation, *Application Commands*)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib.metadata import entry_points
from typing import Any

Json = dict[str, Any]

CHAT_INPUT = 1
GROUP = "tonearm.declarations"

_COMMAND_DEFAULTS: Json = {
    "type": CHAT_INPUT,
    "description": "",
    "options": [],
    "default_member_permissions": None,
    "contexts": None,
    "integration_types": [0],
    "name_localizations": {},
    "description_localizations": {},
    "nsfw": False,
}
_OPTION_DEFAULTS: Json = {
    "required": False,
    "autocomplete": False,
    "options": [],
    "choices": [],
    "channel_types": [],
    "min_value": None,
    "max_value": None,
    "min_length": None,
    "max_length": None,
    "name_localizations": {},
    "description_localizations": {},
}
_CHOICE_DEFAULTS: Json = {"name_localizations": {}}
_SETS = ("contexts", "integration_types", "channel_types")


def declared() -> list[Json] | None:
    """The declarations of this version, through their entry point; ``None`` where the HTTP side is not installed."""
    found: list[Json] = []
    for entry in entry_points(group=GROUP):
        try:
            found += entry.load()()
        except ModuleNotFoundError:
            return None
    return found


def same(ours: Json, theirs: Json) -> bool:
    """Whether two declarations say the same, whatever ids, versions and defaults one of them spells out."""
    return _plain(ours, _COMMAND_DEFAULTS) == _plain(theirs, _COMMAND_DEFAULTS)


def compare(ours: Iterable[Json], theirs: Iterable[Json]) -> list[tuple[str, str]]:
    """Each command with what a synchronisation does to it: ``added``, ``changed``, ``removed`` or ``unchanged``."""
    here = {_key(command): command for command in ours}
    there = {_key(command): command for command in theirs}
    rows = []
    for key in sorted(here.keys() | there.keys()):
        if key not in there:
            change = "added"
        elif key not in here:
            change = "removed"
        else:
            change = "unchanged" if same(here[key], there[key]) else "changed"
        rows.append((change, _shown(key)))
    return rows


def _key(command: Json) -> tuple[int, str]:
    return command.get("type") or CHAT_INPUT, command["name"]


def _shown(key: tuple[int, str]) -> str:
    kind, name = key
    return f"/{name}" if kind == CHAT_INPUT else f"{name} (type {kind})"


def _plain(node: Mapping[str, Any], defaults: Json) -> Json:
    """``node`` with every default spelled out and nothing that only Discord fills in."""
    plain: Json = {"name": node["name"], **({"value": node["value"]} if "value" in node else {})}
    if defaults is _OPTION_DEFAULTS:
        plain |= {"type": node["type"], "description": node["description"]}
    for name, default in defaults.items():
        value = node.get(name)
        if value is None or (name == "min_length" and value == 0):  # says the same as leaving it out
            value = default
        plain[name] = sorted(value) if name in _SETS and value is not None else value
    if "options" in plain:
        plain["options"] = [_plain(option, _OPTION_DEFAULTS) for option in plain["options"]]
    if "choices" in plain:
        plain["choices"] = [_plain(choice, _CHOICE_DEFAULTS) for choice in plain["choices"]]
    return plain

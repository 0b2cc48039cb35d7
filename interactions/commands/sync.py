"""``tonearm commands``: what is declared here, against what Discord has.

::

    tonearm commands list
    tonearm commands sync [--dry-run] [--guild ID]

Exit codes of ``sync``: 0 when Discord has what is declared (by now), 3 when ``--dry-run`` found differences.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from interactions.commands import catalogue
from interactions.commands.declare import CHAT_INPUT
from tonearm import settings as tonearm_settings
from tonearm.discord.rest import RestClient

NEEDED = ("discord_application_id", "discord_bot_token", "discord_api_url")
DIFFERENT = 3

Json = dict[str, Any]

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


def declared() -> list[Json]:
    """The declarations of all commands, as Discord is told them."""
    return [command.declaration() for command in catalogue().commands.values()]


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


def main(argv: list[str]) -> int:
    """Runs the command line; returns the exit code.

    Raises:
        SettingsError: a setting is missing or wrong.
        DiscordAway: Discord doesn't answer.
        DiscordError: Discord refuses.
    """
    parser = argparse.ArgumentParser(prog="tonearm commands", description="Slash commands: declared and registered.")
    actions = parser.add_subparsers(dest="action", required=True)
    actions.add_parser("list", help="show the declared commands")
    sync = actions.add_parser("sync", help="register the declared commands with Discord")
    sync.add_argument("--dry-run", action="store_true", help="only show what would change; 3 when something would")
    sync.add_argument("--guild", type=int, metavar="ID", help="for this guild alone, where it shows at once")
    asked = parser.parse_args(argv)
    if asked.action == "list":
        print(_table([(f"/{each['name']}", _options(each), each["description"]) for each in declared()]))
        return 0
    return asyncio.run(_sync(asked.guild, dry_run=asked.dry_run))


async def _sync(guild: int | None, *, dry_run: bool) -> int:
    settings = tonearm_settings.load(NEEDED)
    application, ours = settings.discord_application_id, declared()
    async with RestClient(settings.discord_api_url, bot_token=settings.discord_bot_token) as rest:
        rows = compare(ours, await rest.fetch_commands(application, guild))
        print(_table(rows))
        if all(change == "unchanged" for change, _ in rows):
            print("Discord has what is declared.")
            return 0
        if dry_run:
            print("Nothing was changed.")
            return DIFFERENT
        await rest.put_commands(application, ours, guild)
        print("Discord has what is declared by now.")
        return 0


def _key(command: Json) -> tuple[int, str]:
    return command.get("type") or CHAT_INPUT, command["name"]


def _shown(key: tuple[int, str]) -> str:
    kind, name = key
    return f"/{name}" if kind == CHAT_INPUT else f"{name} (type {kind})"


def _options(command: Json) -> str:
    return " ".join(each["name"] if each["required"] else f"[{each['name']}]" for each in command["options"])


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


def _table(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )

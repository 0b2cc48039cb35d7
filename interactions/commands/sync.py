"""``tonearm commands``: the slash commands as they are declared here, and what Discord has of them.

::

    tonearm commands list
    tonearm commands sync [--dry-run] [--guild ID]

Exit codes of ``sync``: 0 when Discord has what is declared (by now), 3 when ``--dry-run`` found differences.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Sequence
from typing import Any

from interactions.commands import catalogue
from tonearm import settings as tonearm_settings
from tonearm.discord.registration import compare
from tonearm.discord.rest import RestClient

NEEDED = ("discord_application_id", "discord_bot_token", "discord_api_url")
DIFFERENT = 3

Json = dict[str, Any]


def declared() -> list[Json]:
    """The declarations of all commands, as Discord is told them."""
    return [command.declaration() for command in catalogue().commands.values()]


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


def _options(command: Json) -> str:
    return " ".join(each["name"] if each["required"] else f"[{each['name']}]" for each in command["options"])


def _table(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )

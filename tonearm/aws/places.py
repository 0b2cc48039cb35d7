"""Where what lies in the bucket. A key begins with what it is, then the guild.

So the bucket can have a lifecycle for each kind, and all of a guild is found.
"""

from __future__ import annotations

EXPORTS, IMPORTS, DEAD_LETTERS = "exports", "imports", "dead-letters"
AREAS = (EXPORTS, IMPORTS, DEAD_LETTERS)


def key_of(area: str, guild: int, name: str = "") -> str:
    """The key of something of ``guild``; without a name, what all of its keys in ``area`` begin with."""
    return f"{area}/{guild}/{name}"


def export_key(guild: int, task: str) -> str:
    """Where the file of an export is."""
    return key_of(EXPORTS, guild, f"{task}.json")


def upload_key(guild: int, task: str) -> str:
    """Where the file of an import is uploaded."""
    return key_of(IMPORTS, guild, f"{task}.json")

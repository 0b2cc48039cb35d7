"""/help."""

from __future__ import annotations

from interactions.commands.declare import Call, Message, command
from tonearm.discord.cards import sentence


@command("Show what I can do.", private=True)
async def help(call: Call) -> Message:  # noqa: ARG001
    """Every command, with what it does."""
    from interactions.commands import catalogue  # it holds this command too

    lines = (f"`/{each.name}`: {each.description}" for each in catalogue().commands.values())
    return sentence("\n".join(lines))

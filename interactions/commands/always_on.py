"""/247."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from interactions.commands.declare import Call, Option, command
from tonearm.music.actions import AlwaysOn


class Switch(StrEnum):
    """On or off."""

    ON = "on"
    OFF = "off"


@command("Stay in the voice channel, even alone or with nothing playing.", name="247")
def always_on(
    call: Call,  # noqa: ARG001
    state: Annotated[Switch, Option("On to stay, off to leave after a while.")],
) -> AlwaysOn:
    """Whether the bot leaves by itself."""
    return AlwaysOn(state is Switch.ON)

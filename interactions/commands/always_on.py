"""/247: the same switch as in /settings."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from interactions.commands.declare import Call, Option, command
from interactions.commands.premium import MANAGE_GUILD
from tonearm.jobs.errand import SetAlwaysOn


class Switch(StrEnum):
    """On or off."""

    ON = "on"
    OFF = "off"


@command("Stay in the voice channel, even alone or with nothing playing.", name="247", permissions=MANAGE_GUILD)
def always_on(
    call: Call,  # noqa: ARG001
    state: Annotated[Switch, Option("On to stay, off to leave after a while.")],
) -> SetAlwaysOn:
    """Whether the bot leaves by itself."""
    return SetAlwaysOn(state is Switch.ON)

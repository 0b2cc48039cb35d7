"""Which command or button an interaction is for, with what it says in types."""

from __future__ import annotations

from typing import Any

import msgspec

from interactions.commands import Catalogue
from interactions.commands.declare import CHAT_INPUT, Button, Call, Click, Command
from interactions.commands.forms import Form
from interactions.discord.decode import CommandCalled, ComponentUsed, Interaction, ModalSubmitted
from interactions.memory import Memory
from tonearm.discord.components import VERSION
from tonearm.errors import InvalidInteraction, Refused
from tonearm.sentences import Sentence

_MOST_VALUE = 32
_ADMINISTRATOR = 1 << 3


class Target(msgspec.Struct, frozen=True):
    """What to call: ``declared.handler(call, **arguments)``."""

    declared: Command | Button | Form
    call: Call
    arguments: dict[str, Any]


def label(catalogue: Catalogue, interaction: Interaction) -> str:
    """The interaction's name among the metrics: bounded, whatever is sent."""
    match interaction:
        case CommandCalled(data=data) if data.name in catalogue.commands:
            return data.name
        case ComponentUsed(data=data) if (action := _action(data.custom_id)) in catalogue.buttons:
            return f"button:{action}"
        case ModalSubmitted(data=data) if (action := _action(data.custom_id)) in catalogue.forms:
            return f"form:{action}"
        case _:
            return "unknown"


def route(catalogue: Catalogue, memory: Memory, interaction: Interaction) -> Target:
    """What is to be called.

    Raises:
        Refused: nothing, with the sentence that says why.
        InvalidInteraction: it lacks what every interaction has.
    """
    match interaction:
        case CommandCalled():
            return _command(catalogue, memory, interaction)
        case ComponentUsed():
            return _button(catalogue, memory, interaction)
        case ModalSubmitted():
            return _form(catalogue, memory, interaction)
        case _:
            raise InvalidInteraction("has nothing to route")


def _command(catalogue: Catalogue, memory: Memory, called: CommandCalled) -> Target:
    data = called.data
    command = catalogue.commands.get(data.name)
    if command is None or data.type != CHAT_INPUT:
        raise Refused(Sentence.UNKNOWN_COMMAND)
    call = Call(*_where(called), called.caller, memory)
    return Target(command, call, command.bind(data.options))


def _button(catalogue: Catalogue, memory: Memory, used: ComponentUsed) -> Target:
    version, _, rest = used.data.custom_id.partition(":")
    action, _, value = rest.partition(":")
    value, _, _ = value.partition(":")
    button = catalogue.buttons.get(action)
    # A play and a page are both letters and digits.
    if version != VERSION or button is None or not (value.isascii() and value.isalnum() and len(value) <= _MOST_VALUE):
        raise Refused(Sentence.OLD_BUTTON)
    click = Click(*_where(used), used.caller, memory, value, used.data.values)
    _require_permissions(used, button.permissions)
    return Target(button, click, {})


def _form(catalogue: Catalogue, memory: Memory, submitted: ModalSubmitted) -> Target:
    form = catalogue.forms.get(_action(submitted.data.custom_id))
    if form is None or submitted.data.custom_id.partition(":")[0] != VERSION:
        raise Refused(Sentence.UNKNOWN_COMMAND)
    call = Call(*_where(submitted), submitted.caller, memory)
    _require_permissions(submitted, form.permissions)
    return Target(form, call, form.bind(submitted.data.fields))


def _require_permissions(interaction: Interaction, needed: int) -> None:
    """Judged at each click: who had them when the message was made may have lost them."""
    held = interaction.member.permissions if interaction.member is not None else 0
    if held & needed != needed and not held & _ADMINISTRATOR:
        raise Refused(Sentence.NOT_ALLOWED)


def _action(custom_id: str) -> str:
    return custom_id.split(":", 2)[1] if custom_id.count(":") else ""


def _where(interaction: Interaction) -> tuple[int, int]:
    if interaction.guild_id is None:
        raise Refused(Sentence.GUILD_ONLY)
    if interaction.channel_id is None:
        raise InvalidInteraction("names no channel")
    return interaction.guild_id, interaction.channel_id

"""An interaction, as far as we need it, in types (Discord's documentation, *Receiving and Responding*)."""

from __future__ import annotations

from typing import Annotated

import msgspec
from discord_interactions import InteractionType

from tonearm.errors import InvalidInteraction

MAX_BODY = 256 * 1024
"""Bytes. Discord's interactions have a few thousand."""

Snowflake = Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1)]
"""An id. Discord sends it as a string of digits."""

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=100)]


class User(msgspec.Struct, frozen=True):
    """Who did it."""

    id: Snowflake


class Member(msgspec.Struct, frozen=True):
    """Who did it, in a guild. ``permissions`` are those in the channel, as Discord's bit set."""

    user: User
    permissions: int = 0


class Option(msgspec.Struct, frozen=True):
    """A value that the person gave, or a subcommand with its own options."""

    name: Name
    type: int
    value: str | int | float | bool | None = None
    options: tuple[Option, ...] = ()


class CommandData(msgspec.Struct, frozen=True):
    """Which command; ``type`` is 1 for a slash command."""

    name: Name
    type: int = 1
    options: tuple[Option, ...] = ()


class ComponentData(msgspec.Struct, frozen=True):
    """Which button, or which select and what was chosen there."""

    custom_id: Name
    values: tuple[Annotated[str, msgspec.Meta(max_length=100)], ...] = ()


class Field(msgspec.Struct, frozen=True):
    """A text that was filled in."""

    custom_id: Name
    value: str = ""


class Line(msgspec.Struct, frozen=True):
    """A part of a form: a label with its field, or text that asks for nothing."""

    component: Field | None = None


class Origin(msgspec.Struct, frozen=True):
    """The message with the button that opened a form."""

    id: Snowflake


class ModalData(msgspec.Struct, frozen=True):
    """Which form, and what was filled in."""

    custom_id: Name
    components: tuple[Line, ...] = ()

    @property
    def fields(self) -> tuple[Field, ...]:
        """All that was filled in."""
        return tuple(line.component for line in self.components if line.component is not None)


class _Interaction(msgspec.Struct, frozen=True, kw_only=True, tag_field="type"):
    id: Snowflake
    application_id: Snowflake
    token: Annotated[str, msgspec.Meta(min_length=1, max_length=1_000)]
    guild_id: Snowflake | None = None
    channel_id: Snowflake | None = None
    member: Member | None = None
    user: User | None = None

    @property
    def caller(self) -> int:
        """The id of who did it.

        Raises:
            InvalidInteraction: it names nobody.
        """
        who = self.member.user if self.member is not None else self.user
        if who is None:
            raise InvalidInteraction("names no user")
        return who.id


class Ping(_Interaction, frozen=True, kw_only=True, tag=InteractionType.PING):
    """Discord asks whether we are there."""


class CommandCalled(_Interaction, frozen=True, kw_only=True, tag=InteractionType.APPLICATION_COMMAND):
    """Somebody used a command."""

    data: CommandData


class ComponentUsed(_Interaction, frozen=True, kw_only=True, tag=InteractionType.MESSAGE_COMPONENT):
    """Somebody pressed a button."""

    data: ComponentData


class ChoicesWanted(_Interaction, frozen=True, kw_only=True, tag=InteractionType.APPLICATION_COMMAND_AUTOCOMPLETE):
    """Somebody types the value of an option."""

    data: CommandData


class ModalSubmitted(_Interaction, frozen=True, kw_only=True, tag=InteractionType.MODAL_SUBMIT):
    """Somebody filled a form. ``message`` is the one whose button opened it; none where a command did."""

    data: ModalData
    message: Origin | None = None


Interaction = Ping | CommandCalled | ComponentUsed | ChoicesWanted | ModalSubmitted

# Not strict, because ids are numbers in strings.
_decoder: msgspec.json.Decoder[Interaction] = msgspec.json.Decoder(Interaction, strict=False)


def decode(body: bytes) -> Interaction:
    """The interaction in ``body``.

    Raises:
        InvalidInteraction: there is none; the text says where it goes wrong, and shows nothing of what people wrote.
    """
    try:
        return _decoder.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise InvalidInteraction(str(error)) from None

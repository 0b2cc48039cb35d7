"""How a form (Discord calls it a modal) is declared: beside the command that it belongs to.

::

    @form("leaving", "When I leave", alone=Field("Minutes alone", most=4))
    def leaving(call: Call, alone: str) -> ChangeSettings: ...

    @button("leave")
    def ask(click: Click) -> Form:
        return leaving

A click that returns a form opens it: the response is made from the declaration, and there is no job. What is filled in
comes back as texts, the empty ones too, and the function makes of them what a command would.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from interactions.discord.decode import Field as Given
from tonearm.discord.components import custom_id
from tonearm.errors import Refused
from tonearm.jobs.job import CONTROL_VALID_MS
from tonearm.sentences import Sentence

LABEL, TEXT_INPUT = 18, 4
SHORT = 1
MAX_TEXT = 4_000


class Field(msgspec.Struct, frozen=True):
    """A line to fill in; ``most`` characters at most. What is not ``required`` may stay empty."""

    label: str
    placeholder: str = ""
    most: int = 100
    required: bool = False


class Form(msgspec.Struct, frozen=True):
    """A form. ``permissions`` are those that whoever sends it in needs (Discord's bit set)."""

    action: str
    title: str
    fields: Mapping[str, Field]
    handler: Callable[..., Any]
    permissions: int = 0
    valid_ms: int = CONTROL_VALID_MS
    reads: bool = False

    def declaration(self) -> dict[str, Any]:
        """The data of the response that opens it (Discord's documentation, *Modal Component*)."""
        return {
            "custom_id": custom_id(self.action, "form"),
            "title": self.title,
            "components": [_line(name, field) for name, field in self.fields.items()],
        }

    def bind(self, given: Sequence[Given]) -> dict[str, str]:
        """What was filled in, as arguments of the function.

        Raises:
            Refused: it is not what this form asks for.
        """
        filled = {each.custom_id: each.value.strip() for each in given}
        if filled.keys() != self.fields.keys():
            raise Refused(Sentence.OLD_BUTTON)
        for name, field in self.fields.items():
            if len(filled[name]) > field.most:
                raise Refused(Sentence.BAD_OPTION, option=field.label, reason=f"at most {field.most} characters")
            if field.required and not filled[name]:
                raise Refused(Sentence.BAD_OPTION, option=field.label, reason="it is empty")
        return filled


def form(action: str, title: str, *, permissions: int = 0, **fields: Field) -> Callable[[Callable[..., Any]], Form]:
    """Declares what becomes of a form that was sent in."""

    def declare(handler: Callable[..., Any]) -> Form:
        return Form(action, title, fields, handler, permissions)

    return declare


def _line(name: str, field: Field) -> dict[str, Any]:
    asked: dict[str, Any] = {
        "type": TEXT_INPUT,
        "custom_id": name,
        "style": SHORT,
        "required": field.required,
        "max_length": min(field.most, MAX_TEXT),
    }
    if field.placeholder:
        asked["placeholder"] = field.placeholder
    return {"type": LABEL, "label": field.label, "component": asked}

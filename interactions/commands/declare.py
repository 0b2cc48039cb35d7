"""How a command is declared: a function, whose parameters are the command's options.

::

    @command("Set the volume.")
    def volume(call: Call, percent: Annotated[int, Option("In per cent.", least=0, most=100)]) -> SetVolume:
        return SetVolume(percent)

Discord's declaration is made from it, and what Discord sends is checked against it before the function is called. A
plain function returns the action of a job for the guild's player, or an errand, which a worker does. A coroutine
function reads, and returns the message itself. A button is declared beside the command that it belongs to, with
:func:`button`; one that returns a form of :mod:`interactions.commands.forms` opens it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine, Mapping, Sequence
from enum import StrEnum
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import msgspec

from interactions.commands.forms import Form
from interactions.discord.decode import Option as Given
from interactions.memory import Memory
from tonearm.errors import Refused
from tonearm.jobs.errand import AnyErrand
from tonearm.jobs.job import CONTROL_VALID_MS
from tonearm.music.actions import AnyAction
from tonearm.sentences import Sentence

CHAT_INPUT = 1
GUILD = 0
"""The only context in which commands are offered, and the only way in which the app is installed."""

MAX_TEXT = 6_000
"""Characters that Discord allows for the value of any option."""

_TYPES: dict[type[Any], int] = {str: 3, int: 4, bool: 5, float: 10}

Message = dict[str, Any]
"""The body of a Discord message."""


class Call(msgspec.Struct, frozen=True):
    """Somebody uses a command in a guild. All are ids."""

    guild: int
    channel: int
    user: int
    memory: Memory


class Click(Call, frozen=True):
    """Somebody presses a button, or chooses ``chosen`` in a select. ``value`` is what its custom id carries: a play, or
    what the action says."""

    value: str
    chosen: tuple[str, ...] = ()


class Option(msgspec.Struct, frozen=True):
    """What Discord is told of an option, besides its name and type.

    ``least`` and ``most`` bound the value, or the length of a text. ``labels`` name the members of an enumeration as
    people see them. ``beyond`` is the sentence for a value out of bounds; it may use ``{limit}``.
    """

    description: str
    least: int | None = None
    most: int | None = None
    labels: Mapping[str, str] = {}
    beyond: Sentence | None = None


class Parameter(msgspec.Struct, frozen=True):
    """An option of a command, made from a parameter of its function."""

    name: str
    kind: type[Any]
    option: Option
    required: bool

    def declaration(self) -> dict[str, Any]:
        """What Discord is told (its documentation, *Application Command Option Structure*)."""
        option = self.option
        declared: dict[str, Any] = {
            "type": _TYPES[self._sent],
            "name": self.name,
            "description": option.description,
            "required": self.required,
        }
        least, most = ("min_length", "max_length") if self._sent is str else ("min_value", "max_value")
        if option.least is not None:
            declared[least] = option.least
        if option.most is not None:
            declared[most] = option.most
        if issubclass(self.kind, StrEnum):
            declared["choices"] = [
                {"name": option.labels.get(member.value, member.value), "value": member.value} for member in self.kind
            ]
        return declared

    @property
    def _sent(self) -> type[Any]:
        return str if issubclass(self.kind, StrEnum) else self.kind

    def read(self, given: Given) -> Any:
        """The value for the function.

        Raises:
            Refused: it is none that Discord would have let through.
        """
        value: Any = given.value
        if self.kind is float and type(value) is int:
            value = float(value)
        if type(value) is not self._sent:
            raise self._refused("it is of another kind")
        if issubclass(self.kind, StrEnum):
            try:
                return self.kind(value)
            except ValueError:
                raise self._refused("there is no such choice") from None
        self._check_bounds(value)
        return value

    def _check_bounds(self, value: Any) -> None:
        size, unit = (len(value), " characters") if self.kind is str else (value, "")
        least, most = self.option.least, self.option.most
        if most is None and self.kind is str:
            most = MAX_TEXT
        # Not the other way round: of what is no number, nothing is true.
        if most is not None and not size <= most:
            raise self._beyond(f"at most {most}{unit}", most)
        if least is not None and not size >= least:
            raise self._beyond(f"at least {least}{unit}", most)

    def _beyond(self, reason: str, most: int | None) -> Refused:
        return self._refused(reason) if self.option.beyond is None else Refused(self.option.beyond, limit=most)

    def _refused(self, reason: str) -> Refused:
        return Refused(Sentence.BAD_OPTION, option=self.name, reason=reason)


Handler = Callable[..., AnyAction | AnyErrand | Form | Coroutine[Any, Any, Message]]


class Command(msgspec.Struct, frozen=True):
    """A command. ``private`` is its visibility, ``valid_ms`` how long its job may wait to be done."""

    name: str
    description: str
    parameters: tuple[Parameter, ...]
    handler: Handler
    reads: bool
    private: bool
    valid_ms: int
    permissions: int | None

    def declaration(self) -> dict[str, Any]:
        """What Discord is told (its documentation, *Application Command Structure*)."""
        return {
            "type": CHAT_INPUT,
            "name": self.name,
            "description": self.description,
            "options": [parameter.declaration() for parameter in self.parameters],
            "default_member_permissions": None if self.permissions is None else str(self.permissions),
            "contexts": [GUILD],
            "integration_types": [GUILD],
        }

    def bind(self, given: Sequence[Given]) -> dict[str, Any]:
        """The options as arguments of the function.

        Raises:
            Refused: they are not those of this command, or a value does not fit.
        """
        arguments: dict[str, Any] = {}
        known = {parameter.name: parameter for parameter in self.parameters}
        for option in given:
            parameter = known.pop(option.name, None)
            if parameter is None or option.options:
                raise Refused(Sentence.UNKNOWN_COMMAND)
            arguments[option.name] = parameter.read(option)
        if any(parameter.required for parameter in known.values()):
            raise Refused(Sentence.UNKNOWN_COMMAND)
        return arguments


class Button(msgspec.Struct, frozen=True):
    """What a click on ``v1:<action>:<value>`` does, or a choice in a select with this custom id.

    A click that reads brings a new private message, or with ``updates`` another content of the message with the button.
    ``permissions`` are those that whoever clicks needs (Discord's bit set).
    """

    action: str
    handler: Handler
    reads: bool
    updates: bool
    permissions: int = 0
    valid_ms: int = CONTROL_VALID_MS


def command(
    description: str,
    *,
    name: str = "",
    private: bool = False,
    valid_ms: int = CONTROL_VALID_MS,
    permissions: int | None = None,
) -> Callable[[Handler], Command]:
    """Declares the command that is named like the function, or ``name`` where Python can't have that.

    ``permissions`` is the bit set of permissions that a member needs by default; everybody may use it without.
    """

    def declare(handler: Handler) -> Command:
        return Command(
            name or handler.__name__,
            description,
            tuple(_parameters(handler)),
            handler,
            inspect.iscoroutinefunction(handler),
            private,
            valid_ms,
            permissions,
        )

    return declare


def button(action: str, *, updates: bool = False, permissions: int = 0) -> Callable[[Handler], Button]:
    """Declares what a click on the buttons of ``action`` does; only who has ``permissions`` may."""

    def declare(handler: Handler) -> Button:
        return Button(action, handler, inspect.iscoroutinefunction(handler), updates, permissions)

    return declare


def _parameters(handler: Handler) -> list[Parameter]:
    hints = get_type_hints(handler, include_extras=True)
    _, *signature = inspect.signature(handler).parameters.values()
    parameters = []
    for parameter in signature:
        hint = hints[parameter.name]
        if get_origin(hint) is not Annotated:
            raise TypeError(f"{handler.__name__}: {parameter.name} has no Option")
        kind, option = get_args(hint)
        required = parameter.default is parameter.empty
        parameters.append(Parameter(parameter.name, kind, option, required))
    return parameters

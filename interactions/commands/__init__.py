"""The commands: one module for each, found by itself. Adding a command is adding a file.

A module holds what :mod:`interactions.commands.declare` makes of functions: commands, and what their buttons do.
"""

from __future__ import annotations

import pkgutil
from functools import cache
from importlib import import_module
from typing import TypeVar

import msgspec

from interactions.commands.declare import Button, Command
from interactions.commands.forms import Form
from tonearm.errors import StartFailed

_Declared = TypeVar("_Declared", Command, Button, Form)
_NOT_COMMANDS = {"declare", "forms", "sync"}


class Catalogue(msgspec.Struct, frozen=True):
    """All commands by name, and all buttons and forms by action."""

    commands: dict[str, Command]
    buttons: dict[str, Button]
    forms: dict[str, Form] = {}


@cache
def catalogue() -> Catalogue:
    """What the modules of this package declare.

    Raises:
        StartFailed: two of them declare the same name.
    """
    commands: dict[str, Command] = {}
    buttons: dict[str, Button] = {}
    forms: dict[str, Form] = {}
    for found in pkgutil.iter_modules(__path__):
        if found.name in _NOT_COMMANDS:
            continue
        for value in vars(import_module(f"{__name__}.{found.name}")).values():
            if isinstance(value, Command):
                _add(commands, value.name, value)
            elif isinstance(value, Button):
                _add(buttons, value.action, value)
            elif isinstance(value, Form):
                _add(forms, value.action, value)
    return Catalogue(commands, buttons, forms)


def _add(known: dict[str, _Declared], name: str, value: _Declared) -> None:
    if name in known:
        raise StartFailed(f"{name} is declared twice among the commands.")
    known[name] = value

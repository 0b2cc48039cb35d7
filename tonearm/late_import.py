"""Packages of which a module is imported at once, and all else when it is needed."""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec, module_from_spec
from types import ModuleType


class _Late(ModuleType):
    """A package whose ``__init__`` did not run yet."""

    def __getattr__(self, name: str) -> object:
        self._run()
        return getattr(self, name)

    def _run(self) -> None:
        self.__class__ = ModuleType  # type: ignore[assignment]
        assert self.__spec__ is not None
        assert self.__spec__.loader is not None
        self.__spec__.loader.exec_module(self)


def import_late(package: str) -> None:
    """Of ``package`` import at first only the modules that are asked for, without its ``__init__``.

    That runs when a name is asked for that the package does not have yet. Before one of its modules that needs others,
    call :func:`import_whole`.

    Raises:
        ModuleNotFoundError: there is no such package.
    """
    if package in sys.modules:
        return
    spec = find_spec(package)
    if spec is None:
        raise ModuleNotFoundError(package)
    module = module_from_spec(spec)
    module.__class__ = _Late
    sys.modules[package] = module


def import_whole(package: str) -> None:
    """Run what is late of ``package``, from its beginning: its modules may import each other in that order only."""
    module = import_module(package)
    if isinstance(module, _Late):
        module._run()

"""Packages that are imported when somebody asks for one of their names, and not for a module inside them alone."""

from __future__ import annotations

import sys
from importlib.util import find_spec, module_from_spec
from types import ModuleType


class _Late(ModuleType):
    """A package whose ``__init__`` did not run yet."""

    def __getattr__(self, name: str) -> object:
        self.__class__ = ModuleType  # type: ignore[assignment]
        assert self.__spec__ is not None
        assert self.__spec__.loader is not None
        self.__spec__.loader.exec_module(self)
        return getattr(self, name)


def import_late(package: str) -> None:
    """Of ``package`` import at first only the modules that are asked for, without its ``__init__``.

    That runs when a name is asked for that the package does not have yet; nothing is ever missing, it is only late.
    """
    if package in sys.modules:
        return
    spec = find_spec(package)
    if spec is None:
        raise ModuleNotFoundError(package)
    module = module_from_spec(spec)
    module.__class__ = _Late
    sys.modules[package] = module

"""Reads the settings from the environment, and from the secret that it names."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

import msgspec

from tonearm.errors import SettingsError
from tonearm.settings.declared import DECLARED, Settings

PREFIX = "TONEARM_"

_EMPTY: dict[type, Any] = {int: 0, str: "", tuple: ()}


def load(needed: Iterable[str], environ: Mapping[str, str] | None = None) -> Settings:
    """The settings of this process.

    ``needed`` names the fields that must be there; the others may be missing, and are then 0, empty or their default.

    Raises:
        SettingsError: one is missing or wrong; the sentence names it and never shows a secret.
    """
    environ = _with_secret(os.environ if environ is None else environ)
    needed = frozenset(needed)
    declared = {setting.name: setting for setting in DECLARED}
    assert needed <= declared.keys()
    values: dict[str, Any] = {}
    for name, setting in declared.items():
        text = environ.get(PREFIX + name.upper(), "").strip() or setting.default
        if not text and name in needed:
            raise SettingsError(f"{PREFIX}{name.upper()} is missing. {setting.help}")
        try:
            values[name] = setting.parse(text) if text else _empty(name)
        except ValueError as error:
            reason = "has a wrong form" if setting.secret and repr(text) in str(error) else str(error)
            raise SettingsError(f"{PREFIX}{name.upper()} {reason}. {setting.help}") from None
    return Settings(**values)


def _with_secret(environ: Mapping[str, str]) -> Mapping[str, str]:
    """``environ``, and what it does not say from the secret that it names."""
    id = environ.get(f"{PREFIX}SECRETS", "").strip()
    if not id:
        return environ
    try:
        from tonearm.aws.secrets import fetch_secret  # slow to import, so only where there is one
    except ModuleNotFoundError as error:
        raise SettingsError(f"{PREFIX}SECRETS needs the package {error.name}: install the extra aws.") from None
    found = fetch_secret(id)
    known = {PREFIX + setting.name.upper() for setting in DECLARED} - {f"{PREFIX}SECRETS"}
    if strange := sorted(found.keys() - known):
        raise SettingsError(f"{PREFIX}SECRETS holds {strange[0]!r}, which is no setting that a secret can have.")
    return {**found, **{name: value for name, value in environ.items() if value.strip()}}


def _empty(name: str) -> Any:
    kind = _kinds()[name]
    return _EMPTY[getattr(kind, "__origin__", kind)]


@cache
def _kinds() -> dict[str, Any]:
    return {field.name: field.type for field in msgspec.structs.fields(Settings)}


def explain(environ: Mapping[str, str] | None = None) -> list[tuple[str, str, str]]:
    """Name, value (secrets hidden) and meaning of every setting, for ``tonearm doctor``; SettingsError as of load()."""
    environ = _with_secret(os.environ if environ is None else environ)
    rows = []
    for setting in DECLARED:
        text = environ.get(PREFIX + setting.name.upper(), "").strip()
        shown = (
            "(set)"
            if text and setting.secret
            else text or (f"{setting.default} (default)" if setting.default else "(not set)")
        )
        rows.append((PREFIX + setting.name.upper(), shown, setting.help))
    return rows

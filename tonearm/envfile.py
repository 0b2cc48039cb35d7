"""The file with settings, ``NAME=VALUE`` a line, as compose, systemd and shells read it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, MutableMapping
from pathlib import Path

from tonearm.errors import SettingsError

COMMENT = "#"

DEFAULT = Path(".env")


def read(path: Path) -> dict[str, str]:
    """What the file says, quotes around values taken off.

    Raises:
        SettingsError: it can't be read, or a line of it is no ``NAME=VALUE``. No value is shown.
    """
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise SettingsError(f"{path} can't be read: {reason}.") from None
    found = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith(COMMENT):
            continue
        name, equals, value = line.removeprefix("export ").partition("=")
        if not equals or not name.strip().isidentifier():
            raise SettingsError(f"Line {number} of {path} is no NAME=VALUE.")
        found[name.strip()] = _unquoted(value.strip())
    return found


def write(path: Path, values: Mapping[str, str]) -> None:
    """Set ``values`` in the file and leave all else in it as it is; it is made where there is none.

    It is replaced in one step, and nobody but its owner may read it afterwards (mode 0600).

    Raises:
        SettingsError: it can't be read or written.
    """
    left = dict(values)
    lines = []
    path = path.resolve()  # what a link points to is replaced, not the link
    try:
        for line in path.read_text("utf-8").splitlines() if path.exists() else ():
            name = line.removeprefix("export ").partition("=")[0].strip()
            lines.append(f"{name}={left.pop(name)}" if name in left else line)
        lines += [f"{name}={value}" for name, value in left.items()]
        handle, fresh = tempfile.mkstemp(prefix=f"{path.name}.", dir=path.parent)  # mode 0600
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write("\n".join(lines) + "\n")
            os.replace(fresh, path)
        except BaseException:
            os.unlink(fresh)
            raise
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise SettingsError(f"{path} can't be written: {reason}.") from None


def put_into(environ: MutableMapping[str, str], path: Path) -> None:
    """Add what the file says; what ``environ`` says already stays.

    Raises:
        SettingsError: as for :func:`read`.
    """
    for name, value in read(path).items():
        environ.setdefault(name, value)


def unread(environ: Mapping[str, str], path: Path = DEFAULT) -> str:
    """A sentence for who forgot the file: it is here, and has settings that ``environ`` lacks; else nothing."""
    try:
        lacking = path.is_file() and not read(path).keys() <= environ.keys()
    except SettingsError:
        return ""
    return f"There is a file {path} with settings here: `tonearm --env-file {path} ...` reads it." if lacking else ""


def _unquoted(value: str) -> str:
    if len(value) >= 2 and value[0] == value[-1] and value[0] in "'\"":
        return value[1:-1]
    return value.split(" #")[0].rstrip()

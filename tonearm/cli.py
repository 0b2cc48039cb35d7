"""The command line. Each command is an entry point of the group ``tonearm.processes``; none is imported here."""

from __future__ import annotations

import ast
import os
import sys
import textwrap
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import Path

from tonearm import __version__
from tonearm.envfile import put_into, unread
from tonearm.errors import SettingsError, TonearmError

GROUP = "tonearm.processes"
ENV_FILE = "--env-file"


def main(argv: list[str] | None = None) -> int:
    """Run the command that the first word names with the words after it; its exit code is ours."""
    argv = sys.argv[1:] if argv is None else argv
    commands = {entry.name: entry for entry in entry_points(group=GROUP)}
    if argv and argv[0] == ENV_FILE:
        try:
            argv = _with_file(argv)
        except TonearmError as error:
            print(f"tonearm: {error}", file=sys.stderr)
            return 2
    if argv and argv[0] in ("--version", "-V"):
        print(f"tonearm {__version__}")
        return 0
    if not argv or argv[0] in ("--help", "-h", "help"):
        print(_usage(commands))
        return 0
    command, *rest = argv
    if command not in commands:
        print(f"tonearm: there is no command {command!r}.\n\n{_usage(commands)}", file=sys.stderr)
        return 2
    return _run(commands[command], rest)


def _with_file(argv: list[str]) -> list[str]:
    """The words after the file, whose settings are in the environment from now on, for this process and its children.

    Raises:
        SettingsError: no file is named, or it can't be read.
    """
    if len(argv) < 2:
        raise SettingsError(f"{ENV_FILE} needs the name of a file.")
    put_into(os.environ, Path(argv[1]))
    return argv[2:]


def _run(entry: EntryPoint, argv: list[str]) -> int:
    try:
        run = entry.load()
    except ModuleNotFoundError as error:
        print(
            f"tonearm: {entry.name} needs the package {error.name}, which is not installed: "
            f"install tonearm with the extra for it, as CONTRIBUTING.md lists them.",
            file=sys.stderr,
        )
        return 1
    try:
        return int(run(argv) or 0)
    except TonearmError as error:
        print(f"tonearm {entry.name}: {error}", file=sys.stderr)
        if isinstance(error, SettingsError) and (hint := unread(os.environ)):
            print(hint, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _usage(commands: dict[str, EntryPoint]) -> str:
    names = "\n".join(_line(commands[name]) for name in sorted(commands))
    return (
        f"tonearm {__version__}: music for Discord\n\n{names}\n\n`tonearm NAME --help` says more; "
        f"`tonearm {ENV_FILE} .env NAME` takes settings from a file."
    )


def _line(entry: EntryPoint) -> str:
    said = f"tonearm {entry.name:<14}{_about(entry)}"
    return textwrap.fill(said, 100, initial_indent="  ", subsequent_indent=" " * 24)


def _about(entry: EntryPoint) -> str:
    """What its module says of it in the first line, behind its name. The file is read: nothing is imported."""
    room, *parts = entry.module.split(".")
    spec = find_spec(room)
    if spec is None or not spec.submodule_search_locations:  # a room that is not installed here
        return ""
    place = Path(spec.submodule_search_locations[0], *parts)
    file = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
    text = ast.get_docstring(ast.parse(file.read_text())) or ""
    return text.partition("\n")[0].partition("``: ")[2].rstrip(".")

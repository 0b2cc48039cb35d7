"""The command line. Each command is an entry point of the group ``tonearm.processes``; none is imported here."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint, entry_points

from tonearm import __version__
from tonearm.errors import TonearmError

GROUP = "tonearm.processes"


def main(argv: list[str] | None = None) -> int:
    """Run the command that the first word names with the words after it; its exit code is ours."""
    argv = sys.argv[1:] if argv is None else argv
    commands = {entry.name: entry for entry in entry_points(group=GROUP)}
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
        return 1
    except KeyboardInterrupt:
        return 130


def _usage(commands: dict[str, EntryPoint]) -> str:
    names = "\n".join(f"  tonearm {name}" for name in sorted(commands))
    return f"tonearm {__version__}: music for Discord\n\n{names}\n\n`tonearm NAME --help` says more."

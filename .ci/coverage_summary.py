"""Prints the coverage of all processes in a few lines, and fails below the gate in pyproject.toml.

Of the files, only those below ``TELL_BELOW`` per cent are told.
"""

import argparse
import io
import sys
from collections import defaultdict
from pathlib import Path

import coverage

TELL_BELOW = 85


def main() -> int:
    """Returns the exit code: 2 when the gate is missed, as coverage itself does."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--no-gate", action="store_true", help="only tell: not all tests were run")
    gate = not parser.parse_args().no_gate

    measured = coverage.Coverage()
    measured.load()
    total = measured.report(file=io.StringIO(), ignore_errors=True)
    rooms: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    poor = []
    for name in measured.get_data().measured_files():
        _, statements, _, missing, _ = measured.analysis2(name)
        path = Path(name).relative_to(Path.cwd())
        rooms[path.parts[0]][0] += len(statements) - len(missing)
        rooms[path.parts[0]][1] += len(statements)
        percent = per_cent(len(statements) - len(missing), len(statements))
        if percent < TELL_BELOW:
            poor.append((percent, path))
    wanted = measured.get_option("report:fail_under")
    assert isinstance(wanted, float)

    if gate:
        for percent, path in sorted(poor):
            print(f"  {percent:5.1f}%  {path}")
    told = "  ".join(f"{room} {per_cent(*counts):.1f}%" for room, counts in sorted(rooms.items()))
    print(f"Coverage {total:.1f}% ({told}), {len(poor)} files below {TELL_BELOW}%")
    if gate and round(total, 1) < wanted:
        print(f"Coverage is below {wanted:g}%.", file=sys.stderr)
        return 2
    return 0


def per_cent(part: int, whole: int) -> float:
    """An empty file is wholly covered."""
    return 100.0 * part / whole if whole else 100.0


if __name__ == "__main__":
    sys.exit(main())

"""Files that are written from the code: made anew, or compared with what would be written."""

import argparse
import sys
from pathlib import Path


def write_or_check(file: Path, wanted: str, *, description: str | None, stale: str) -> int:
    """What the command line asks for: write ``file``, or with ``--check`` say ``stale`` where it is another.

    Returns the exit code; 1 when it is not fresh.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--check", action="store_true")
    if not parser.parse_args().check:
        file.write_text(wanted)
    elif not file.exists() or file.read_text() != wanted:
        print(f"{file.name} is not what {stale}", file=sys.stderr)
        return 1
    return 0

"""The programs of Prometheus and Alertmanager, from the PATH."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

TIMEOUT = 300.0
"""Seconds that one may take to judge a file, on a machine that is busy."""

TOLD = "{} not on the PATH. On Debian: apt install prometheus prometheus-alertmanager"


class ProgramMissing(Exception):
    """One of them is not there; the text says which, and what to do."""


def find(*names: str) -> str:
    """The path of the first of these that there is.

    Raises:
        ProgramMissing: there is none.
    """
    for name in names:
        if path := shutil.which(name):
            return path
    raise ProgramMissing(TOLD.format(f"{names[0]} is"))


def prometheus() -> str:
    """See :func:`find`."""
    return find("prometheus")


def alertmanager() -> str:
    """See :func:`find`; Debian has a name of its own for it."""
    return find("alertmanager", "prometheus-alertmanager")


def judge(program: str, *words: str | Path) -> tuple[bool, str]:
    """Whether promtool or amtool has nothing to say against it; and what it said.

    Raises:
        ProgramMissing: it is not there.
    """
    try:
        done = subprocess.run(
            [find(program), *map(str, words)], capture_output=True, text=True, timeout=TIMEOUT, check=False
        )
    except subprocess.TimeoutExpired:
        return False, f"not done after {TIMEOUT:g} s"
    return done.returncode == 0, (done.stdout + done.stderr).strip()

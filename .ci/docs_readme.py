"""The first screen of the README, done as it says: in a fresh clone, with nothing but what is installed there."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from docs_pages import ROOT

WITHIN = 450
"""Seconds for all of them, installing included: an end for what hangs. How long it should take stands in `.ci/run`."""

ARGUMENTS = {"make demo": ["ARGS=--once"], "make test": ["ARGS=tests/unit/tonearm/music -q -p no:cacheprovider"]}
"""How a command ends that would go on: the demo after its script, the tests after some. `.ci/run` does all of them."""

HEARD = "All was heard."


def first_commands(readme: str) -> list[str]:
    """What stands behind the prompts of the first block, without its comments."""
    block = re.search(r"```console\n(.*?)```", readme, re.DOTALL)
    lines = block[1].splitlines() if block else []
    return [line[2:].partition("#")[0].strip() for line in lines if line.startswith("$ ")]


def failures(within: float = WITHIN) -> Iterator[tuple[str, str]]:
    """Each command of the first screen with what went wrong; nothing where it went well."""
    end = time.monotonic() + within
    with tempfile.TemporaryDirectory(prefix="tonearm-clone-") as folder:
        clone = Path(folder) / "tonearm"
        yield "git clone", _problem(["git", "clone", "--quiet", str(ROOT), str(clone)], ROOT, end)
        for command in first_commands((clone / "README.md").read_text()):
            words = [*command.split(), *ARGUMENTS.get(command, [])]
            yield f"{command} {' '.join(words[2:])}".strip(), _problem(words, clone, end)


def _problem(words: list[str], folder: Path, end: float) -> str:
    """What went wrong, with the last of what was said."""
    # A group of its own, so that what it has started ends with it.
    child = subprocess.Popen(  # noqa: S603
        words,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        env=_env(),
    )
    try:
        said, _ = child.communicate(timeout=max(1.0, end - time.monotonic()))
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        said, _ = child.communicate()
        return f"was not done when the time for all was over: {said[-1500:]}"
    if child.returncode:
        return f"ended with {child.returncode}: {said[-1500:]}"
    if words[:2] == ["make", "demo"] and HEARD not in said:
        return f"did not say {HEARD!r}: {said[-1500:]}"
    return ""


def _env() -> dict[str, str]:
    """What a newcomer's shell has: no settings of ours, and nothing of the make that started this."""
    ours = ("TONEARM_", "MAKE", "MFLAGS")
    theirs = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    # Of what is installed, little is imported here: that is compiled when it is.
    return {**theirs, "PIP_NO_COMPILE": "1"}

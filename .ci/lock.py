"""Writes requirements/dev.txt from pyproject.toml, or checks that it is what would be written.

Existing pins are kept unless ``--upgrade``. Where packages come from is what pip is configured to.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

LOCK = Path("requirements/dev.txt")
TIMEOUT = 180
"""Seconds."""


def main() -> int:
    """Returns the exit code; 1 when the lock is not fresh."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--upgrade", action="store_true")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        new = Path(folder, LOCK.name)
        shutil.copy(LOCK, new)  # where the pins to keep are read from
        if (code := compile_lock(new, upgrade=asked.upgrade)) != 0:
            return code
        if new.read_bytes() == LOCK.read_bytes():
            print(f"{LOCK} is fresh.")
            return 0
        if asked.check:
            print(f"{LOCK} is not what pyproject.toml asks for: run `make lock`.", file=sys.stderr)
            return 1
        LOCK.write_bytes(new.read_bytes())
        print(f"{LOCK} was written.")
        return 0


def compile_lock(output: Path, *, upgrade: bool) -> int:
    """Runs uv's resolver over pyproject.toml for all systems; returns its exit code."""
    uv = Path(sys.executable).with_name("uv")
    return subprocess.run(  # noqa: S603
        [
            *(uv, "pip", "compile", "--quiet", "--universal", "--python-version", "3.11", "--generate-hashes"),
            *("--no-header", "--extra", "dev", "pyproject.toml", "--output-file", output),
            *(["--upgrade"] if upgrade else []),
        ],
        env={**os.environ, **index_of_pip()},
        timeout=TIMEOUT,
        check=False,
    ).returncode


def index_of_pip() -> dict[str, str]:
    """For uv, the package indexes that pip is configured to; uv does not read pip's configuration."""
    indexes = {}
    for option, variable in (
        ("index-url", "UV_DEFAULT_INDEX"),
        ("extra-index-url", "UV_INDEX"),
        ("cert", "SSL_CERT_FILE"),
    ):
        found = [pip_option(f"{section}.{option}") for section in (":env:", "install", "global")]
        value = next((value for value in found if value), None)
        if value is not None and variable not in os.environ:
            indexes[variable] = value
    return indexes


def pip_option(name: str) -> str | None:
    """The value of one of pip's options, or None."""
    asked = subprocess.run(  # noqa: S603
        [sys.executable, "-m", "pip", "config", "get", name],
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    return asked.stdout.strip() if asked.returncode == 0 else None


if __name__ == "__main__":
    sys.exit(main())

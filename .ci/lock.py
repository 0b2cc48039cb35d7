"""Writes requirements/*.txt from pyproject.toml, or checks that they are what would be written.

Existing pins are kept unless ``--upgrade``. Where packages come from is what pip is configured to.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

FOLDER = Path("requirements")
EVERYTHING = "dev"
DEPLOYED: dict[str, tuple[str, ...]] = {
    "interactions": ("interactions", "aws", "traces"),
    "api": ("api", "aws", "traces"),
    "voice": ("voice", "aws", "traces"),
    "worker": ("worker", "aws", "traces"),
    "lambda-interactions": ("lambda-interactions",),
    "lambda-api": ("lambda-api",),
}
"""The locks of images and of Lambda's archives, and the extras in each. Their pins are those of everything, which the
tests ran with."""
BUILD = "build"
"""The lock of the dependency group that builds our own wheel in an image."""
TIMEOUT = 180
"""Seconds."""


def main() -> int:
    """Returns the exit code; 1 when the lock is not fresh."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--upgrade", action="store_true")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        locks = [Path(folder, f"{name}.txt") for name in (EVERYTHING, *DEPLOYED, BUILD)]
        for new in locks:
            old = FOLDER / new.name
            if old.exists():
                shutil.copy(old, new)  # where the pins to keep are read from
            if (code := compile_lock(new, pins=locks[0], upgrade=asked.upgrade)) != 0:
                return code
        stale = [new for new in locks if not same(new, FOLDER / new.name)]
        if asked.check:
            for new in stale:
                print(f"{FOLDER / new.name} is not what pyproject.toml asks for: run `make lock`.", file=sys.stderr)
            return 1 if stale else 0
        for new in stale:
            shutil.copyfile(new, FOLDER / new.name)
    print(f"Written: {', '.join(new.name for new in stale)}." if stale else "All locks are fresh.")
    return 0


def same(new: Path, old: Path) -> bool:
    """Whether there is such a lock, and with this content."""
    return old.exists() and old.read_bytes() == new.read_bytes()


def compile_lock(output: Path, *, pins: Path, upgrade: bool) -> int:
    """Runs uv's resolver over pyproject.toml for all systems and Pythons from 3.11; returns its exit code.

    What is locked is told by the name of the file; ``pins`` is the lock that all others agree with.
    """
    uv = str(Path(sys.executable).with_name("uv"))
    name = output.stem
    extras = [f"--extra={extra}" for extra in DEPLOYED.get(name, (name,))]
    what = ["--group", name] if name == BUILD else [*extras, "pyproject.toml"]
    agreement = [] if output == pins else ["--no-annotate", "--constraint", str(pins)]
    return subprocess.run(  # noqa: S603
        [
            *(uv, "pip", "compile", "--quiet", "--universal", "--python-version", "3.11", "--generate-hashes"),
            *("--no-header", *what, "--output-file", str(output), *agreement),
            *(["--upgrade"] if upgrade else []),
        ],
        env={**os.environ, **index_of_pip()},
        timeout=TIMEOUT,
        check=False,
    ).returncode


@cache
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

"""The archives of the functions on AWS Lambda: `make lambda-zip`.

A folder with the locked packages of the function's extra, for Lambda's platform, and our own packages; compiled by
Lambda's Python, as the function may not write, and by content, so that no time of a file is looked at; then a zip in
which nothing tells when or where it was made. A second folder for this machine's platform is for trying it.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from lock import index_of_pip

ROOT = Path(__file__).resolve().parent.parent
BUILT = ROOT / "var" / "lambda"
PYTHON = "3.12"
LAMBDA = "aarch64-manylinux_2_28"
"""Lambda's Python 3.12 runs on Amazon Linux 2023, whose glibc is 2.34; asyncpg has no wheels for older ones."""
THIS = f"{platform.machine()}-manylinux_2_28"
TIMEOUT = 300
"""Seconds that installing or compiling may take."""

OURS = ("tonearm", "interactions")
NEVER_USED = (
    "tonearm/doctor",
    "tonearm/setup",
    "tonearm/worker",
    "tonearm/postgres/migrations",
)
"""Of ours: what only other processes do."""

AWS_SERVICES = frozenset(("s3", "secretsmanager", "sts"))
"""Those that are asked. The others' descriptions are a third of the archive of the API."""

EPOCH = (1980, 1, 1, 0, 0, 0)
"""The earliest time that a zip can tell."""


class NotBuilt(Exception):
    """An archive could not be made; the text says why."""


@dataclass(frozen=True)
class Function:
    """One archive. ``most_mb`` bounds the zip: what is loaded at a cold start is waited for."""

    name: str
    handler: str
    lock: str
    most_mb: float


FUNCTIONS = (
    Function("interactions", "interactions.aws_lambda.handler", "lambda-interactions", 9),
    Function("api", "interactions.api.aws_lambda.handler", "lambda-api", 25),
)


def main() -> int:
    """Builds all archives, and prints their sizes; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--python", default=None, help=f"a Python {PYTHON}; without it one is looked for")
    asked = parser.parse_args()
    try:
        python = find_python(asked.python)
        for function in FUNCTIONS:
            print(describe(function, archive(function, python)))
    except NotBuilt as error:
        print(f"lambda-zip: {error}", file=sys.stderr)
        return 1
    return 0


def describe(function: Function, made: Path) -> str:
    """One line about an archive."""
    size = made.stat().st_size / 1e6
    return f"{made.relative_to(ROOT)}: {size:.1f} MB (at most {function.most_mb:g})"


def _pyenv() -> str | None:
    """The one that pyenv keeps, where there is pyenv."""
    pyenv = shutil.which("pyenv")
    if pyenv is None:
        return None
    asked = subprocess.run([pyenv, "prefix", PYTHON], capture_output=True, text=True, timeout=TIMEOUT)  # noqa: S603
    return f"{asked.stdout.strip()}/bin/python{PYTHON}" if asked.returncode == 0 else None


def find_python(named: str | None = None) -> Path:
    """Lambda's Python on this machine.

    Raises:
        NotBuilt: there is none.
    """
    candidates = [named] if named else [_pyenv(), shutil.which(f"python{PYTHON}"), sys.executable]
    for each in filter(None, candidates):
        asked = subprocess.run(  # noqa: S603
            [each, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"],
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
        )
        if asked.stdout.strip() == PYTHON:
            return Path(each)
    raise NotBuilt(f"Python {PYTHON}, which compiles for Lambda, is not here: --python /path/to/python{PYTHON}")


def archive(function: Function, python: Path) -> Path:
    """Builds one archive for Lambda.

    Raises:
        NotBuilt: something can't be had for Lambda's platform, or it is too large.
    """
    folder = unpacked(function, python, LAMBDA)
    made = BUILT / f"{function.name}.zip"
    write_zip(folder, made)
    if made.stat().st_size > function.most_mb * 1e6:
        raise NotBuilt(describe(function, made))
    return made


def unpacked(function: Function, python: Path, system: str) -> Path:
    """A folder with what is in the archive, for ``system`` (in uv's words).

    Raises:
        NotBuilt: something can't be had for it.
    """
    folder = collected(function, system)
    compile_all(folder, python)
    return folder


def collected(function: Function, system: str) -> Path:
    """The same, not compiled.

    Raises:
        NotBuilt: something can't be had for it.
    """
    folder = BUILT / f"{function.name}-{system}"
    shutil.rmtree(folder, ignore_errors=True)
    install(folder, ROOT / "requirements" / f"{function.lock}.txt", system)
    for package in OURS:
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    for part in NEVER_USED:
        shutil.rmtree(folder / part)
    drop_what_nobody_imports(folder)
    return folder


def install(folder: Path, lock: Path, system: str) -> None:
    """The packages of ``lock`` into ``folder``: wheels only, checked by their hashes.

    Raises:
        NotBuilt: one can't be had for ``system``.
    """
    _run(
        [
            str(Path(sys.executable).with_name("uv")),
            *("pip", "install", "--quiet", "--no-config", "--no-deps", "--require-hashes", "--only-binary", ":all:"),
            *("--python-platform", system, "--python-version", PYTHON, "--target", str(folder), "-r", str(lock)),
        ]
    )


def drop_what_nobody_imports(folder: Path) -> None:
    """Programs, tests, sources of what is compiled, and descriptions of AWS' services that are never asked."""
    shutil.rmtree(folder / "bin", ignore_errors=True)
    (folder / ".lock").unlink(missing_ok=True)
    for each in [*folder.glob("*/tests"), *folder.rglob("*.pyx"), *folder.rglob("*.pxd"), *folder.rglob("*.c")]:
        shutil.rmtree(each) if each.is_dir() else each.unlink()
    for service in folder.glob("botocore/data/*/"):
        if service.name not in AWS_SERVICES:
            shutil.rmtree(service)


def compile_all(folder: Path, python: Path) -> None:
    """Without the columns of each instruction: a traceback has its lines still, and a cold start has less to read.

    Raises:
        NotBuilt: a module is not Python.
    """
    compiler = [str(python), "-X", "no_debug_ranges", "-m", "compileall", "-q"]
    _run([*compiler, "-s", str(folder), "--invalidation-mode", "unchecked-hash", str(folder)])


def write_zip(folder: Path, to: Path) -> None:
    """The same content makes the same bytes, whenever and wherever."""
    with zipfile.ZipFile(to, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as made:
        for file in _files(folder):
            entry = zipfile.ZipInfo(str(file.relative_to(folder)), EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.create_system = 3  # Unix, as the rights below are
            entry.external_attr = (0o755 if file.suffix == ".so" else 0o644) << 16
            made.writestr(entry, file.read_bytes())


def _files(folder: Path) -> Iterable[Path]:
    return sorted(each for each in folder.rglob("*") if each.is_file())


def _run(command: list[str]) -> None:
    environment = {**os.environ, **index_of_pip(), "PYTHONHASHSEED": "0"}
    done = subprocess.run(  # noqa: S603
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=TIMEOUT
    )
    if done.returncode != 0:
        raise NotBuilt(f"{Path(command[0]).name} failed: {(done.stdout + done.stderr).strip()[-2000:]}")


if __name__ == "__main__":
    sys.exit(main())

"""What the check needs from elsewhere: osls (npm), Lambda's runtime interface emulator (Go) and client (PyPI).

All are pinned by hashes, in `.ci/lambda_tools` and in the lock of what development installs, and kept in `var/tools`.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lambda_archive import ROOT, THIS, install

TOOLS = ROOT / "var" / "tools"
PINS = ROOT / ".ci" / "lambda_tools"
EMULATOR = TOOLS / "aws-lambda-rie"
OSLS = TOOLS / "osls"
CLIENT = TOOLS / "lambda-runtime"
CLIENT_PACKAGES = ("awslambdaric", "simplejson", "snapshot-restore-py")
TIMEOUT = 600
"""Seconds for downloading and building."""


class ToolsMissing(Exception):
    """A program could not be had; the text says why."""


def prepare() -> None:
    """Build and install what is missing, or older than what names it.

    Raises:
        ToolsMissing: something can't be had.
    """
    TOOLS.mkdir(parents=True, exist_ok=True)
    lock = (ROOT / "requirements/dev.txt").read_text()
    stamps = {
        EMULATOR: (PINS / "go.sum").read_text(),
        OSLS: (PINS / "package-lock.json").read_text(),
        CLIENT: pick(lock, CLIENT_PACKAGES),
    }
    with ThreadPoolExecutor() as several:
        list(several.map(_have, stamps, stamps.values()))


def _have(made: Path, pins: str) -> None:
    stamp = made.with_name(f".{made.name}.pins")
    if made.exists() and stamp.exists() and stamp.read_text() == pins:
        return
    if made == EMULATOR:
        _run(["go", "build", "-trimpath", "-ldflags=-s -w", "-o", str(EMULATOR), "tool"], PINS)
    elif made == OSLS:
        shutil.rmtree(OSLS, ignore_errors=True)
        shutil.copytree(PINS, OSLS)
        _run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], OSLS)
    else:
        shutil.rmtree(CLIENT, ignore_errors=True)
        wanted = TOOLS / "lambda-runtime.txt"
        wanted.write_text(pins)
        install(CLIENT, wanted, THIS)
    stamp.write_text(pins)


def pick(lock: str, names: tuple[str, ...]) -> str:
    """Of a lock, what it says of these packages.

    Raises:
        ToolsMissing: one is not in it.
    """
    blocks = {block.split("==")[0]: block for block in re.split(r"\n(?=[a-z])", lock)}
    if lacking := [name for name in names if name not in blocks]:
        raise ToolsMissing(f"requirements/dev.txt lacks {', '.join(lacking)}: make lock")
    return "\n".join(blocks[name] for name in names) + "\n"


def package(to: Path, stage: str) -> dict[str, Path]:
    """Runs `osls package` without a network; the templates that it makes, by name.

    Raises:
        ToolsMissing: it fails.
    """
    shutil.rmtree(to, ignore_errors=True)
    environment = {
        "TONEARM_DISCORD_APPLICATION_ID": "1",
        "TONEARM_DISCORD_PUBLIC_KEY": "0" * 64,
        "SLS_TELEMETRY_DISABLED": "1",
        "SLS_NOTIFICATIONS_MODE": "off",
        # Whatever is asked for over the network is refused at once.
        **dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:1"),
    }
    _run([str(OSLS / "node_modules/.bin/osls"), "package", "--stage", stage, "--package", str(to)], ROOT, environment)
    return {"functions": to / "cloudformation-template-update-stack.json"}


def _run(command: list[str], folder: Path, environment: dict[str, str] | None = None) -> None:
    go = {"CGO_ENABLED": "0", "GOWORK": "off", "GOFLAGS": "-mod=readonly -buildvcs=false"}
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env={**os.environ, **go, **(environment or {})},
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
        )
    except FileNotFoundError:
        raise ToolsMissing(f"{command[0]} is needed, and is not on PATH.") from None
    except subprocess.TimeoutExpired:
        raise ToolsMissing(f"{Path(command[0]).name} was not done after {TIMEOUT} s.") from None
    if done.returncode != 0:
        raise ToolsMissing(f"{Path(command[0]).name} failed: {(done.stdout + done.stderr).strip()[-2000:]}")

"""A place in memory for Redis' append-only file, so that no busy disk takes part in what is measured."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SHM = Path("/dev/shm")
LEAST_BYTES = 1 << 30
"""So much must be free: containers often have 64 MB there, and a full one would be a fault of its own."""


def in_memory(folder: Path, shm: Path = SHM) -> Path:
    """What stands for ``folder`` in ``shm``, by the same name each time; ``folder`` itself where there is no room."""
    if not os.access(shm, os.W_OK | os.X_OK) or shutil.disk_usage(shm).free < LEAST_BYTES:
        return folder
    return shm / f"tonearm-chaos-{hashlib.sha256(bytes(folder.absolute())).hexdigest()[:16]}"


@contextmanager
def emptied(folder: Path) -> Iterator[None]:
    """It is there, without what a killed run left in it; nothing stays."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)

"""Where the lines that child processes write go: through to a stream, or into a folder."""

import sys
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self, TextIO

FILE_LIMIT = 8 * 1024 * 1024
"""Bytes of a log file after which it becomes the old one, and the one before that is gone."""

Log = Callable[[str, str], None]
"""Called with a process' name and one line."""


def prefixed(stream: TextIO | None = None, width: int = 12) -> Log:
    """Passes lines through as ``name | line``, to stderr by default."""

    def log(name: str, line: str) -> None:
        print(f"{name:<{width}} | {line}", file=stream or sys.stderr, flush=True)

    return log


class LogFolder:
    """Appends each process' lines to ``NAME.log`` in a folder, keeping at most twice ``limit`` bytes of it."""

    def __init__(self, folder: Path, limit: int = FILE_LIMIT) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._limit = limit
        self._files: dict[str, BinaryIO] = {}

    def path(self, name: str) -> Path:
        """The file of a process; the lines before are in the one with ``.1`` added."""
        return self._folder / f"{name}.log"

    def __call__(self, name: str, line: str) -> None:
        """Writes one line, and does not hold it back."""
        data = f"{line}\n".encode()
        file = self._files.get(name) or self._open(name)
        if file.tell() and file.tell() + len(data) > self._limit:
            file.close()
            self.path(name).replace(self._folder / f"{name}.log.1")
            file = self._open(name)
        file.write(data)

    def close(self) -> None:
        """Closes the files."""
        while self._files:
            self._files.popitem()[1].close()

    def _open(self, name: str) -> BinaryIO:
        file: BinaryIO = self.path(name).open("ab", buffering=0)
        self._files[name] = file
        return file

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

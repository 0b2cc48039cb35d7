"""``tonearm demo`` as a process: it plays and listens, and leaves nothing behind, however it ends."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tonearm.up import tonearm

Descendants = Callable[[int], set[int]]
Gone = Callable[..., Awaitable[None]]


@asynccontextmanager
async def demo(folder: Path, *words: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """The demo in ``folder``; what it says is read line by line."""
    process = await asyncio.create_subprocess_exec(
        *tonearm("demo", *words),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd=folder,
        env={**os.environ, "COLUMNS": "200"},
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def line_with(process: asyncio.subprocess.Process, words: str) -> list[str]:
    """Read until a line has ``words``; all lines so far."""
    assert process.stdout is not None
    lines: list[str] = []
    async with asyncio.timeout(75):
        while line := await process.stdout.readline():
            lines.append(line.decode())
            if words in lines[-1]:
                return lines
    raise AssertionError("".join(lines))


@pytest.mark.timeout(90)
async def test_once_plays_the_script_and_says_what_was_heard(tmp_path: Path, descendants: Descendants) -> None:
    async with demo(tmp_path, "--once") as process:
        assert process.stdin is not None
        process.stdin.close()
        async with asyncio.timeout(80):
            output, _ = await process.communicate()
        said = output.decode().splitlines()
        assert process.returncode == 0, output.decode()
    assert said[-1] == "All was heard."
    assert " 0 lost" in "".join(said[-6:])
    assert (tmp_path / "heard.wav").stat().st_size > 100_000
    assert descendants(process.pid) == set()


@pytest.mark.timeout(110)
@pytest.mark.parametrize("sig", [signal.SIGINT, signal.SIGKILL])
async def test_no_process_is_left(
    tmp_path: Path, descendants: Descendants, process_gone: Gone, sig: signal.Signals
) -> None:
    async with demo(tmp_path) as process:
        await line_with(process, "up after")
        family = descendants(process.pid)
        assert len(family) >= 6
        process.send_signal(sig)
        await asyncio.wait_for(process.wait(), 20)
        for member in family:
            await process_gone(member, timeout=5)

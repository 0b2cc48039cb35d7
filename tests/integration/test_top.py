"""``tonearm top`` as a process, and what it does while Redis is away."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from playground.stores.valkey import Valkey
from tonearm.errors import StartFailed
from tonearm.redis import keys, lease
from tonearm.redis.client import connect
from tonearm.redis.overview import Overview
from tonearm.top import keep_showing, show_once

Run = Callable[..., Awaitable[Process]]


@pytest.fixture
async def run() -> AsyncIterator[Run]:
    """``await run(redis_url, "--once")``: the process, whatever becomes of it."""
    processes: list[Process] = []

    async def run(redis_url: str, *words: str) -> Process:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tonearm", "top", *words),
            env={**os.environ, "TONEARM_REDIS_URL": redis_url, "COLUMNS": "120"},
            stdout=PIPE,
            stderr=PIPE,
        )
        processes.append(process)
        return process

    yield run
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


class Kept:
    """What was shown."""

    def __init__(self) -> None:
        self.frames: asyncio.Queue[tuple[Overview | None, str]] = asyncio.Queue()

    def show(self, seen: Overview | None, trouble: str = "") -> None:
        self.frames.put_nowait((seen, trouble))

    async def until(self, *, trouble: bool) -> tuple[Overview | None, str]:
        """The next frame that is one of trouble, or of none."""
        async with asyncio.timeout(30):
            while True:
                frame = await self.frames.get()
                if bool(frame[1]) is trouble:
                    return frame


async def test_once_prints_one_frame(run: Run, redis_url: str, redis_client) -> None:
    await redis_client.set(keys.SHARD_COUNT, 2)
    await lease.take(redis_client, 1, "node-a")
    process = await run(redis_url, "--once")
    out, err = await asyncio.wait_for(process.communicate(), 30)
    assert (process.returncode, err) == (0, b"")
    assert "2 shards, 1 without an owner" in out.decode()
    rows = [line.split()[:2] for line in out.decode().splitlines()]
    assert ["0", "nobody"] in rows
    assert ["1", "node-a"] in rows


async def test_it_goes_on_until_it_is_asked_to_end(run: Run, redis_url: str) -> None:
    process = await run(redis_url, "--interval", "0.1")
    assert process.stdout is not None
    async with asyncio.timeout(30):
        for _ in range(4):
            await process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, err = await asyncio.wait_for(process.communicate(), 10)
    assert (process.returncode, err) == (0, b"")


async def test_once_without_redis_is_a_sentence() -> None:
    with pytest.raises(StartFailed, match="Redis doesn't answer"):
        await show_once("redis://127.0.0.1:1", Kept())


async def test_an_interval_that_is_none_is_refused(run: Run) -> None:
    process = await run("redis://127.0.0.1:1", "--interval", "0")
    _, err = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 2
    assert b"from 0.1 to 3600" in err


async def test_redis_goes_and_comes_back_and_it_shows_both() -> None:
    kept = Kept()
    async with Valkey() as server:
        async with connect(server.url, timeout=5) as client:
            await client.set(keys.SHARD_COUNT, 1)
        showing = asyncio.create_task(keep_showing(server.url, kept, 0.1))
        try:
            seen, _ = await kept.until(trouble=False)
            assert seen is not None
            await server.kill()
            last, trouble = await kept.until(trouble=True)
            assert last is not None
            assert len(last.shards) == 1
            assert trouble.startswith("Redis doesn't answer, and is asked again: ")
            await server.start()
            await kept.until(trouble=False)
        finally:
            showing.cancel()
            await asyncio.wait([showing])

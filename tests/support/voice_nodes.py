"""What the tests of a voice node share: a clock to be set, waiting for calls, metrics, jobs."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any

from prometheus_client import REGISTRY

from tonearm.errors import LeaseLost
from tonearm.jobs.job import Job, Reply
from tonearm.music.actions import AnyAction
from tonearm.redis import handover
from tonearm.redis.client import Client

SHARD, GUILD, USER, TEXT, VOICE = 0, 5 << 22, 42, 21, 11
GENEROUS = handover.Limit(1, 10_000)


class Clock:
    """A monotonic clock that moves when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Tenured:
    """A lease without a store: held, until it has run ``out``; ``gone`` when it is another's."""

    def __init__(self) -> None:
        self.waits = asyncio.Event()
        """Set when somebody waits for it."""
        self.left = 60.0
        """Seconds for which it may be acted on, while it is held."""
        self._changed = asyncio.Condition()
        self._out = False
        self._gone = False

    def check(self) -> None:
        if self._out or self._gone:
            raise LeaseLost("run out")

    def remaining(self) -> float:
        return 0.0 if self._out or self._gone else self.left

    async def until_held(self) -> None:
        async with self._changed:
            while self._out:
                self.waits.set()
                await self._changed.wait()
        self.check()

    async def persist(self, work: Callable[[], Awaitable[Any]]) -> Any:
        while True:
            await self.until_held()
            with contextlib.suppress(LeaseLost):
                return await work()

    def run_out(self) -> None:
        """For a moment."""
        self._out = True
        self.waits.clear()

    async def settle(self, *, gone: bool = False) -> None:
        """It is held again, or ``gone``."""
        async with self._changed:
            self._out, self._gone = False, gone
            self._changed.notify_all()


class Called:
    """Counts calls of what it wraps, and lets a test wait for them; ``fails`` is raised instead, so many times."""

    def __init__(self, wrapped: Any, *, fails: tuple[BaseException, ...] = ()) -> None:
        self._wrapped = wrapped
        self._fails = list(fails)
        self.results: list[Any] = []
        self._news = asyncio.Event()

    async def __call__(self, *args: Any, **named: Any) -> Any:
        try:
            if self._fails:
                raise self._fails.pop(0)
            result = await self._wrapped(*args, **named)
        except BaseException as error:
            result = error
            raise
        finally:
            self.results.append(result)
            self._news.set()
        return result

    async def times(self, number: int, timeout: float = 10) -> list[Any]:
        """Wait until it was called so often."""
        async with asyncio.timeout(timeout):
            while len(self.results) < number:
                self._news.clear()
                await self._news.wait()
        return self.results


@contextlib.asynccontextmanager
async def running(work: Coroutine[Any, Any, Any]) -> AsyncIterator[asyncio.Task[Any]]:
    """A task for as long as the block; what it raised is for who awaits it there."""
    task = asyncio.create_task(work)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait({task}, timeout=5)
        assert task.done(), "it does not end when it is cancelled"
        if not task.cancelled():
            task.exception()


def metric(name: str, **labels: str) -> float:
    """A sample's value in this process."""
    return REGISTRY.get_sample_value(name, labels) or 0.0


def make_job(name: str, action: AnyAction, *, reply: Reply | None = None, valid_ms: int = 60_000) -> Job:
    """A job of the one guild."""
    return Job(name, GUILD, USER, TEXT, action, valid_ms, reply)


async def hand_over(client: Client, job: Job, *, window_ms: int = 0) -> None:
    """Hand it over as the HTTP side does; the shard must have an owner."""
    done = await handover.hand_over(
        client, job, shard_count=1, window_ms=window_ms, guild_limit=GENEROUS, user_limit=GENEROUS
    )
    assert not done.again

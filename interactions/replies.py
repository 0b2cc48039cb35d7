"""Answers as they are published: one standing subscription for the whole process.

Where a process may freeze at any time there is none: see :mod:`interactions.reply_lists`, which is asked the same way.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from typing import Protocol

from interactions.memory import Memory
from tonearm.errors import RedisAway, Refused
from tonearm.jobs.errand import AnyJob
from tonearm.redis import keys
from tonearm.redis.client import FAILURES, Client
from tonearm.redis.hearing import listen
from tonearm.telemetry import context

LOG = logging.getLogger("tonearm.interactions")

RECONNECT_AFTER = (0.1, 0.25, 0.5, 1.0)
"""Seconds to wait before each further try; the last one is kept."""


class Expected(Protocol):
    """The answer to come of a job."""

    async def until(self, end: float) -> bytes | None:
        """The answer; ``None`` where it isn't heard before ``end``, a time of the event loop."""

    def forget(self) -> None:
        """Nobody waits any more."""


class ReplyPath(Protocol):
    """A way on which answers come. ``to`` is what a job is told of it."""

    @property
    def to(self) -> str: ...

    @property
    def listening(self) -> bool:
        """Whether an answer that is told now would be heard."""

    def expect(self, job: AnyJob) -> Expected:
        """Ask before the job is handed over, and have it forgotten afterwards."""


class Replies:
    """Who waits for which answer in this process.

    ``to`` is the channel where it listens. A message that nobody waits for is dropped: its answer is in Redis too.
    """

    def __init__(self, redis: Client, memory: Memory) -> None:
        self.to = keys.reply_channel(secrets.token_hex(8))
        self._redis = redis
        self._memory = memory
        self._waiting: dict[bytes, list[asyncio.Future[bytes | None]]] = {}
        self._listening = asyncio.Event()
        self._tries = 0
        """How often in a row it was tried in vain."""

    @property
    def listening(self) -> bool:
        """Whether an answer that is published now would be heard."""
        return self._listening.is_set()

    async def wait_until_listening(self) -> None:
        """Returns once the subscription stands."""
        await self._listening.wait()

    def expect(self, job: AnyJob) -> Expected:
        """The answer to come of ``job``."""
        return _Heard(self._waiting, job.id.encode())

    def hear(self, message: bytes) -> None:
        """``message``, ``<job id> <answer>``, goes to all who wait for it."""
        job, _, answer = message.partition(b" ")
        for future in self._waiting.get(job, ()):
            if not future.done():
                future.set_result(answer)

    async def run(self) -> None:
        """Keeps the subscription until it is cancelled, or until this process may not go on."""
        while True:
            try:
                await self._memory.check_shard_count()
                await listen(
                    self._redis, self.to, on_begin=self._begin, on_message=lambda _, message: self.hear(message)
                )
            except Refused:
                return
            except (*FAILURES, RedisAway) as error:
                LOG.warning("I can't hear answers: deferring", extra=context(error=repr(error)))
            except Exception:  # what nobody expected must not end the hearing for good
                LOG.exception("I can't hear answers: deferring")
            finally:
                self._listening.clear()
            await asyncio.sleep(RECONNECT_AFTER[min(self._tries, len(RECONNECT_AFTER) - 1)])
            self._tries += 1

    def _begin(self) -> None:
        self._tries = 0
        self._listening.set()


class _Heard:
    """One who waits, among all who do."""

    __slots__ = ("_all", "_future", "_job", "_loop")

    def __init__(self, waiting: dict[bytes, list[asyncio.Future[bytes | None]]], job: bytes) -> None:
        self._loop = asyncio.get_running_loop()
        self._future: asyncio.Future[bytes | None] = self._loop.create_future()
        self._all = waiting
        self._job = job
        waiting.setdefault(job, []).append(self._future)

    async def until(self, end: float) -> bytes | None:
        timer = self._loop.call_at(end, _give_up, self._future)
        try:
            return await self._future
        finally:
            timer.cancel()

    def forget(self) -> None:
        waiting = self._all[self._job]
        waiting.remove(self._future)
        if not waiting:
            del self._all[self._job]


def _give_up(future: asyncio.Future[bytes | None]) -> None:
    if not future.done():
        future.set_result(None)

"""Answers as they are published: one standing subscription for the whole process.

Where a process may freeze at any time there is none: see :mod:`interactions.reply_lists`, which is asked the same way.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from typing import Protocol

from redis.asyncio.client import PubSub

from interactions.memory import Memory
from tonearm.errors import RedisAway, Refused
from tonearm.jobs.errand import AnyJob
from tonearm.redis import keys
from tonearm.redis.client import FAILURES, HOT_TIMEOUT, Client
from tonearm.telemetry import context

LOG = logging.getLogger("tonearm.interactions")

CONNECT_TIMEOUT = 2.0
PING_EVERY = 5.0
"""Seconds between two questions whether Redis is there; it is not when nothing came in between."""
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
        self._heard = False
        """Whether anything came since the last question."""

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
        tries = 0
        while True:
            try:
                await self._memory.check_shard_count()
                await self._listen()
            except Refused:
                return
            except (*FAILURES, RedisAway) as error:
                tries = 0 if self._heard else tries + 1
                self._heard = False
                LOG.warning("I can't hear answers: deferring", extra=context(error=repr(error)))
            except Exception:  # what nobody expected must not end the hearing for good
                tries += 1
                LOG.exception("I can't hear answers: deferring")
            await asyncio.sleep(RECONNECT_AFTER[min(tries, len(RECONNECT_AFTER) - 1)])

    async def _listen(self) -> None:
        """Subscribes and hears; ends by raising what Redis' failure raises."""
        pubsub = self._redis.pubsub()
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                await pubsub.subscribe(self.to)
                await pubsub.parse_response(block=True)  # that the subscription stands
            self._heard = True
            self._listening.set()
            while True:
                await self._hear_for(pubsub, PING_EVERY)
                if not self._heard:
                    raise TimeoutError("the subscription is silent")
                self._heard = False
                async with asyncio.timeout(HOT_TIMEOUT):
                    await pubsub.ping()
        finally:
            self._listening.clear()
            await pubsub.aclose()  # type: ignore[no-untyped-call]

    async def _hear_for(self, pubsub: PubSub, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds) as period:
                while True:
                    message = await pubsub.parse_response(block=True)
                    self._heard = True
                    if isinstance(message, list) and message[0] == b"message":
                        self.hear(message[2])
        except TimeoutError:
            if not period.expired():
                raise


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

"""How many workers there are, and so how many streams one of them should hold."""

from __future__ import annotations

import asyncio
import contextlib
import time

from tonearm.backoff import Backoff
from tonearm.redis import keys
from tonearm.redis.client import FAILURES, Client
from tonearm.redis.hearing import listen
from tonearm.telemetry import LOG
from tonearm.worker.desk import Desk

LIFE_MS = 6_000
"""After so long without a sign of life, a worker is not counted any more."""

BEAT_EVERY = 2.0
"""Seconds between two signs of life. Who comes, goes, or gives a stream back says so besides: what is not heard costs
so much."""


class Roster:
    """One worker's. ``desks`` are its own, one for each stream; they look for theirs when something has changed."""

    def __init__(self, redis: Client, owner: str) -> None:
        self._redis = redis
        self._owner = owner
        self._share = keys.WORKER_STREAMS
        self._changed = asyncio.Event()
        self.desks: list[Desk] = []

    def may_hold(self, number: int) -> bool:
        """Whether a stream may be taken, or kept."""
        held = sorted((desk.number for desk in self.desks if desk.holding.is_set()), reverse=True)
        return held.index(number) < self._share if number in held else len(held) < self._share

    async def run(self) -> None:
        """Give signs of life, and hear the others', until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._beat_forever())
            tasks.create_task(self._listen_forever())

    async def beat(self) -> None:
        """Say that this worker is there, and count them all.

        Raises:
            RedisError: Redis doesn't answer.
        """
        now = int(time.time() * 1000)
        pipe = self._redis.pipeline(transaction=False)
        pipe.zremrangebyscore(keys.WORKERS, "-inf", now - LIFE_MS)
        pipe.zadd(keys.WORKERS, {self._owner: now})
        pipe.zcard(keys.WORKERS)
        _, is_new, count = await pipe.execute()
        if is_new:
            await self._redis.publish(keys.WORKERS_CHANGED, self._owner)
        share = -(-keys.WORKER_STREAMS // max(1, int(count)))
        if share != self._share:
            self._share = share
            self._look()

    async def go(self) -> None:
        """This worker is not there any more, though it may still hold streams: others are told to take its share."""
        try:
            if await self._redis.zrem(keys.WORKERS, self._owner):
                await self._redis.publish(keys.WORKERS_CHANGED, self._owner)
        except FAILURES as error:
            LOG.warning("Redis does not answer: %r", error)

    async def _beat_forever(self) -> None:
        while True:
            try:
                await self.beat()
            except FAILURES as error:
                LOG.warning("Redis does not answer: %r", error)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(BEAT_EVERY):
                    await self._changed.wait()
            self._changed.clear()

    async def _listen_forever(self) -> None:
        backoff = Backoff()

        def begin() -> None:
            backoff.reset()
            self._changed.set()

        while True:
            try:
                await listen(self._redis, keys.WORKERS_CHANGED, keys.LEASES, on_begin=begin, on_message=self._hear)
            except FAILURES as error:
                LOG.warning("The other workers are not heard: %r", error)
            await backoff.wait()

    def _hear(self, channel: bytes, message: bytes) -> None:
        if channel == keys.WORKERS_CHANGED.encode():
            self._changed.set()
        else:
            self._look(int(message))

    def _look(self, number: int | None = None) -> None:
        for desk in self.desks:
            if number in (None, desk.number):
                desk.look()

"""Answers taken from a list of Redis, for a process that may freeze after each response and hears nothing meanwhile.

It asks only while its one request waits, on the connection that all its commands take, and leaves nothing running.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import cast

from tonearm.jobs.errand import AnyJob
from tonearm.redis import keys
from tonearm.redis.client import FAILURES, HOT_TIMEOUT, Client
from tonearm.redis.handover import slot_of

SHORTEST_S = 0.001
"""Seconds. Redis takes 0 for ever."""


class ReplyLists:
    """Where answers are taken from; see :class:`interactions.replies.ReplyPath`."""

    to = keys.BY_LIST
    listening = True

    def __init__(self, redis: Client, shard_count: int) -> None:
        self._redis = redis
        self._shard_count = shard_count

    def expect(self, job: AnyJob) -> Popped:
        """The answer to come of ``job``."""
        return Popped(self._redis, keys.reply_list(slot_of(job, self._shard_count), job.id))


class Popped:
    """The answer that will be in one list."""

    def __init__(self, redis: Client, key: str) -> None:
        self._redis = redis
        self._key = key

    async def until(self, end: float) -> bytes | None:
        """The answer; ``None`` where it isn't there before ``end``, or nobody can say: it may be claimed then."""
        seconds = end - asyncio.get_running_loop().time()
        if seconds < SHORTEST_S:
            return None
        try:
            async with asyncio.timeout(seconds + HOT_TIMEOUT):
                # To the ms: so Redis is done before anything is asked next.
                found = await cast("Awaitable[list[bytes] | None]", self._redis.blpop([self._key], round(seconds, 3)))
        except FAILURES:
            return None
        return found[1] if found else None

    def forget(self) -> None:
        """Nothing waits but :meth:`until`."""

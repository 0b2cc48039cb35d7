"""A job for a guild's player, handed over by a process that waits for its end."""

from __future__ import annotations

import asyncio

from tonearm.jobs.job import Job, Result
from tonearm.redis import keys
from tonearm.redis.client import Client
from tonearm.redis.handover import Limit, hand_over
from tonearm.redis.results import fetch_standing

POLL_S = (0.02, 0.05, 0.1, 0.25)
"""Seconds between two looks at a job; the last one again and again."""

NOBODYS_LIMIT = Limit(interval_ms=1, burst=1_000)
"""Not a person's wish, so not measured by what a person may."""


async def do_job(client: Client, job: Job, *, shard_count: int, within: float) -> Result:
    """How ``job``, whose ``result_to`` is set, ended; asked again within the hour, how it ended the first time.

    Raises:
        Refused: nobody is there to do it, or too much waits.
        TimeoutError: it is not done within ``within`` seconds. It may be done later.
        RedisError: Redis doesn't answer. It may be done.
    """
    assert job.result_to is not None
    shard = keys.shard_of(job.guild, shard_count)
    async with asyncio.timeout(within):
        limit = NOBODYS_LIMIT
        await hand_over(client, job, shard_count=shard_count, window_ms=0, guild_limit=limit, user_limit=limit)
        looks = 0
        while True:
            standing = await fetch_standing(client, shard, job.guild, job.id)
            if standing is not None and standing.result is not None:
                return standing.result
            await asyncio.sleep(POLL_S[min(looks, len(POLL_S) - 1)])
            looks += 1

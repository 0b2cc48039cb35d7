"""Handing a job to the owner of its shard: one round trip, one script, on the shard's slot."""

from __future__ import annotations

import math

import msgspec

from tonearm.errors import Refused
from tonearm.jobs.errand import AnyJob, ErrandJob
from tonearm.jobs.job import Job, encode
from tonearm.redis import keys
from tonearm.redis.client import Client
from tonearm.redis.script import Script
from tonearm.sentences import Sentence
from tonearm.telemetry import LIMITED

RECORD_MS = 15 * 60 * 1000
"""How long a job is known after its hand-over: as long as an interaction's token lives."""

KEPT_FOR_SCRIPTS_MS = 60 * 60 * 1000
"""The same for a job that a script asked for: it may come back for the result."""

MAX_WAITING = 20
MAX_STREAM = 5_000


class Limit(msgspec.Struct, frozen=True):
    """GCRA: one more each ``interval_ms``, and ``burst`` at once."""

    interval_ms: int
    burst: int


GUILD_LIMIT = Limit(interval_ms=100, burst=40)
USER_LIMIT = Limit(interval_ms=1_000, burst=10)


class HandedOver(msgspec.Struct, frozen=True):
    """The job is in the stream, or was already (``again``).

    ``answer`` is the answer of the first delivery, if it is there. ``deferred`` tells that the first delivery has been
    answered with a deferral.
    """

    again: bool = False
    answer: bytes | None = None
    deferred: bool = False


_script = Script("handover")

_LIMITERS = {limiter: LIMITED.labels(limiter.decode()) for limiter in (b"user", b"guild", b"waiting", b"busy")}


async def hand_over(
    client: Client,
    job: AnyJob,
    *,
    shard_count: int,
    window_ms: int,
    guild_limit: Limit = GUILD_LIMIT,
    user_limit: Limit = USER_LIMIT,
) -> HandedOver:
    """Append ``job`` to its shard's stream unless it was before.

    ``window_ms`` is how long its answer is waited for; 0 when it is answered by a deferral at once.

    Raises:
        Refused: a limit is reached, or nobody is there to do it. Nothing was done.
        RedisError: Redis is down, hanging or refusing. The job may have been appended.
    """
    shard = slot_of(job, shard_count)
    status, *rest = await _script(
        client,
        [
            keys.record(shard, job.id),
            keys.jobs(shard),
            keys.lease(shard),
            keys.waiting(shard, job.guild),
            keys.guild_limit(shard, job.guild),
            keys.user_limit(shard, job.guild, job.user),
            keys.player(shard, job.guild),
            keys.count(shard),
        ],
        [
            job.id,
            encode(job),
            window_ms,
            KEPT_FOR_SCRIPTS_MS if isinstance(job, Job) and job.result_to is not None else RECORD_MS,
            guild_limit.interval_ms,
            guild_limit.burst,
            user_limit.interval_ms,
            user_limit.burst,
            MAX_WAITING,
            MAX_STREAM,
            shard_count,
            job.guild,
        ],
    )
    if (limiter := _LIMITERS.get(status)) is not None:
        limiter.inc()
    match status:
        case b"queued":
            return HandedOver()
        case b"seen":
            return HandedOver(again=True, answer=rest[0] or None, deferred=rest[1] == b"1")
        case b"user":
            raise Refused(Sentence.TOO_MANY_FROM_USER, seconds=_seconds(rest[0]))
        case b"guild":
            raise Refused(Sentence.TOO_MANY_FROM_GUILD, seconds=_seconds(rest[0]))
        case b"waiting":
            raise Refused(Sentence.TOO_MANY_WAITING, limit=MAX_WAITING)
        case b"busy":
            raise Refused(Sentence.TOO_BUSY)
        case _:
            raise Refused(Sentence.NO_WORKER if isinstance(job, ErrandJob) else Sentence.NO_PLAYER)


def slot_of(job: AnyJob, shard_count: int) -> int:
    """Where a job is done: the guild's shard, or its stream among the workers' (below zero)."""
    return keys.stream_of(job.guild) if isinstance(job, ErrandJob) else keys.shard_of(job.guild, shard_count)


def _seconds(ms: int) -> int:
    return max(1, math.ceil(ms / 1000))

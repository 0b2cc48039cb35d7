"""Jobs that were given up, and how often a job that was taken over has been tried."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable
from typing import Any, cast

import msgspec

from tonearm.errors import LeaseLost
from tonearm.jobs.errand import AnyJob, ErrandJob, replayed
from tonearm.jobs.job import DeadLetter, decode_dead, encode
from tonearm.redis import keys
from tonearm.redis.client import Client
from tonearm.redis.handover import RECORD_MS
from tonearm.redis.script import Script

_attempt = Script("attempt")
_replay = Script("replay")


class Kept(msgspec.Struct, frozen=True):
    """A dead letter where it lies."""

    shard: int
    entry: str
    letter: DeadLetter


async def fetch_dead(client: Client, shard: int, *, most: int = 1_000) -> list[Kept]:
    """The dead letters of a shard, oldest first.

    Raises:
        RedisError: Redis doesn't answer.
    """
    entries = await cast("Awaitable[list[Any]]", client.xrange(keys.dead(shard), count=most))
    return [Kept(shard, entry.decode(), decode_dead(fields[b"d"])) for entry, fields in entries]


async def remove_dead(client: Client, letters: Iterable[Kept]) -> None:
    """Delete these dead letters; those that are gone already stay so.

    Raises:
        RedisError: Redis doesn't answer. Some may be deleted.
    """
    for kept in letters:
        await client.xdel(keys.dead(kept.shard), kept.entry)


async def remove_dead_of(client: Client, shard: int, guild: int) -> None:
    """Delete the dead letters of ``guild`` that lie in ``shard``.

    Raises:
        RedisError: Redis doesn't answer. Some may be deleted.
    """
    await remove_dead(client, [kept for kept in await fetch_dead(client, shard) if kept.letter.guild == guild])


def job_of(letter: DeadLetter) -> AnyJob | None:
    """What was given up; ``None`` where it can't be read."""
    if letter.errand is None:
        return letter.job
    try:
        return msgspec.convert(letter.errand, ErrandJob)
    except msgspec.ValidationError:
        return None


async def replay(client: Client, kept: Kept) -> str:
    """Hand the job or errand over again, once: ``queued``, ``gone`` (another did it before), ``ownerless`` (no voice
    node or worker is there to do it; it is kept) or ``unreadable``.

    Its time begins anew. Nobody hears its answer.

    Raises:
        RedisError: Redis doesn't answer. It may have been handed over; to ask again is safe.
    """
    given_up = job_of(kept.letter)
    if given_up is None:
        return "unreadable"
    job = replayed(given_up)
    said: bytes = await _replay(
        client,
        [
            keys.dead(kept.shard),
            keys.jobs(kept.shard),
            keys.lease(kept.shard),
            keys.record(kept.shard, job.id),
            keys.waiting(kept.shard, job.guild),
            keys.player(kept.shard, job.guild),
        ],
        [kept.entry, job.id, encode(job), RECORD_MS, job.guild],
    )
    return said.decode()


async def forgive_attempt(client: Client, shard: int, job: str) -> None:
    """What was counted by :func:`count_attempt` ended for another reason than the job.

    It needs no token: who takes back its own count may be an owner no more.

    Raises:
        RedisError: Redis doesn't answer. It may have been forgiven.
    """
    await client.hincrby(keys.record(shard, job), "tries", -1)


async def count_attempt(client: Client, shard: int, job: str, token: str) -> tuple[int, bool]:
    """A job that was taken over is about to be tried: how often it has been since, this time included, and whether it
    is done already.

    ``token`` is the shard's fencing token: who does not own the shard any more does not count against a job.

    Raises:
        LeaseLost: the shard is another's.
        RedisError: Redis doesn't answer. It may have been counted.
    """
    counted = await _attempt(client, [keys.lease(shard), keys.record(shard, job)], [token, RECORD_MS])
    if not counted:
        raise LeaseLost(f"shard {shard} has another owner")
    tries, done = counted
    return int(tries), bool(done)

"""The answer's way back: published at the commit, claimed at the window's end, edited in when nobody confirmed it."""

from __future__ import annotations

import logging
from collections.abc import Awaitable
from typing import Any, cast

import msgspec

from tonearm.errors import LeaseLost
from tonearm.jobs.job import Answer, Reply, decode_answer
from tonearm.redis import keys
from tonearm.redis.client import Client
from tonearm.redis.script import Script
from tonearm.telemetry import ANSWERS, ANSWERS_LOST, context

log = logging.getLogger(__name__)

KEPT_AFTER_MS = 60_000
"""How long a record outlives the time at which its answer is edited in."""

_claim = Script("claim")
_confirm = Script("confirm")
_owed = Script("owed")
_decode_reply = msgspec.json.Decoder(Reply).decode


async def claim(client: Client, shard: int, job: str) -> bytes | None:
    """The answer of ``job`` if it is there; else the job is deferred from now on, and its owner edits the answer in.

    Raises:
        RedisError: Redis doesn't answer. Defer: the owner edits the answer in when nobody confirms it.
    """
    answer: bytes | None = await _claim(client, [keys.record(shard, job)], [])
    return answer


async def confirm_response(client: Client, shard: int, job: str) -> None:
    """The response of the interaction of ``job`` was written, with the answer in it.

    Nothing is owed any more, unless the interaction was deferred or delivered more than once: then an edit has to show
    the answer, as nobody knows which response Discord took.

    Raises:
        RedisError: Redis doesn't answer; the answer will be edited in once more, which changes nothing.
    """
    await _confirm(client, [keys.record(shard, job), keys.outbox(shard)], [job])


async def confirm(client: Client, shard: int, job: str, token: str) -> None:
    """An edit has shown the answer of ``job``: forget that it is owed, and the interaction's token with it.

    ``token`` is the shard's fencing token.

    Raises:
        LeaseLost: the shard is another's, who will edit the answer in once more, which changes nothing.
        RedisError: Redis doesn't answer; the same.
    """
    await _settle(client, shard, job, token, "", "")


class Owed(msgspec.Struct, frozen=True):
    """An answer that is not known to have arrived. ``deferred``: its interaction was answered by a deferral."""

    job: str
    answer: Answer
    reply: Reply
    deferred: bool


async def fetch_owed(client: Client, shard: int, now_ms: int, *, most: int = 20) -> list[Owed]:
    """The answers that are due to be edited in.

    Raises:
        RedisError: Redis doesn't answer.
    """
    due = await client.zrange(keys.outbox(shard), "-inf", now_ms, byscore=True, offset=0, num=most)
    owed: list[Owed] = []
    for name in due:
        job = name.decode() if isinstance(name, bytes) else str(name)
        found = await fetch_one_owed(client, shard, job)
        if found is not None:
            owed.append(found)
        elif await client.zrem(keys.outbox(shard), job):
            # Not confirmed meanwhile, which takes the name along: it outlived its record, and the interaction's token.
            log.warning("An answer is owed that has no record any more", extra=context(job=job))
            ANSWERS.labels("expired").inc()
            ANSWERS_LOST.inc()
    return owed


async def fetch_one_owed(client: Client, shard: int, job: str) -> Owed | None:
    """What is owed for ``job``; ``None`` when it was confirmed or is too old.

    Raises:
        RedisError: Redis doesn't answer.
    """
    fields = cast("Awaitable[list[Any]]", client.hmget(keys.record(shard, job), ["answer", "reply", "deferred"]))
    answer, reply, deferred = await fields
    if not answer or not reply:
        return None
    return Owed(job, decode_answer(answer), _decode_reply(reply), deferred == b"1")


async def postpone(client: Client, shard: int, job: str, until_ms: int, token: str) -> None:
    """Try to edit the answer of ``job`` in again at ``until_ms``; it is kept at least as long.

    ``token`` is the shard's fencing token.

    Raises:
        LeaseLost: the shard is another's.
        RedisError: Redis doesn't answer.
    """
    await _settle(client, shard, job, token, until_ms, until_ms + KEPT_AFTER_MS)


async def _settle(client: Client, shard: int, job: str, token: str, again_ms: int | str, kept_ms: int | str) -> None:
    names = [keys.lease(shard), keys.record(shard, job), keys.outbox(shard)]
    if not await _owed(client, names, [token, job, again_ms, kept_ms]):
        raise LeaseLost(f"shard {shard} has another owner")

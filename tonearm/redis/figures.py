"""How much waits in Redis, and how full it is: a few commands for each shard and each of the workers' streams."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

import msgspec
from redis.asyncio import RedisCluster

from tonearm.discord.snowflake import made_ms
from tonearm.redis import keys
from tonearm.redis.client import Client, Refusal, is_withheld, now_ms

LOOKED_AT = 20
"""Answers of each shard, those that are due first, of which the oldest is looked for."""

COMMANDS = 6
"""Commands for each shard."""


class Figures(msgspec.Struct, frozen=True):
    """At one moment. ``owned`` and ``ownerless`` are shards; the other numbers are of the workers' streams too.

    Ages are in ms, 0 where there is nothing. ``memory`` is the used part of maxmemory, at the fullest master; 0 where
    there is no maxmemory, or where Redis keeps it to itself.
    """

    owned: int
    ownerless: int
    backlog: int
    oldest_job_ms: int
    dead: int
    owed: int
    oldest_owed_ms: int
    memory: float


async def fetch_figures(client: Client, shard_count: int) -> Figures:
    """What there is of ``shard_count`` shards.

    Raises:
        RedisError: Redis doesn't answer.
    """
    numbers = (*range(shard_count), *keys.worker_streams())
    pipe = client.pipeline(transaction=False)
    for number in numbers:
        pipe.exists(keys.lease(number))
        pipe.xlen(keys.jobs(number))
        pipe.xrange(keys.jobs(number), count=1)
        pipe.xlen(keys.dead(number))
        pipe.zcard(keys.outbox(number))
        pipe.zrange(keys.outbox(number), 0, LOOKED_AT - 1)
    found = await pipe.execute()
    now = await now_ms(client)
    leases, backlogs, firsts, dead, owed, answers = (found[at::COMMANDS] for at in range(COMMANDS))
    owned = sum(leases[:shard_count])
    return Figures(
        owned=owned,
        ownerless=shard_count - owned,
        backlog=sum(backlogs),
        oldest_job_ms=_oldest(now, (_asked_ms(entries[0]) for entries in firsts if entries)),
        dead=sum(dead),
        owed=sum(owed),
        oldest_owed_ms=_oldest(now, filter(None, (_made_ms(name) for names in answers for name in names))),
        memory=await fetch_memory_used(client),
    )


async def fetch_memory_used(client: Client) -> float:
    """The used part of maxmemory, at the fullest master; 0 where there is none, or where Redis keeps it to itself.

    Raises:
        RedisError: Redis doesn't answer.
    """
    try:
        return max(_used(info) for info in await _infos(client))
    except Refusal as error:
        if not is_withheld(error):
            raise
        return 0.0


def _oldest(now_ms: int, times: Iterable[int]) -> int:
    """The age of the first of ``times``: 0 where there is none, or where its clock is before ours."""
    return max(0, now_ms - min(times, default=now_ms))


def _asked_ms(entry: tuple[bytes, Any]) -> int:
    """When the job of a stream's entry was handed over."""
    return int(entry[0].partition(b"-")[0])


def _made_ms(job: bytes) -> int:
    """When the interaction of a job was made; 0 where it came from none."""
    kind, _, interaction = job.partition(b":")
    return made_ms(int(interaction)) if kind == b"i" and interaction.isdigit() else 0


async def _infos(client: Any) -> list[dict[str, Any]]:
    """What each master says of its memory."""
    if not isinstance(client, RedisCluster):
        return [await client.info("memory")]
    command = client.execute_command
    return [
        cast("dict[str, Any]", await command("INFO", "memory", target_nodes=each)) for each in client.get_primaries()
    ]


def _used(info: dict[str, Any]) -> float:
    most = int(info.get("maxmemory", 0))
    return int(info["used_memory"]) / most if most else 0.0

"""The whole installation as Redis knows it, for people: a few commands for each shard, and none for a guild."""

from __future__ import annotations

from collections.abc import Awaitable, Iterator, Sequence
from typing import Any, cast

import msgspec

from tonearm.jobs.job import DeadLetter, decode_dead
from tonearm.redis import keys, members, servers
from tonearm.redis.client import Client, now_ms
from tonearm.redis.faults import Fault, fetch_faults
from tonearm.redis.figures import fetch_memory_used

AT_ONCE = 500
"""Shards of which is asked in one round trip."""

MOST_DEAD = 5
"""Dead letters that are told, the latest ones."""

MOST_FAULTS = 5
"""The same of faults."""

_COMMANDS = 7


class Standing(msgspec.Struct, frozen=True):
    """How a shard stands, or (``number`` below zero) one of the workers' streams.

    ``owner`` is empty where nobody has it; ``held_ms`` is how long its owner has had it, and ``lease_ms`` how long it
    keeps it without a further word. ``players`` are those that should be in a voice channel. ``backlog`` are jobs that
    are not done, and ``oldest_ms`` is the age of the first. ``owed`` are answers not known to have arrived.
    """

    number: int
    owner: str = ""
    held_ms: int = 0
    lease_ms: int = 0
    players: int = 0
    backlog: int = 0
    oldest_ms: int = 0
    owed: int = 0
    dead: int = 0


class Buried(msgspec.Struct, frozen=True):
    """A job that was given up: where it lies, and its letter."""

    number: int
    letter: DeadLetter


class Overview(msgspec.Struct, frozen=True):
    """Everything at ``at_ms``. ``memory`` is the used part of maxmemory, 0 where there is none."""

    at_ms: int
    memory: float = 0.0
    shards: tuple[Standing, ...] = ()
    streams: tuple[Standing, ...] = ()
    nodes: tuple[members.Seen, ...] = ()
    workers: int = 0
    servers: tuple[servers.SeenServer, ...] = ()
    draining: frozenset[str] = frozenset()
    dead: tuple[Buried, ...] = ()
    faults: tuple[Fault, ...] = ()


async def fetch_overview(client: Client) -> Overview:
    """How everything is.

    Raises:
        RedisError: Redis doesn't answer.
    """
    written = cast("bytes | None", await client.get(keys.SHARD_COUNT))
    at_ms = await now_ms(client)
    shards = await _fetch_standings(client, range(int(written or 0)), at_ms)
    streams = await _fetch_standings(client, keys.worker_streams(), at_ms)
    return Overview(
        at_ms=at_ms,
        memory=await fetch_memory_used(client),
        shards=shards,
        streams=streams,
        nodes=tuple(await members.fetch_members(client)),
        workers=await client.zcount(keys.WORKERS, at_ms - members.LIFE_MS, "+inf"),
        servers=tuple(await servers.fetch_seen(client)),
        draining=await servers.fetch_draining(client),
        dead=await _fetch_latest_dead(client, [each.number for each in (*shards, *streams) if each.dead]),
        faults=tuple(await fetch_faults(client, most=MOST_FAULTS)),
    )


async def _fetch_standings(client: Client, numbers: Sequence[int], at_ms: int) -> tuple[Standing, ...]:
    found: list[Standing] = []
    for some in _batches(numbers):
        pipe = client.pipeline(transaction=False)
        for number in some:
            pipe.hmget(keys.lease(number), ["owner", "token"])
            pipe.pttl(keys.lease(number))
            pipe.scard(keys.active(number))
            pipe.xlen(keys.jobs(number))
            pipe.xrange(keys.jobs(number), count=1)
            pipe.zcard(keys.outbox(number))
            pipe.xlen(keys.dead(number))
        said = await pipe.execute()
        found += [
            _standing(number, said[at : at + _COMMANDS], at_ms)
            for number, at in zip(some, range(0, len(said), _COMMANDS), strict=True)
        ]
    return tuple(found)


def _standing(number: int, said: list[Any], at_ms: int) -> Standing:
    (owner, token), lease_ms, players, backlog, first, owed, dead = said
    return Standing(
        number=number,
        owner=(owner or b"").decode(),
        # A token is the time at which the shard was taken, or a little later.
        held_ms=max(0, at_ms - int(token)) if token else 0,
        lease_ms=max(0, lease_ms),
        players=players,
        backlog=backlog,
        oldest_ms=max(0, at_ms - int(first[0][0].partition(b"-")[0])) if first else 0,
        owed=owed,
        dead=dead,
    )


async def _fetch_latest_dead(client: Client, numbers: Sequence[int]) -> tuple[Buried, ...]:
    """The latest dead letters of all, the last one first."""
    found: list[Buried] = []
    for number in numbers:
        entries = await cast("Awaitable[list[Any]]", client.xrevrange(keys.dead(number), count=MOST_DEAD))
        found += [Buried(number, decode_dead(fields[b"d"])) for _, fields in entries]
    return tuple(sorted(found, key=lambda buried: -buried.letter.at_ms)[:MOST_DEAD])


def _batches(numbers: Sequence[int]) -> Iterator[Sequence[int]]:
    for start in range(0, len(numbers), AT_ONCE):
        yield numbers[start : start + AT_ONCE]

"""Changing the number of shards: every guild's keys go to its new shard, while no voice node runs.

In two phases, of which the marker :data:`keys.RESHARDING` tells. *Copying* destroys nothing: what belongs elsewhere is
copied there, and what all guilds of a shard share (stream, outbox, dead letters, active guilds) is made ready beside
what there is. *Switching* opens each new shard with what was made ready, in one script, and removes what has been
copied. Either can be broken off anywhere and begun again.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any, cast

import msgspec

from tonearm.errors import SettingsError, StartFailed
from tonearm.jobs.job import decode_dead
from tonearm.redis import keys
from tonearm.redis.client import Client, now_ms
from tonearm.redis.script import Script

SHARED: tuple[Callable[[int], str], ...] = (keys.jobs, keys.outbox, keys.dead, keys.active)
"""What the guilds of a shard share and take along."""

KEPT = frozenset({"count", "token", "jobs", "outbox", "dead", "active"})
"""Of a shard that goes on. All else that is no guild's and no job's tells of sessions that end with the old shards."""

BATCH = 500
SILENT_MS = 10_000
"""After this time without a sign of life a voice node is gone."""

_reshard = Script("reshard")
_name = re.compile(rb"\{s(\d+)\}:(?:g:(\d+):(.+)|job:(.+)|(.+))", re.DOTALL)


class _Guild(msgspec.Struct):
    guild: int


_guild_of = msgspec.json.Decoder(_Guild).decode


class Key(msgspec.Struct, frozen=True):
    """A key of a shard: a ``guild``'s, a ``job``'s record, or another one (``rest``)."""

    name: bytes
    shard: int
    guild: int | None = None
    job: str | None = None
    rest: str = ""


async def reshard(client: Client, to: int, tell: Callable[[str], None] = lambda _: None) -> None:
    """Change the number of shards to ``to``; ``tell`` is told each step.

    Raises:
        SettingsError: nothing is known of this number, or another change has to be ended first.
        StartFailed: a voice node runs.
        RedisError: Redis doesn't answer. Begin again.
    """
    phase, before = await _begin(client, to)
    shards = range(max(before, to))
    if phase == "copying":
        try:
            await _close(client, shards)
        except StartFailed:
            for shard in shards:
                await _reshard(client, [keys.count(shard), keys.lease(shard)], [before])
            await client.delete(keys.RESHARDING)
            raise
        await _clean_up(client, before)  # of an attempt before this one
        tell(f"copying the guilds of {before} shards")
        await _copy(client, before, to)
        await client.set(keys.RESHARDING, f"switching {before} {to}")
    tell(f"opening {to} shards")
    for shard in shards:
        pairs = [name for make in SHARED for name in (make(shard), _next(make(shard)))]
        await _reshard(client, [keys.count(shard), keys.lease(shard), *pairs], [to])
    await _clean_up(client, to)
    await _require_no_node(client)
    await client.set(keys.SHARD_COUNT, to)
    await client.delete(keys.RESHARDING)


async def _begin(client: Client, to: int) -> tuple[str, int]:
    written = await client.get(keys.SHARD_COUNT)
    if written is None:
        raise SettingsError("No voice node has run here yet: set TONEARM_SHARD_COUNT, there is nothing to move.")
    await client.set(keys.RESHARDING, f"copying {int(written)} {to}", nx=True)
    marker = cast("bytes | None", await client.get(keys.RESHARDING))
    phase, before, wanted = (marker or b"").decode().split()
    if int(wanted) != to:
        raise SettingsError(
            f"A change to {wanted} shards was begun: end it first, with `tonearm reshard --to {wanted}`."
        )
    return phase, int(before)


async def _close(client: Client, shards: Iterable[int]) -> None:
    await _require_no_node(client)
    for shard in shards:
        if not await _reshard(client, [keys.count(shard), keys.lease(shard)], [keys.MOVING]):
            raise StartFailed(f"shard {shard} has an owner: stop all voice nodes, and wait 10 s.")


async def _require_no_node(client: Client) -> None:
    since = await now_ms(client, keys.BEATS) - SILENT_MS
    alive = cast("list[bytes]", await client.zrange(keys.BEATS, since, "+inf", byscore=True))
    if alive:
        names = ", ".join(sorted(name.decode() for name in alive))
        raise StartFailed(f"voice nodes are running ({names}): stop all of them, and wait 10 s.")


# Copying.


async def _copy(client: Client, before: int, to: int) -> None:
    homes: dict[tuple[int, str], int] = {}
    async for key in _keys(client):
        if key.guild is not None:
            await _bring(client, key, f"g:{key.guild}:{key.rest}", keys.shard_of(key.guild, to))
        elif key.job is not None:
            guild = await _guild_of_record(client, key)
            home = key.shard if guild is None else keys.shard_of(guild, to)
            homes[key.shard, key.job] = home
            await _bring(client, key, f"job:{key.job}", home)
    shared: dict[str, dict[int, list[Any]]] = {kind.__name__: defaultdict(list) for kind in SHARED}
    for shard in range(before):
        await _sort_out(client, shard, to, homes, shared)
    for shard in range(to):
        await _make_stream(client, _next(keys.jobs(shard)), shared["jobs"][shard])
        await _make_stream(client, _next(keys.dead(shard)), shared["dead"][shard])
        await client.delete(_next(keys.active(shard)), _next(keys.outbox(shard)))
        if shared["active"][shard]:
            await client.sadd(_next(keys.active(shard)), *shared["active"][shard])
        if shared["outbox"][shard]:
            await client.zadd(_next(keys.outbox(shard)), dict(shared["outbox"][shard]))


async def _sort_out(
    client: Client, shard: int, to: int, homes: dict[tuple[int, str], int], shared: dict[str, dict[int, list[Any]]]
) -> None:
    """What the guilds of a shard share, by their new shards."""
    for entry, fields in await _stream(client, keys.jobs(shard)):
        shared["jobs"][_home_of_job(fields, shard, to)].append((_id(entry), fields))
    for entry, fields in await _stream(client, keys.dead(shard)):
        guild = decode_dead(fields[b"d"]).guild
        shared["dead"][keys.shard_of(guild, to) if guild else min(shard, to - 1)].append((_id(entry), fields))
    for active in cast("set[bytes]", await client.smembers(keys.active(shard))):
        shared["active"][keys.shard_of(int(active), to)].append(active)
    for job, due in cast("list[tuple[bytes, float]]", await client.zrange(keys.outbox(shard), 0, -1, withscores=True)):
        home = homes.get((shard, job.decode()))
        if home is not None:  # else its record has run out, and there is nothing to deliver
            shared["outbox"][home].append((job, due))


async def _guild_of_record(client: Client, key: Key) -> int | None:
    guild = cast("bytes | None", await client.hget(key.name.decode(), "guild"))
    return int(guild) if guild else None


async def _bring(client: Client, key: Key, rest: str, home: int) -> None:
    """Copy a key to its shard, if that is another one."""
    if home == key.shard:
        return
    name = key.name.decode()
    pipe = client.pipeline(transaction=False)
    pipe.dump(name)
    pipe.pttl(name)
    content, life = await pipe.execute()
    if content is not None:  # it did not run out just now
        await client.restore(f"{{s{home}}}:{rest}", max(0, life), content, replace=True)


def _home_of_job(fields: dict[bytes, bytes], shard: int, to: int) -> int:
    try:
        return keys.shard_of(_guild_of(fields[b"j"]).guild, to)
    except (KeyError, msgspec.DecodeError):
        return min(shard, to - 1)  # nobody can read it; its new owner gives it up


async def _stream(client: Client, name: str) -> list[tuple[bytes, dict[bytes, bytes]]]:
    found: list[tuple[bytes, dict[bytes, bytes]]] = []
    after = "-"
    while batch := await cast("Awaitable[list[Any]]", client.xrange(name, min=after, count=BATCH)):
        found += batch
        after = f"({batch[-1][0].decode()}"
    return found


def _id(entry: bytes) -> tuple[int, int]:
    ms, _, number = entry.partition(b"-")
    return int(ms), int(number)


async def _make_stream(client: Client, name: str, entries: list[tuple[tuple[int, int], dict[bytes, bytes]]]) -> None:
    """The entries in the order of their time, which their ids hold. Those of one guild keep their order."""
    await client.delete(name)
    last = (0, 0)
    for (ms, number), fields in sorted(entries, key=lambda each: each[0]):
        last = max((ms, number), (last[0], last[1] + 1))
        await client.xadd(name, cast("dict[Any, Any]", fields), id=f"{last[0]}-{last[1]}")


# Switching.


async def _clean_up(client: Client, to: int) -> None:
    """Remove what has been copied, and what told of sessions of the old shards."""
    async for key in _keys(client):
        if key.guild is not None:
            stays = keys.shard_of(key.guild, to) == key.shard
        elif key.job is not None:
            guild = await _guild_of_record(client, key)
            stays = key.shard < to and (guild is None or keys.shard_of(guild, to) == key.shard)
        else:
            stays = key.rest in KEPT if key.shard < to else key.rest in ("count", "token")
        if not stays:
            await client.delete(key.name.decode())


def _next(name: str) -> str:
    return f"{name}:next"


async def _keys(client: Client) -> AsyncIterator[Key]:
    """All keys of shards. Of those that come or go meanwhile, some may be missing."""
    for name in [name async for name in _scan(client)]:
        match = _name.fullmatch(name)
        if match is None:
            continue
        shard, guild, of_guild, job, rest = match.groups()
        yield Key(
            name,
            int(shard),
            int(guild) if guild is not None else None,
            job.decode() if job is not None else None,
            (of_guild or rest or b"").decode(),
        )


async def _scan(client: Client) -> AsyncIterator[bytes]:
    for master in await _masters(client):
        cursor = 0
        while True:
            cursor, names = await master.execute_command("SCAN", cursor, "MATCH", "{s*}:*", "COUNT", BATCH)
            for name in names:
                yield name
            if int(cursor) == 0:
                break


async def _masters(client: Client) -> Iterable[Any]:
    primaries = getattr(client, "get_primaries", None)
    if primaries is None:
        return (client,)
    await client.initialize()
    return cast("Iterable[Any]", primaries())

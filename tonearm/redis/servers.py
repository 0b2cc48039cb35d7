"""The Lavalink servers, as the voice nodes see them, and those that an operator wants empty."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable
from typing import Any, cast

import msgspec

from tonearm.redis import keys
from tonearm.redis.client import Client, now_ms

LIFE_MS = 30_000
"""How long what a voice node said of a server is shown."""

KEPT_SECONDS = 300


class SeenServer(msgspec.Struct, frozen=True):
    """A server, as the owner of a shard sees it.

    ``state`` is a word (``connected``, ``draining``, ``away`` or ``open``: it does not answer), ``players`` are those
    of this shard, ``penalty`` tells how bad a place it is for one more.
    """

    name: str
    shard: int
    state: str
    players: int
    penalty: float
    at_ms: int = 0


_decode = msgspec.json.Decoder(SeenServer).decode


async def report(client: Client, seen: Iterable[SeenServer]) -> frozenset[str]:
    """Write how the servers are; returns the names of those that are to be empty.

    Raises:
        RedisError: Redis doesn't answer.
    """
    at_ms = await now_ms(client)
    rows = {
        f"{each.shard}@{each.name}": msgspec.json.encode(msgspec.structs.replace(each, at_ms=at_ms)) for each in seen
    }
    if rows:
        await client.hset(keys.SERVERS, mapping=cast(Any, rows))
        await client.expire(keys.SERVERS, KEPT_SECONDS)
    return await fetch_draining(client)


async def fetch_seen(client: Client) -> list[SeenServer]:
    """All servers as they were seen of late, by name and shard.

    Raises:
        RedisError: Redis doesn't answer.
    """
    found = await cast("Awaitable[dict[bytes, bytes]]", client.hgetall(keys.SERVERS))
    latest = await now_ms(client) - LIFE_MS
    seen = [server for server in map(_decode, found.values()) if server.at_ms >= latest]
    return sorted(seen, key=lambda server: (server.name, server.shard))


async def fetch_draining(client: Client) -> frozenset[str]:
    """The names of the servers that are to be empty.

    Raises:
        RedisError: Redis doesn't answer.
    """
    names = await cast("Awaitable[set[bytes]]", client.smembers(keys.DRAINING))
    return frozenset(name.decode() for name in names)


async def drain(client: Client, name: str) -> bool:
    """Have a server left by its players; ``False`` when that was asked for before.

    Raises:
        RedisError: Redis doesn't answer.
    """
    return bool(await client.sadd(keys.DRAINING, name))


async def undrain(client: Client, name: str) -> bool:
    """Have new players placed there again; ``False`` when it was not to be left.

    Raises:
        RedisError: Redis doesn't answer.
    """
    return bool(await client.srem(keys.DRAINING, name))

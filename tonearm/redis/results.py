"""How the jobs ended that scripts asked for."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, NamedTuple, cast

import msgspec

from tonearm.jobs.job import Result, decode_result
from tonearm.redis import keys
from tonearm.redis.client import Client
from tonearm.redis.guilds import LogEntry

_decode_entry = msgspec.json.Decoder(LogEntry).decode


class Standing(NamedTuple):
    """A job that is known. ``result`` is there once it ended."""

    result: Result | None


async def fetch_standing(client: Client, shard: int, guild: int, job: str) -> Standing | None:
    """How ``job`` of ``guild`` stands; ``None`` where it is not known, or not any more.

    Raises:
        RedisError: Redis doesn't answer.
    """
    fields = cast("Awaitable[list[Any]]", client.hmget(keys.record(shard, job), ["guild", "answer"]))
    whose, answer = await fields
    if whose is None or int(whose) != guild:
        return None
    return Standing(decode_result(answer) if answer else None)


async def fetch_log(client: Client, shard: int, guild: int, *, last: int) -> list[LogEntry]:
    """The ``last`` entries of who did what in ``guild``, oldest first.

    Raises:
        RedisError: Redis doesn't answer.
    """
    found = await cast("Awaitable[list[bytes]]", client.lrange(keys.log(shard, guild), -last, -1))
    return [_decode_entry(entry) for entry in found]

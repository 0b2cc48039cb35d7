"""The last faults of all processes: what an operator wants to see before the logs are looked through."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import cast

import msgspec

from tonearm.redis import keys
from tonearm.redis.client import Client

MOST_KEPT = 100


class Fault(msgspec.Struct, frozen=True, omit_defaults=True):
    """Something that went wrong, without what people typed: ``what`` is a sentence of ours without its values.

    ``process`` is the name of the process, ``error`` the type of the exception behind it, and ``at_ms`` the time by
    the process' own clock.
    """

    at_ms: int
    process: str
    what: str
    error: str = ""
    job: str = ""
    guild: int = 0


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Fault).decode


async def keep(client: Client, faults: Sequence[Fault]) -> None:
    """Put these before the others, the last one first; those beyond :data:`MOST_KEPT` are forgotten.

    Raises:
        RedisError: Redis doesn't answer. They may be kept.
    """
    pipe = client.pipeline(transaction=False)
    pipe.lpush(keys.FAULTS, *map(_encode, faults))
    pipe.ltrim(keys.FAULTS, 0, MOST_KEPT - 1)
    await pipe.execute()


async def fetch_faults(client: Client, *, most: int = MOST_KEPT) -> list[Fault]:
    """The last ones, the last one first.

    Raises:
        RedisError: Redis doesn't answer.
    """
    found = await cast("Awaitable[list[bytes]]", client.lrange(keys.FAULTS, 0, most - 1))
    return [_decode(each) for each in found]

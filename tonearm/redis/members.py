"""The voice nodes of this installation: each says every second or so that it is there, and hears who else is."""

from __future__ import annotations

import msgspec

from tonearm.jobs.job import encode
from tonearm.redis import keys
from tonearm.redis.client import Client, now_ms
from tonearm.redis.script import Script

LIFE_MS = 8_000
"""How long a silent node is remembered."""

_beat = Script("beat")


class Member(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a voice node says of itself.

    ``since_ms`` is when it came, by Redis' clock. ``shards`` are those whose lease it holds. Who is ``leaving`` takes
    no more. ``version`` is that of the program, for people.
    """

    name: str
    since_ms: int
    shards: tuple[int, ...] = ()
    leaving: bool = False
    version: str = ""


class Seen(msgspec.Struct, frozen=True):
    """A member, and how long ago its last sign of life was."""

    member: Member
    silent_ms: int


_decode = msgspec.json.Decoder(Member).decode


async def beat(client: Client, member: Member, *, tell: bool = False, life_ms: int = LIFE_MS) -> list[Seen]:
    """Say that ``member`` is there; returns all members, itself among them.

    A new member, or any with ``tell``, is announced on :data:`keys.NODES`.

    Raises:
        RedisError: Redis doesn't answer.
    """
    args: list[str | bytes | int] = [member.name, encode(member), life_ms, keys.NODES, int(tell)]
    found = await _beat(client, [keys.BEATS, keys.ABOUT], args)
    return [Seen(_decode(about), int(silent)) for about, silent in zip(found[::2], found[1::2], strict=True) if about]


async def fetch_members(client: Client) -> list[Seen]:
    """All members, for who is none; the eldest first. Where no member is left, those who went last are there for good.

    Raises:
        RedisError: Redis doesn't answer.
    """
    pipe = client.pipeline(transaction=False)
    pipe.zrange(keys.BEATS, 0, -1, withscores=True)
    pipe.hgetall(keys.ABOUT)
    beats, about = await pipe.execute()
    at_ms = await now_ms(client, keys.BEATS)
    found = [Seen(_decode(about[name]), max(0, at_ms - int(beat))) for name, beat in beats if name in about]
    return sorted(found, key=lambda seen: (seen.member.since_ms, seen.member.name))


async def forget(client: Client, name: str) -> None:
    """The node ``name`` has gone.

    Raises:
        RedisError: Redis doesn't answer; it is forgotten when its life is over.
    """
    pipe = client.pipeline(transaction=False)
    pipe.zrem(keys.BEATS, name)
    pipe.hdel(keys.ABOUT, name)
    await pipe.execute()
    await client.publish(keys.NODES, name)

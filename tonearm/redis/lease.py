"""A shard's lease: who may write, proved by a fencing token."""

from __future__ import annotations

from collections.abc import Sequence

from tonearm.redis import keys
from tonearm.redis.client import Client
from tonearm.redis.script import Script

LEASE_MS = 8_000
"""How long a lease lives without being renewed."""

SIGN_MS = 10 * 60 * 1000
"""How long it is known when an owner was last heard."""

_take = Script("lease")
_renew = Script("renew")
_retake = Script("retake")


async def take(client: Client, shard: int, owner: str, *, life_ms: int = LEASE_MS) -> str | None:
    """A new fencing token, or ``None`` while another node holds the shard.

    Raises:
        RedisError: Redis doesn't answer.
    """
    token: bytes | None = await _take(
        client, [keys.lease(shard), keys.token(shard), keys.count(shard)], [owner, life_ms]
    )
    return token.decode() if token else None


async def renew(client: Client, shard: int, token: str, *, life_ms: int = LEASE_MS) -> bool:
    """Keep the lease; ``False`` when it is another's by now.

    Raises:
        RedisError: Redis doesn't answer.
    """
    return bool(await _tell(client, shard, token, life_ms))


async def retake(client: Client, shard: int, owner: str, token: str, *, life_ms: int = LEASE_MS) -> str | None:
    """A new fencing token for a lease that ran out; ``None`` when somebody else has had the shard since ``token``, or
    has it now, or when Redis has lost what it knew.

    Raises:
        RedisError: Redis doesn't answer. It may have been taken: then nobody has it until it runs out.
    """
    taken: bytes | None = await _retake(
        client, [keys.lease(shard), keys.token(shard), keys.count(shard)], [owner, life_ms, token]
    )
    return taken.decode() if taken else None


async def release(client: Client, shard: int, token: str) -> bool:
    """Give the lease back; the number of the shard is published on :data:`keys.LEASES`. ``False`` when it is not ours
    any more, and nothing happens.

    Raises:
        RedisError: Redis doesn't answer; the lease runs out by itself.
    """
    return bool(await _tell(client, shard, token, 0))


async def _tell(client: Client, shard: int, token: str, life_ms: int) -> int:
    names = [keys.lease(shard), keys.sign(shard)]
    told: int = await _renew(client, names, [token, life_ms, keys.LEASES, shard, SIGN_MS])
    return told


async def fetch_sign(client: Client, shard: int) -> int | None:
    """When (ms) an owner renewed the lease for the last time, or gave it back; ``None`` where that is long ago.

    Raises:
        RedisError: Redis doesn't answer.
    """
    sign = await client.get(keys.sign(shard))
    return None if sign is None else int(sign)


async def fetch_remaining(client: Client, shards: Sequence[int]) -> dict[int, int]:
    """For how many ms the leases of ``shards`` last unless they are renewed; those that nobody holds are left out.

    Raises:
        RedisError: Redis doesn't answer.
    """
    if not shards:
        return {}
    pipe = client.pipeline(transaction=False)
    for shard in shards:
        pipe.pttl(keys.lease(shard))
    found = zip(shards, await pipe.execute(), strict=True)
    return {shard: remaining for shard, remaining in found if remaining >= 0}

"""What ``tonearm doctor`` looks at in Redis. Each check is one function of what the server said."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from tonearm.doctor.finding import TIMEOUT, Finding
from tonearm.redis.client import FAILURES, connect
from tonearm.settings import PREFIX, Settings


class Server(NamedTuple):
    """What a server says of itself."""

    info: dict[str, Any]
    policy: str


async def examine(settings: Settings) -> list[Finding]:
    """Every check of the configured Redis."""
    client = connect(settings.redis_url, timeout=TIMEOUT)
    try:
        info = await client.info()
        policy = (await client.config_get("maxmemory-policy")).get("maxmemory-policy")
    except FAILURES as error:
        return [Finding("Redis", f"does not answer ({error})", f"Check {PREFIX}REDIS_URL, and that the server runs.")]
    finally:
        await client.aclose()
    server = Server(info, str(policy))
    return [check(server) for check in CHECKS]


def version(server: Server) -> Finding:
    """Which one it is."""
    return Finding("Redis", f"version {server.info.get('valkey_version') or server.info.get('redis_version')}")


def policy(server: Server) -> Finding:
    """Nothing may be thrown away when memory is short."""
    if server.policy == "noeviction":
        return Finding("Redis' policy", server.policy)
    remedy = "Set maxmemory-policy to noeviction: with any other, queues vanish when memory is short."
    return Finding("Redis' policy", server.policy, remedy)


CHECKS: tuple[Callable[[Server], Finding], ...] = (version, policy)

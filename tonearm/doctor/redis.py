"""What ``tonearm doctor`` looks at in Redis. Each check is one function of what a server said."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from tonearm.doctor.finding import TIMEOUT, Finding
from tonearm.redis.client import FAILURES, Client, connect, is_cluster
from tonearm.settings import PREFIX, Settings


class Server(NamedTuple):
    """What a server says of itself. ``name`` is what it is called here; ``coverage`` is there in a cluster."""

    name: str
    info: dict[str, Any]
    policy: str
    coverage: str | None = None


async def examine(settings: Settings) -> list[Finding]:
    """Every check of the configured Redis, of each master where it is a cluster."""
    client = connect(settings.redis_url, timeout=TIMEOUT)
    try:
        servers = await (_masters(client) if is_cluster(settings.redis_url) else _single(client))
    except FAILURES as error:
        return [Finding("Redis", f"does not answer ({error})", f"Check {PREFIX}REDIS_URL, and that the server runs.")]
    finally:
        await client.aclose()
    return [finding for server in servers for check in CHECKS if (finding := check(server)) is not None]


async def _single(client: Client) -> list[Server]:
    policy = await client.config_get("maxmemory-policy")
    return [Server("Redis", await client.info(), str(policy.get("maxmemory-policy")))]


async def _masters(client: Any) -> list[Server]:
    await client.initialize()
    servers = []
    for node in client.get_primaries():
        info = await client.info(target_nodes=node)
        said = await client.config_get("maxmemory-policy", "cluster-require-full-coverage", target_nodes=node)
        policy, coverage = str(said.get("maxmemory-policy")), str(said.get("cluster-require-full-coverage"))
        servers.append(Server(f"Redis at {node.name}", info, policy, coverage))
    return servers


def version(server: Server) -> Finding:
    """Which one it is."""
    return Finding(server.name, f"version {server.info.get('valkey_version') or server.info.get('redis_version')}")


def policy(server: Server) -> Finding:
    """Nothing may be thrown away when memory is short."""
    name = f"{server.name}, policy" if server.coverage else "Redis' policy"
    if server.policy == "noeviction":
        return Finding(name, server.policy)
    remedy = "Set maxmemory-policy to noeviction: with any other, queues vanish when memory is short."
    return Finding(name, server.policy, remedy)


def coverage(server: Server) -> Finding | None:
    """One master that is away must not stop the others."""
    if server.coverage is None:
        return None
    name = f"{server.name}, cluster-require-full-coverage"
    if server.coverage == "no":
        return Finding(name, server.coverage)
    remedy = (
        "Set cluster-require-full-coverage to no: with yes, a master that is away stops the music of all guilds, "
        "not only of its own."
    )
    return Finding(name, server.coverage, remedy)


CHECKS: tuple[Callable[[Server], Finding | None], ...] = (version, policy, coverage)

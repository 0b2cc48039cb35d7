"""What ``tonearm doctor`` looks at in Redis. Each check is one function of what a server said.

Managed ones keep ``CONFIG`` to themselves: what INFO tells is taken from there, and what is not told is a warning.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, NamedTuple

from tonearm.doctor.finding import TIMEOUT, Finding
from tonearm.redis.client import FAILURES, Client, Refusal, connect, is_cluster, is_withheld
from tonearm.settings import PREFIX, Settings

COVERAGE = "cluster-require-full-coverage"


class Server(NamedTuple):
    """What a server says of itself. ``name`` is what it is called here.

    ``info`` is ``None`` and ``coverage`` empty where it keeps them to itself. Only a cluster is asked for ``coverage``.
    """

    name: str
    info: dict[str, Any] | None
    in_cluster: bool = False
    coverage: str = ""


async def examine(settings: Settings) -> list[Finding]:
    """Every check of the configured Redis, of each master where it is a cluster."""
    client = connect(settings.redis_url, timeout=TIMEOUT)
    try:
        return await (_cluster(client) if is_cluster(settings.redis_url) else _look("Redis", client))
    finally:
        await client.aclose()


async def _cluster(client: Any) -> list[Finding]:
    try:
        await client.initialize()
    except FAILURES as error:
        return [_away("Redis", error)]
    masters = client.get_primaries()
    found = await asyncio.gather(*(_look(f"Redis at {each.name}", client, target_nodes=each) for each in masters))
    return [finding for findings in found for finding in findings]


async def _look(name: str, client: Client, **where: Any) -> list[Finding]:
    """Every check of one server: of a cluster the one that ``where`` names."""
    try:
        info = await _info(client, where)
        server = Server(name, info, bool(where), await _coverage(client, where) if where else "")
    except FAILURES as error:
        return [_away(name, error)]
    return [finding for check in CHECKS if (finding := check(server)) is not None]


async def _info(client: Client, where: dict[str, Any]) -> dict[str, Any] | None:
    try:
        said: dict[str, Any] = await client.info(**where)
    except Refusal as error:
        if is_withheld(error):
            return None
        raise
    return said


async def _coverage(client: Client, where: dict[str, Any]) -> str:
    try:
        said = await client.config_get(COVERAGE, **where)
    except Refusal:
        return ""
    return str(said.get(COVERAGE, ""))


def _away(name: str, error: BaseException) -> Finding:
    remedy = f"Check {PREFIX}REDIS_URL, and that the server runs."
    return Finding(name, f"does not answer ({str(error) or type(error).__name__})", remedy)


def version(server: Server) -> Finding:
    """Which one it is."""
    if server.info is None:
        remedy = "Give its user the right to INFO (ACL: +info), or see by hand that it is Redis >= 7.2 or Valkey >= 8."
        return Finding(server.name, "answers, but refuses INFO", remedy, minor=True)
    return Finding(server.name, f"version {server.info.get('valkey_version') or server.info.get('redis_version')}")


def policy(server: Server) -> Finding:
    """Nothing may be thrown away when memory is short."""
    name = f"{server.name}, policy" if server.in_cluster else "Redis' policy"
    said = (server.info or {}).get("maxmemory_policy")
    if said is None:
        remedy = "See by hand, of a managed one in its parameter group, that maxmemory-policy is noeviction."
        return Finding(name, "is not told", remedy, minor=True)
    if said == "noeviction":
        return Finding(name, said)
    remedy = "Set maxmemory-policy to noeviction: with any other, queues vanish when memory is short."
    return Finding(name, str(said), remedy)


def coverage(server: Server) -> Finding | None:
    """One master that is away must not stop the others."""
    if not server.in_cluster:
        return None
    name = f"{server.name}, {COVERAGE}"
    if server.coverage == "no":
        return Finding(name, server.coverage)
    why = "with yes, a master that is away stops the music of all guilds, not only of its own."
    if not server.coverage:
        remedy = f"See by hand, of a managed one in its parameter group, that it is no: {why}"
        return Finding(name, "is not told", remedy, minor=True)
    return Finding(name, server.coverage, f"Set {COVERAGE} to no: {why}")


CHECKS: tuple[Callable[[Server], Finding | None], ...] = (version, policy, coverage)

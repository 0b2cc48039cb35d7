"""What the doctor says of Redis: a single one, a cluster, and those that keep commands to themselves."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import redis.asyncio

from playground.stores.valkey_cluster import MASTERS, ValkeyCluster
from tonearm.doctor import redis as looking
from tonearm.doctor.finding import Finding, Verdict
from tonearm.settings import PREFIX, load


async def look(url: str) -> dict[str, Finding]:
    found = await looking.examine(load((), {f"{PREFIX}REDIS_URL": url}))
    return {finding.what: finding for finding in found}


@asynccontextmanager
async def restricted(client: redis.asyncio.Redis[Any], url: str, *rules: str) -> AsyncIterator[str]:
    """The URL of a user who may do everything but what ``rules`` take away."""
    await client.execute_command("ACL SETUSER", "managed", "reset", "on", ">pw", "~*", "&*", "+@all", *rules)
    try:
        yield url.replace("://", "://managed:pw@")
    finally:
        await client.execute_command("ACL DELUSER", "managed")


async def test_a_managed_one_that_refuses_config_is_healthy(
    redis_url: str, redis_client: redis.asyncio.Redis[Any]
) -> None:
    async with restricted(redis_client, redis_url, "-config") as url:
        found = await look(url)
    assert {what: finding.verdict for what, finding in found.items()} == {
        "Redis": Verdict.OK,
        "Redis' policy": Verdict.OK,
    }
    assert found["Redis' policy"].found == "noeviction"


async def test_one_that_refuses_info_is_to_be_looked_at_by_hand(
    redis_url: str, redis_client: redis.asyncio.Redis[Any]
) -> None:
    async with restricted(redis_client, redis_url, "-info") as url:
        found = await look(url)
    assert {finding.verdict for finding in found.values()} == {Verdict.WARNING}
    assert "INFO" in found["Redis"].found
    assert "by hand" in found["Redis' policy"].remedy


async def test_one_that_refuses_the_password_is_an_error(
    redis_url: str, redis_client: redis.asyncio.Redis[Any]
) -> None:
    async with restricted(redis_client, redis_url) as url:
        (found,) = (await look(url.replace("pw@", "wrong@"))).values()
    assert found.verdict is Verdict.ERROR


@pytest.mark.parametrize("url", [lambda url: f"{url}/99999", lambda _: "redis+cluster://:secret@127.0.0.1:1"])
async def test_what_does_not_work_is_an_error(redis_url: str, url: Callable[[str], str]) -> None:
    (found,) = (await look(url(redis_url))).values()
    assert found.verdict is Verdict.ERROR
    assert "secret" not in found.found


@pytest.mark.parametrize(("coverage", "verdict"), [("no", Verdict.OK), ("yes", Verdict.ERROR)])
async def test_each_master_of_a_cluster_is_looked_at(coverage: str, verdict: Verdict) -> None:
    async with ValkeyCluster(coverage=coverage) as cluster:
        await cluster.call(1, "CONFIG SET", "maxmemory-policy", "allkeys-lru")
        found = await look(cluster.url)
        names = [f"Redis at 127.0.0.1:{master.port}" for master in cluster.masters]
    assert len(found) == 3 * MASTERS
    for number, name in enumerate(names):
        assert found[name].found.startswith("version ")
        assert found[f"{name}, cluster-require-full-coverage"].verdict is verdict
        assert found[f"{name}, policy"].verdict is (Verdict.ERROR if number == 1 else Verdict.OK)


async def test_a_master_that_keeps_its_settings_to_itself_or_is_away_hides_no_other() -> None:
    async with ValkeyCluster() as cluster:
        names = [f"Redis at 127.0.0.1:{master.port}" for master in cluster.masters]
        await cluster.call(1, "ACL SETUSER", "default", "-config")
        await cluster.masters[2].kill()
        found = await look(cluster.url)
    coverage = [found.get(f"{name}, cluster-require-full-coverage") for name in names]
    assert coverage[0] is not None
    assert coverage[0].verdict is Verdict.OK
    assert coverage[1] is not None
    assert coverage[1].verdict is Verdict.WARNING
    assert "by hand" in coverage[1].remedy
    assert found[f"{names[1]}, policy"].verdict is Verdict.OK
    assert coverage[2] is None
    assert found[names[2]].verdict is Verdict.ERROR

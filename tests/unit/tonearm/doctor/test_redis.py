"""What the doctor says of a Redis Cluster."""

from __future__ import annotations

import pytest

from playground.stores.valkey_cluster import MASTERS, ValkeyCluster
from tonearm.doctor import redis
from tonearm.doctor.finding import Verdict
from tonearm.settings import PREFIX, load


@pytest.mark.parametrize(("coverage", "verdict"), [("no", Verdict.OK), ("yes", Verdict.ERROR)])
async def test_each_master_of_a_cluster_is_looked_at(coverage: str, verdict: Verdict) -> None:
    async with ValkeyCluster(coverage=coverage) as cluster:
        await cluster.call(1, "CONFIG SET", "maxmemory-policy", "allkeys-lru")
        found = await redis.examine(load((), {f"{PREFIX}REDIS_URL": cluster.url}))
        names = [f"Redis at 127.0.0.1:{master.port}" for master in cluster.masters]
    by_name = {finding.what: finding for finding in found}
    assert len(found) == 3 * MASTERS
    for number, name in enumerate(names):
        assert by_name[name].found.startswith("version ")
        assert by_name[f"{name}, cluster-require-full-coverage"].verdict is verdict
        assert by_name[f"{name}, policy"].verdict is (Verdict.ERROR if number == 1 else Verdict.OK)


async def test_a_cluster_that_is_away() -> None:
    (found,) = await redis.examine(load((), {f"{PREFIX}REDIS_URL": "redis+cluster://:secret@127.0.0.1:1"}))
    assert found.verdict is Verdict.ERROR
    assert "secret" not in found.found

"""The same over a cluster: each step on the slot of its shard, and answers that cross from one master to another."""

import asyncio

import pytest

from playground.stores.valkey_cluster import ValkeyCluster
from tests.support.interactions.signed import GUILD, command, send, text_of
from tests.support.interactions.stub_node import StubNode, answer
from tonearm.redis import keys
from tonearm.redis.client import connect
from tonearm.sentences import Sentence


@pytest.fixture
async def cluster():
    async with ValkeyCluster() as cluster:
        yield cluster


async def test_a_play_over_a_cluster(cluster, serving):
    redis = connect(cluster.url, timeout=5)
    try:
        node = StubNode(redis)
        await node.own()
        assert keys.shard_of(GUILD, 1) == 0
        async with serving(cluster.url, inline_reply_ms=2_000) as http:
            for _ in range(3):
                said = answer("across")
                response, job = await asyncio.gather(send(http, command("play", query="x")), node.do_one(said))
                assert text_of(response) == "across"
                assert await redis.zcard(keys.outbox(0)) == 0
                assert not await redis.hexists(keys.record(0, job.id), "reply")
            await redis.delete(keys.lease(0))
            assert text_of(await send(http, command("pause"))) == Sentence.NO_PLAYER
    finally:
        await redis.aclose()

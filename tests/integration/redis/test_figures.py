"""What waits in Redis, on a single Valkey and on a cluster."""

import pytest

from tests.support.interactions.signed import snowflake
from tests.support.interactions.stub_node import StubNode, answer
from tonearm.jobs.job import DeadLetter, Job, Reply, encode
from tonearm.music.actions import Pause
from tonearm.redis import keys, lease
from tonearm.redis.client import connect, is_cluster, now_ms
from tonearm.redis.figures import Figures, fetch_figures
from tonearm.redis.handover import hand_over

GUILD = 3 << 22
SECOND = 1_000


def job(age_ms=0):
    return Job(f"i:{snowflake(age_ms)}", GUILD, 7, 9, Pause(), 20_000, Reply(1, "token", "reply:here"))


@pytest.fixture
async def node(redis_client):
    node = StubNode(redis_client)
    await node.own()
    return node


async def test_an_empty_store_has_nothing_and_its_shards_are_nobodys(redis_client):
    figures = await fetch_figures(redis_client, 4)
    assert figures == Figures(
        owned=0, ownerless=4, backlog=0, oldest_job_ms=0, dead=0, owed=0, oldest_owed_ms=0, memory=0
    )


async def test_a_shard_with_a_lease_is_owned_and_a_workers_stream_is_no_shard(redis_client):
    for number in (0, 2, -1, -8):
        await lease.take(redis_client, number, "somebody")
    figures = await fetch_figures(redis_client, 4)
    assert (figures.owned, figures.ownerless) == (2, 2)


async def test_jobs_wait_until_they_are_done(redis_client, node):
    for _ in range(3):
        await hand_over(redis_client, job(), shard_count=1, window_ms=800)
    await node.take()  # is in hand, and not done
    assert (await fetch_figures(redis_client, 1)).backlog == 3
    entry, second = await node.take()
    await node.commit(entry, second, answer())
    assert (await fetch_figures(redis_client, 1)).backlog == 2


async def test_the_oldest_job_of_any_stream_counts(redis_client):
    now = await now_ms(redis_client)
    for number, age_s in ((0, 5), (-1, 60), (-8, 1)):
        await redis_client.xadd(keys.jobs(number), {"j": b"{}"}, id=f"{now - age_s * SECOND}-0")
    figures = await fetch_figures(redis_client, 1)
    assert figures.backlog == 3
    assert 60 * SECOND <= figures.oldest_job_ms < 120 * SECOND


async def test_an_answer_is_owed_until_it_is_known_to_have_arrived(redis_client, node):
    asked = job(30 * SECOND)
    await hand_over(redis_client, asked, shard_count=1, window_ms=0)
    await node.do_one()
    figures = await fetch_figures(redis_client, 1)
    assert figures.owed == 1
    assert 30 * SECOND <= figures.oldest_owed_ms < 90 * SECOND
    await redis_client.zadd(keys.outbox(0), {"a:0123": 1, "i:": 2})  # no interactions, so of no age
    assert (await fetch_figures(redis_client, 1)).owed == 3


async def test_dead_letters_are_counted_wherever_they_lie(redis_client):
    letter = encode(DeadLetter("i:1", GUILD, "broken", 0))
    for number in (0, 1, -3):
        await redis_client.xadd(keys.dead(number), {"d": letter})
    assert (await fetch_figures(redis_client, 2)).dead == 3


async def test_memory_is_a_part_of_what_may_be_used(redis_client):
    await redis_client.config_set("maxmemory", 1 << 30)
    try:
        assert 0 < (await fetch_figures(redis_client, 1)).memory < 0.5
    finally:
        await redis_client.config_set("maxmemory", 0)


async def test_where_redis_keeps_its_memory_to_itself_all_else_is_told(redis_client, redis_url):
    everywhere = {"target_nodes": "primaries"} if is_cluster(redis_url) else {}
    rights = ("reset", "on", ">pw", "~*", "&*", "+@all", "-info")
    await redis_client.xadd(keys.dead(0), {"d": encode(DeadLetter("i:1", GUILD, "broken", 0))})
    await redis_client.execute_command("ACL SETUSER", "managed", *rights, **everywhere)
    try:
        async with connect(redis_url.replace("://", "://managed:pw@"), timeout=5) as client:
            figures = await fetch_figures(client, 1)
    finally:
        await redis_client.execute_command("ACL DELUSER", "managed", **everywhere)
    assert (figures.dead, figures.memory) == (1, 0)

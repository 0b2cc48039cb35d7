"""What people see of everything, from a real Redis, single and as a cluster."""

from __future__ import annotations

from tonearm.jobs.job import DeadLetter, Job, encode
from tonearm.music.actions import Stop
from tonearm.redis import keys, lease, members, servers
from tonearm.redis.client import Client
from tonearm.redis.handover import Limit, hand_over
from tonearm.redis.members import Member
from tonearm.redis.overview import MOST_DEAD, fetch_overview
from tonearm.redis.servers import SeenServer

GUILD = 5 << 22
GENEROUS = Limit(1, 10_000)


async def test_an_empty_redis_is_no_trouble(redis_client: Client) -> None:
    seen = await fetch_overview(redis_client)
    assert (seen.shards, seen.nodes, seen.servers, seen.dead, seen.workers) == ((), (), (), (), 0)
    assert [each.number for each in seen.streams] == list(keys.worker_streams())


async def test_every_shard_is_told_with_its_owner_and_what_waits(redis_client: Client) -> None:
    await redis_client.set(keys.SHARD_COUNT, 3)
    await lease.take(redis_client, 2, "node-a")
    await redis_client.sadd(keys.active(2), GUILD, GUILD + 1)
    for number in range(2):
        job = Job(f"i:{number}", GUILD, 1, 2, Stop(), 20_000)
        await hand_over(redis_client, job, shard_count=3, window_ms=0, guild_limit=GENEROUS, user_limit=GENEROUS)
    await redis_client.zadd(keys.outbox(2), {"i:9": 1})
    seen = await fetch_overview(redis_client)
    nobody, _, owned = seen.shards
    assert (nobody.owner, nobody.lease_ms, nobody.backlog) == ("", 0, 0)
    assert (owned.number, owned.owner, owned.players, owned.backlog, owned.owed) == (2, "node-a", 2, 2, 1)
    assert 0 < owned.lease_ms <= lease.LEASE_MS
    assert 0 <= owned.held_ms < 60_000
    assert 0 <= owned.oldest_ms < 60_000


async def test_nodes_workers_and_servers_are_told(redis_client: Client) -> None:
    await redis_client.set(keys.SHARD_COUNT, 1)
    for name, since in (("younger", 20), ("elder", 10)):
        await members.beat(redis_client, Member(name, since, (0,)))
    seen = await fetch_overview(redis_client)
    await redis_client.zadd(keys.WORKERS, {"here": seen.at_ms, "long gone": seen.at_ms - 60_000})
    await servers.report(redis_client, [SeenServer("lava", 0, "connected", 3, 1.5)])
    await servers.drain(redis_client, "lava")
    seen = await fetch_overview(redis_client)
    assert [node.member.name for node in seen.nodes] == ["elder", "younger"]
    assert max(node.silent_ms for node in seen.nodes) < 60_000
    assert seen.workers == 1
    assert [(server.name, server.players) for server in seen.servers] == [("lava", 3)]
    assert seen.draining == {"lava"}


async def test_of_the_dead_letters_the_latest_are_told(redis_client: Client) -> None:
    await redis_client.set(keys.SHARD_COUNT, 2)
    for number in range(2 * MOST_DEAD + 2):
        letter = DeadLetter(f"i:{number}", GUILD, "a reason", number)
        await redis_client.xadd(keys.dead(number % 2), {"d": encode(letter)})
    seen = await fetch_overview(redis_client)
    assert [buried.letter.at_ms for buried in seen.dead] == [11, 10, 9, 8, 7]
    assert [standing.dead for standing in seen.shards] == [6, 6]


async def test_asking_costs_the_same_whatever_the_number_of_guilds(redis_client: Client) -> None:
    await redis_client.set(keys.SHARD_COUNT, 1)
    before = await _asked(redis_client)
    for number in range(2_000):
        await redis_client.sadd(keys.active(0), GUILD + number)
    grown = await _asked(redis_client)
    assert grown == before


async def _asked(client: Client) -> int:
    """How many commands an overview takes, by Redis' own count."""
    count = "total_commands_processed"
    before = (await client.info("stats"))[count]
    await fetch_overview(client)
    return int((await client.info("stats"))[count]) - int(before)

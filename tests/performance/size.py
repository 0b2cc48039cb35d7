"""Whether size shows: what an idle guild costs a voice node and Redis, and what one more track costs in a long queue.

    python -m tests.performance.size [--guilds 10000] [--channels 10] [--roles 10]

Memory: a whole system with nothing to do. RSS of the voice node, and the data of Redis (used_memory), with a tenth of
the guilds and with all of them, each after a minute of quiet; the difference, for each guild. The voice node's own
garbage collector decides when it collects.

Scripts: 1,000 times one track more and the first one less, in a queue of 10 and of 10,000; 1,000 jobs handed over, of
as many guilds. Redis' own time for them, from `commandstats`, five times in turn: the medians.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
from pathlib import Path

from playground.library import make_library
from playground.stores.valkey import Valkey
from playground.system import System
from tests.support.scenes import entry, idle
from tonearm.child_logs import LogFolder
from tonearm.jobs.job import Job, Reply
from tonearm.music.actions import Pause
from tonearm.music.change import Change, QueueChange
from tonearm.redis import guilds, keys, lease
from tonearm.redis.client import Client, connect
from tonearm.redis.guilds import GuildView
from tonearm.redis.handover import hand_over

MOST_IN_SHARD = 2_000
"""Discord's own limit is 2,500 guilds a shard; this leaves some to grow."""

AT_ONCE = 250
"""Guilds that come at the same time."""

QUIET_S = 60.0
LOOK_S = 0.5
WRITTEN_S = 300.0
"""Seconds."""

SHORT, LONG = 10, 10_000
ADDS = 1_000
ROUNDS = 5


def main() -> None:
    """Measure both, and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--guilds", type=int, default=10_000)
    parser.add_argument("--channels", type=int, default=10, help="of each guild; two are voice channels")
    parser.add_argument("--roles", type=int, default=10)
    options = parser.parse_args()
    asyncio.run(measure_scripts())
    asyncio.run(measure_memory(options.guilds, options.channels, options.roles))


async def measure_memory(most: int, channels: int, roles: int) -> None:
    """What each guild adds to the voice node's memory, and to Redis' data."""
    few, shards = most // 10, -(-most // MOST_IN_SHARD)
    with tempfile.TemporaryDirectory(prefix="tonearm-size-") as name, LogFolder(Path(name) / "logs") as log:
        make_library(Path(name) / "music")
        system = System(
            Path(name),
            library=Path(name) / "music",
            settings={"SHARD_COUNT": str(shards)},
            twin_options=("--identify-interval", "0", "--max-concurrency", str(shards)),
            log=log,
        )
        async with system, connect(system.environ["TONEARM_REDIS_URL"], timeout=30) as redis:
            # @everyone and the bot have a role each, without asking.
            shape = {"text_channels": channels - 2, "voice_channels": 2, "roles": roles - 2}
            await grow(system, redis, few, shards, shape)
            node_few, redis_few = await figures(system, redis)
            await grow(system, redis, most, shards, shape)
            node_most, redis_most = await figures(system, redis)
    added = most - few
    print(
        f"an idle guild of {channels} channels and {roles} roles ({few} to {most} guilds, {shards} shards, one voice "
        f"node): {(node_most - node_few) / added / 1000:.1f} kB of the voice node, "
        f"{(redis_most - redis_few) / added / 1000:.1f} kB in Redis. "
        f"The voice node: {node_few / 1e6:.0f} MB, then {node_most / 1e6:.0f} MB; "
        f"Redis' data: {redis_few / 1e6:.1f} MB, then {redis_most / 1e6:.1f} MB."
    )


async def grow(system: System, redis: Client, wanted: int, shards: int, shape: dict[str, int]) -> None:
    """Have so many guilds, spread over the shards; returns once the voice node has written all of them down."""
    there = await written(redis, shards)
    while there < wanted:
        now = min(AT_ONCE, wanted - there)
        await system.twin.create_guilds("G", now, shard=there // AT_ONCE % shards, shard_count=shards, **shape)
        there += now
    async with asyncio.timeout(WRITTEN_S):
        while await written(redis, shards) < wanted:  # noqa: ASYNC110 - a field of a hash has no event
            await asyncio.sleep(LOOK_S)


async def written(redis: Client, shards: int) -> int:
    """How many guilds the voice node has written down."""
    return sum([int(await redis.hlen(keys.guilds(shard))) for shard in range(shards)])


async def figures(system: System, redis: Client) -> tuple[int, int]:
    """Bytes of the voice node, and of Redis' data, after a while of quiet."""
    await asyncio.sleep(QUIET_S)
    pid = system.supervisor.pid("voice-node")
    assert pid is not None
    return rss(pid), int((await redis.info("memory"))["used_memory"])


def rss(pid: int) -> int:
    """Bytes of memory that a process has."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) * 1024


async def measure_scripts() -> None:
    """What a hand-over costs Redis, and one more track, in a short queue and in a long one."""
    async with Valkey() as server, connect(server.url, timeout=30) as redis:
        token = await lease.take(redis, 0, "here", life_ms=3_600_000)
        assert token is not None
        times: dict[int, list[float]] = {SHORT: [], LONG: []}
        handovers = []
        for round in range(ROUNDS):
            for length in (SHORT, LONG):
                times[length].append(await one_more(redis, token, round, length))
            handovers.append(await hand_over_many(redis, round))
    ratios = sorted(long / short for short, long in zip(times[SHORT], times[LONG], strict=True))
    print(f"a hand-over: {statistics.median(handovers):.0f} us of Redis.")
    print(
        f"one track more: {statistics.median(times[SHORT]):.0f} us of Redis in a queue of {SHORT}, "
        f"{statistics.median(times[LONG]):.0f} us in one of {LONG:,}: {statistics.median(ratios):.2f} times as much "
        f"(median of {ROUNDS}; {ratios[0]:.2f} to {ratios[-1]:.2f})."
    )


async def one_more(redis: Client, token: str, round: int, length: int) -> float:
    """Microseconds of a commit that adds a track to a queue of ``length``, and takes its first."""
    guild = (round + 1) << 22
    name = f"e:{round}:{length}"
    many = QueueChange(clear=True, append=tuple(entry(f"{number}") for number in range(length)))
    view = await commit(redis, token, guild, name, GuildView(idle()), many)
    await redis.config_resetstat()
    for number in range(ADDS):
        one = QueueChange(take_first=True, append=(entry(f"more{number}"),))
        view = await commit(redis, token, guild, f"{name}:{number}", view, one)
    return await per_call(redis)


async def hand_over_many(redis: Client, round: int) -> float:
    """Microseconds of a hand-over, of jobs of as many guilds."""
    await redis.delete(keys.jobs(0))
    await redis.config_resetstat()
    for number in range(ADDS):
        name, guild = f"i:{round}{number:04}", (number + 100) << 22
        job = Job(name, guild, 7, 9, Pause(), 20_000, Reply(5, "token", "reply:here"))
        await hand_over(redis, job, shard_count=1, window_ms=800)
    return await per_call(redis)


async def commit(redis: Client, token: str, guild: int, id: str, before: GuildView, queue: QueueChange) -> GuildView:
    """One commit; the guild as it is after it."""
    change = Change(before.player, "queue", queue=queue)
    done = await guilds.commit(redis, shard=0, guild=guild, token=token, id=id, now_ms=1, before=before, change=change)
    return done.view


async def per_call(redis: Client) -> float:
    """Microseconds of a script since the statistics were set back."""
    return float((await redis.info("commandstats"))["cmdstat_evalsha"]["usec_per_call"])


if __name__ == "__main__":
    main()

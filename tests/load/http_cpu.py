"""What an interaction costs the HTTP side, in CPU, against the least that can be done with it.

    python -m tests.load.http_cpu [--pairs 5] [--seconds 60] [--inline] [--rate PER_SECOND]

The least is :mod:`tests.load.floor`. Each pair is one run of it and one of ``tonearm interactions``, under the same
arrivals of signed ``/play``s; the order changes from pair to pair. Without ``--inline`` every answer is a deferral;
with it, a stub of a voice node commits each answer 5 ms after it took the job. ``--rate``: 60% of a core for what
costs more, unless it is given. Printed: the median of the pairs' ratios with their spread, and what Redis and the
sender used. A run counts only if every answer was the one that was meant, and the sender kept up.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import statistics
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from playground.stores.valkey import Valkey
from tests.load import floor
from tests.load.arrivals import Told, prepare, send_all
from tests.support.interactions.signed import APPLICATION, KEY
from tests.support.interactions.stub_node import StubNode, answer
from tonearm.jobs.job import decode_job
from tonearm.music.player import Player
from tonearm.redis import keys
from tonearm.redis.client import Client, connect
from tonearm.redis.guilds import GuildView
from tonearm.supervisor import ProcessSpec, Supervisor
from tonearm.up import tonearm

BUSY = 0.6
"""Of a core."""

COMMITTED_AFTER_S = 0.005
TRIM_EVERY_S = 0.05
WARM_S, WARM_RATE = 2.0, 500.0
KEPT_UP = 0.9
"""Of a core: a sender that needs more does not keep its times."""

DEFERRED, INLINE = (200, 5), (200, 4)
_TICKS = os.sysconf("SC_CLK_TCK")


class Run(msgspec.Struct, frozen=True):
    """One run. Microseconds of CPU for a request: the server's, Redis' and the sender's; and its share of a core."""

    server: float
    redis: float
    sender_share: float
    told: Told


def main() -> int:
    """0 when all runs count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--inline", action="store_true")
    parser.add_argument("--rate", type=float)
    asked = parser.parse_args()
    return asyncio.run(measure(asked.pairs, asked.seconds, inline=asked.inline, rate=asked.rate))


async def measure(pairs: int, seconds: float, *, inline: bool, rate: float | None) -> int:
    """Both processes stand side by side; only one at a time has something to do."""
    async with Valkey() as valkey, Supervisor(log=_unheard) as supervisor, _voice_node(valkey.url, inline=inline):
        environment = {
            "TONEARM_DISCORD_APPLICATION_ID": str(APPLICATION),
            "TONEARM_DISCORD_PUBLIC_KEY": KEY.verify_key.encode().hex(),
            "TONEARM_REDIS_URL": valkey.url,
            "TONEARM_INLINE_REPLY_MS": "800" if inline else "0",
            "TONEARM_PORT": "0",
        }
        served = {}
        for name, argv in (
            ("floor", (sys.executable, "-m", floor.__name__)),
            ("tonearm", tonearm("interactions")),
        ):
            ready = await supervisor.start(ProcessSpec(name, argv, environment))
            served[name] = (supervisor.pid(name) or 0, urlsplit(str(ready["url"])).port or 0)
        redis_pid = valkey.pid

        async def run(name: str, rate: float, seconds: float) -> Run:
            return await one_run(*served[name], redis_pid, rate, seconds)

        warm = [await run(name, WARM_RATE, WARM_S) for name in ("floor", "tonearm")]
        rate = rate or BUSY * 1e6 / max(each.server for each in warm)
        print(f"{rate:.0f} requests a second; {'inline' if inline else 'deferred'}; us of CPU for a request:")
        ratios, valid = [], True
        for number in range(pairs):
            order = ("floor", "tonearm") if number % 2 == 0 else ("tonearm", "floor")
            done = {name: await run(name, rate, seconds) for name in order}
            ratios.append(done["tonearm"].server / done["floor"].server)
            meant = {"floor": DEFERRED, "tonearm": INLINE if inline else DEFERRED}
            for name, each in done.items():
                valid &= _shown(name, each, meant[name])
            print(f"  ratio {ratios[-1]:.3f}", flush=True)
    spread = f"{min(ratios):.3f} to {max(ratios):.3f}"
    print(f"median ratio {statistics.median(ratios):.3f} ({spread}, {pairs} pairs of {seconds:g} s)")
    if not valid:
        print("void: see what is marked with !")
    return 0 if valid else 1


async def one_run(pid: int, port: int, redis_pid: int, rate: float, seconds: float) -> Run:
    """Prepare, send, and count what everybody used meanwhile."""
    loop = asyncio.get_running_loop()
    requests = await asyncio.to_thread(prepare, f"127.0.0.1:{port}", rate, seconds)
    begun, before = loop.time(), [cpu_s(each) for each in (pid, redis_pid, os.getpid())]
    told = await send_all(port, requests, rate)
    server, redis, sender = (
        cpu_s(each) - then for each, then in zip((pid, redis_pid, os.getpid()), before, strict=True)
    )
    return Run(server / told.sent * 1e6, redis / told.sent * 1e6, sender / (loop.time() - begun), told)


def _unheard(_name: str, _line: str) -> None:
    """What the processes write while they are overloaded would cost more than they do; the answers tell of it."""


def cpu_s(pid: int) -> float:
    """Seconds of CPU that a process and its ended children have used (proc(5), *stat*)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / _TICKS


def _shown(name: str, run: Run, meant: tuple[int, int]) -> bool:
    """Say how a run went; whether it counts."""
    others = run.told.sent - run.told.answers.get(meant, 0)
    behind = run.sender_share > KEPT_UP
    delays = sorted(run.told.delays)
    print(
        f"  {name:8} {run.server:6.1f}, Redis {run.redis:5.1f}; answered after {delays[len(delays) // 2] * 1e3:.1f} ms,"
        f" p99 {delays[len(delays) * 99 // 100] * 1e3:.1f} ms; sender {run.sender_share:.0%} of a core{'!' * behind}"
        f"{f'; {others} of {run.told.sent} not as meant! {run.told.answers}' if others else ''}"
    )
    return not others and not behind


@asynccontextmanager
async def _voice_node(url: str, *, inline: bool) -> AsyncIterator[None]:
    """Owns the shard. Inline it answers each job; else it only keeps the streams short."""
    redis = connect(url, timeout=None)
    node = StubNode(redis)
    await node.own(life_ms=24 * 3_600_000)
    work = asyncio.create_task(_trim(redis, inline=inline), name="trim")
    answers = asyncio.create_task(_answer_all(node), name="answer") if inline else None
    try:
        yield
    finally:
        for task in filter(None, (work, answers)):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        await redis.aclose()


async def _trim(redis: Client, *, inline: bool) -> None:
    streams = [floor.JOBS] if inline else [floor.JOBS, keys.jobs(0)]
    while True:
        for stream in streams:
            await redis.xtrim(stream, maxlen=0, approximate=False)
        await asyncio.sleep(TRIM_EVERY_S)


async def _answer_all(node: StubNode) -> None:
    said, before = answer(), GuildView(Player())
    async with asyncio.TaskGroup() as tasks:

        async def later(entry: bytes, fields: dict[bytes, bytes]) -> None:
            await asyncio.sleep(COMMITTED_AFTER_S)
            await node.commit(entry.decode(), decode_job(fields[b"j"]), said, before=before)

        while True:
            found = await node.redis.xreadgroup(keys.JOB_GROUP, "stub", {keys.jobs(0): ">"}, count=200, block=1_000)
            for _, entries in found or ():
                for entry, fields in entries:
                    tasks.create_task(later(entry, fields))


if __name__ == "__main__":
    sys.exit(main())

"""How long a function takes: cold from the POST to the emulator to the last byte, and warm.

Cold is a fresh process with the file cache warm and compiled modules; the emulator's own start is not counted. All of
it runs on one core; a share of a core is what a smaller function has.
"""

from __future__ import annotations

import itertools
import os
import statistics
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import redis.asyncio

from playground.stores.valkey import Valkey
from tests.lambda_check.emulated import Content, Emulated
from tests.support.interactions.function import signed_event
from tests.support.interactions.signed import APPLICATION, KEY, command, interaction
from tests.support.interactions.stub_node import StubNode

COLD_PING_MS, COLD_PLAY_MS = 80.0, 180.0
"""Promise 2, on a full core."""

SMALL = 0.3
"""Of a core: what a function with 512 MB has."""

CFS = Path("/sys/fs/cgroup/cpu")
PERIOD_US = 100_000
WARM = 50
_guilds = itertools.count(1 << 22, 1 << 22)


class Line:
    """The figures of one kind of interaction, in ms."""

    def __init__(self, what: str, cold: list[float], warm: list[float]) -> None:
        self.what = what
        self.cold = statistics.median(cold)
        self.worst = max(cold)
        self.warm = statistics.median(warm)
        self.count = len(cold)

    def __str__(self) -> str:
        return (
            f"{self.what}: cold {self.cold:.0f} ms (worst of {self.count}: {self.worst:.0f}), warm {self.warm:.1f} ms"
        )


def ping() -> dict[str, Any]:
    """A PING of Discord's."""
    return signed_event(interaction(1))


def play() -> dict[str, Any]:
    """A /play in a guild of its own, so that no limit is reached."""
    return signed_event({**command("play", query="anything"), "guild_id": str(next(_guilds))})


async def measure(content: Content, folder: Path, *, processes: int, core: int) -> AsyncIterator[Line]:
    """PING and a deferred /play, on all of ``core`` and, where the kernel lets us, on a part of it."""
    async with owned_valkey(folder) as url:
        settings = {
            "TONEARM_DISCORD_APPLICATION_ID": str(APPLICATION),
            "TONEARM_DISCORD_PUBLIC_KEY": KEY.verify_key.encode().hex(),
            "TONEARM_REDIS_URL": url,
            "TONEARM_INLINE_REPLY_MS": "0",
        }
        for share in (1.0, SMALL):
            with part_of_a_core(share) as prefix:
                if prefix is None:
                    continue
                before = ("taskset", "-c", str(core), *prefix)
                for what, make in (("PING", ping), ("/play, deferred", play)):
                    cold, warm = [], []
                    for number in range(processes + 1):  # the first one warms the file cache
                        async with Emulated(content, settings, before=before) as function:
                            first = await timed(function, make())
                            if number:
                                cold.append(first)
                            if number == processes:
                                warm = [await timed(function, make()) for _ in range(WARM)]
                    yield Line(f"{what}, {share:g} of a core", cold, warm)


async def timed(function: Emulated, sent: dict[str, Any]) -> float:
    """Milliseconds until the answer, which must be the right one."""
    began = time.perf_counter()
    answer = await function(sent)
    took = (time.perf_counter() - began) * 1000
    assert answer["statusCode"] == 200, answer
    assert answer["body"] in ('{"type":1}', '{"type":5}'), f"{answer['body']}\n{function.log()}"
    return took


@asynccontextmanager
async def owned_valkey(folder: Path) -> AsyncIterator[str]:
    """A Valkey whose one shard is somebody's, who takes the jobs."""
    async with Valkey(folder) as server, redis.asyncio.from_url(server.url, socket_timeout=10) as client:
        node = StubNode(client)
        await node.own(life_ms=600_000)
        yield server.url


@contextmanager
def part_of_a_core(share: float) -> Iterator[tuple[str, ...] | None]:
    """What goes before a command line that gets ``share`` of a core; ``None`` where the kernel does not let us."""
    if share >= 1:
        yield ()
        return
    group = CFS / f"tonearm-{os.getpid()}"
    try:
        group.mkdir()
        (group / "cpu.cfs_period_us").write_text(str(PERIOD_US))
        (group / "cpu.cfs_quota_us").write_text(str(int(PERIOD_US * share)))
    except OSError:
        yield None
        return
    try:
        yield ("sh", "-c", f'echo $$ > {group}/cgroup.procs && exec "$@"', "sh")
    finally:
        for _ in range(100):
            try:
                group.rmdir()
                break
            except OSError:
                time.sleep(0.05)

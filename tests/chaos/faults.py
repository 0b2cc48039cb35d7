"""Faults, done to a cluster. Each mends what it broke before it ends."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, NamedTuple

from playground.twin.client import TwinError
from playground.twin.handles import Guild
from tests.chaos.cluster import API, AUDIO, HTTP, VOICE, WORKER, Cluster
from tests.chaos.plan import Fault, Kind
from tests.chaos.processes import signal_tree
from tests.chaos.rooms import Room

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
UP_SECONDS = 20.0
"""How long to wait for something that is up, to do it harm."""
ROLL_SETTLE = 1.0
"""Seconds that a new voice node has before the next one is replaced."""


class Struck(NamedTuple):
    """A fault that was made: when it began and when its mending was done (monotonic, s), and to whom."""

    fault: Fault
    begun: float
    mended: float
    whom: str


class Faults:
    """Does what the plan says. ``rooms`` are those whose voice connections may be cut."""

    def __init__(self, cluster: Cluster, rooms: Sequence[Room]) -> None:
        self._cluster = cluster
        self._rooms = rooms
        self._rolling = asyncio.Lock()

    async def strike(self, fault: Fault) -> Struck:
        """One fault, to its end."""
        loop = asyncio.get_running_loop()
        begun = loop.time()
        whom = await _DEEDS[fault.kind](self, fault)
        return Struck(fault, begun, loop.time(), whom)

    async def _up(self, role: str, target: int) -> str | None:
        """One of a role that lives and is not frozen, chosen by ``target``."""
        processes = self._cluster.processes
        loop = asyncio.get_running_loop()
        end = loop.time() + UP_SECONDS
        while loop.time() < end:
            names = processes.names(role)
            for number in range(len(names)):
                name = names[(target + number) % len(names)]
                if processes[name].running and not processes[name].stopped:
                    return name
            await asyncio.sleep(0.1)
        return None

    async def _end(self, role: str, fault: Fault, sig: signal.Signals) -> str:
        name = await self._up(role, fault.target)
        if name is None:
            return "nobody was up"
        await self._cluster.processes.end(name, sig)
        return name

    async def _freeze(self, role: str, fault: Fault) -> str:
        processes = self._cluster.processes
        name = await self._up(role, fault.target)
        if name is None or not processes.halt(name):
            return "nobody was up"
        life = processes[name].lives
        try:
            await asyncio.sleep(fault.seconds)
        finally:
            if processes[name].lives == life:
                processes.proceed(name)
        return name

    async def _roll(self, _: Fault) -> str:
        processes = self._cluster.processes
        async with self._rolling:
            for name in processes.names(VOICE):
                await processes.end(name, signal.SIGTERM)
                await processes.wait_next(name)
                await asyncio.sleep(ROLL_SETTLE)
        return "all"

    def _shard(self, fault: Fault) -> int:
        return fault.target % self._cluster.shape.shards

    async def _cut_gateway(self, fault: Fault) -> str:
        await self._cluster.twin.drop_gateway(self._shard(fault))
        return f"shard {self._shard(fault)}"

    async def _refuse_resume(self, fault: Fault) -> str:
        await self._cluster.twin.forget_session(self._shard(fault))
        return f"shard {self._shard(fault)}"

    async def _trouble_voice(self, fault: Fault, trouble: Callable[[Guild], Awaitable[Any]]) -> str:
        for number in range(len(self._rooms)):
            room = self._rooms[(fault.target + number) % len(self._rooms)]
            if await room.guild.bot_voice_state() is not None:
                try:
                    await trouble(room.guild)
                except TwinError:
                    continue
                return room.guild.name
        return "nobody was in voice"

    async def _kill_redis(self, _: Fault) -> str:
        async with self._cluster.valkey_lock:
            await self._cluster.kill_redis()
            await self._cluster.valkey.start()
        return "valkey"

    async def _freeze_redis(self, fault: Fault) -> str:
        async with self._cluster.valkey_lock:
            await self._cluster.valkey.kill(signal.SIGSTOP)
            try:
                await asyncio.sleep(fault.seconds)
            finally:
                await self._cluster.valkey.kill(signal.SIGCONT)
        return "valkey"

    async def _kill_database(self, _: Fault) -> str:
        async with self._cluster.postgres_lock:
            await self._cluster.postgres.kill()
            await self._cluster.postgres.start()
        return "postgres"

    async def _freeze_database(self, fault: Fault) -> str:
        async with self._cluster.postgres_lock, database_frozen(self._cluster):
            await asyncio.sleep(fault.seconds)
        return "postgres"

    async def _trouble_rest(self, fault: Fault, *, delay: float | None = None, status: int | None = None) -> str:
        async with rest_trouble(self._cluster, delay=delay, status=status):
            await asyncio.sleep(fault.seconds)
        return f"{fault.seconds:.1f} s"


@asynccontextmanager
async def rest_trouble(
    cluster: Cluster, *, delay: float | None = None, status: int | None = None
) -> AsyncIterator[None]:
    """Meanwhile each request of Discord's REST API is late, held (neither given) or refused."""
    async with AsyncExitStack() as holds:
        for method in METHODS:
            hold = await cluster.twin.hold_rest(method, "/.*", count=None, delay=delay, status=status)
            holds.push_async_callback(hold.release)
        yield


@asynccontextmanager
async def database_frozen(cluster: Cluster) -> AsyncIterator[None]:
    """Meanwhile neither the server nor any of its sessions moves."""
    pid = cluster.postgres.pid
    signal_tree(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        signal_tree(pid, signal.SIGCONT)


_DEEDS: dict[Kind, Callable[[Faults, Fault], Awaitable[str]]] = {
    Kind.VOICE_KILL: lambda faults, fault: faults._end(VOICE, fault, signal.SIGKILL),
    Kind.VOICE_TERM: lambda faults, fault: faults._end(VOICE, fault, signal.SIGTERM),
    Kind.VOICE_STOP: lambda faults, fault: faults._freeze(VOICE, fault),
    Kind.VOICE_ROLL: Faults._roll,
    Kind.HTTP_KILL: lambda faults, fault: faults._end(HTTP, fault, signal.SIGKILL),
    Kind.HTTP_TERM: lambda faults, fault: faults._end(HTTP, fault, signal.SIGTERM),
    Kind.HTTP_STOP: lambda faults, fault: faults._freeze(HTTP, fault),
    Kind.AUDIO_KILL: lambda faults, fault: faults._end(AUDIO, fault, signal.SIGKILL),
    Kind.AUDIO_TERM: lambda faults, fault: faults._end(AUDIO, fault, signal.SIGTERM),
    Kind.AUDIO_STOP: lambda faults, fault: faults._freeze(AUDIO, fault),
    Kind.GATEWAY_CUT: Faults._cut_gateway,
    Kind.RESUME_REFUSED: Faults._refuse_resume,
    Kind.VOICE_MOVED: lambda faults, fault: faults._trouble_voice(fault, Guild.change_voice_server),
    Kind.VOICE_CUT: lambda faults, fault: faults._trouble_voice(fault, Guild.cut_voice),
    Kind.REDIS_KILL: Faults._kill_redis,
    Kind.REDIS_STOP: Faults._freeze_redis,
    Kind.WORKER_KILL: lambda faults, fault: faults._end(WORKER, fault, signal.SIGKILL),
    Kind.WORKER_TERM: lambda faults, fault: faults._end(WORKER, fault, signal.SIGTERM),
    Kind.WORKER_STOP: lambda faults, fault: faults._freeze(WORKER, fault),
    Kind.API_KILL: lambda faults, fault: faults._end(API, fault, signal.SIGKILL),
    Kind.API_TERM: lambda faults, fault: faults._end(API, fault, signal.SIGTERM),
    Kind.API_STOP: lambda faults, fault: faults._freeze(API, fault),
    Kind.DATABASE_KILL: Faults._kill_database,
    Kind.DATABASE_STOP: Faults._freeze_database,
    Kind.REST_SLOW: lambda faults, fault: faults._trouble_rest(fault, delay=2.0),
    Kind.REST_500: lambda faults, fault: faults._trouble_rest(fault, status=500),
    Kind.REST_429: lambda faults, fault: faults._trouble_rest(fault, status=429),
}

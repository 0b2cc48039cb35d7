"""Faults, done to a cluster. Each mends what it broke before it ends."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any, NamedTuple

from playground.twin.client import TwinError
from playground.twin.handles import Guild
from tests.chaos.cluster import API, AUDIO, HTTP, VOICE, WORKER, Cluster
from tests.chaos.plan import Fault, Kind
from tests.chaos.processes import signal_tree
from tests.chaos.rooms import Room

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
MADE_WITHIN = 60.0
"""Seconds in which somebody must be there to whom a fault can be done."""
LOOK_EVERY = 0.1
SESSION_SECONDS = 0.2
"""A shard that was told everything is found at once; the others are not waited for."""
ROLL_SETTLE = 1.0
"""Seconds that a new voice node has before the next one is replaced."""


class Struck(NamedTuple):
    """A fault that was made: when it began and when its mending was done (monotonic, s), and to whom."""

    fault: Fault
    begun: float
    mended: float
    whom: str


class Hit(NamedTuple):
    """Whom it was done to, and since when (monotonic, s): not before a lock was had, or somebody was up."""

    whom: str
    begun: float


class Faults:
    """Does what the plan says. ``rooms`` are those whose voice connections may be cut."""

    def __init__(self, cluster: Cluster, rooms: Sequence[Room]) -> None:
        self._cluster = cluster
        self._rooms = rooms
        self._rolling = asyncio.Lock()

    async def strike(self, fault: Fault) -> Struck:
        """One fault, to its end; tried again, with whoever comes next, while nobody is there to be harmed.

        Raises:
            TimeoutError: nobody was, or the twin did not answer.
            TwinError: the twin would not do it.
        """
        end = _now() + MADE_WITHIN
        while (hit := await _DEEDS[fault.kind](self, fault)) is None:
            if _now() >= end:
                raise TimeoutError(f"nobody was there to be harmed within {MADE_WITHIN:g} s")
            await asyncio.sleep(LOOK_EVERY)
        return Struck(fault, hit.begun, _now(), hit.whom)

    def _whole(self, role: str, target: int) -> list[str]:
        """Those of a role that are whole, in the order in which ``target`` chooses them."""
        processes = self._cluster.processes
        names = processes.names(role)
        first = target % len(names)
        return [name for name in (*names[first:], *names[:first]) if processes.whole(name)]

    async def _end(self, role: str, fault: Fault, sig: signal.Signals) -> Hit | None:
        for name in self._whole(role, fault.target)[:1]:
            hit = Hit(name, _now())
            await self._cluster.processes.end(name, sig)
            return hit
        return None

    async def _freeze(self, role: str, fault: Fault) -> Hit | None:
        processes = self._cluster.processes
        for name in self._whole(role, fault.target)[:1]:
            if not processes.halt(name):
                return None
            hit, life = Hit(name, _now()), processes[name].lives
            try:
                await asyncio.sleep(fault.seconds)
            finally:
                if processes[name].lives == life:
                    processes.proceed(name)
            return hit
        return None

    async def _roll(self, _: Fault) -> Hit:
        processes = self._cluster.processes
        async with self._rolling:
            hit = Hit("all", _now())
            for name in processes.names(VOICE):
                await processes.end(name, signal.SIGTERM)
                await processes.wait_next(name)
                await asyncio.sleep(ROLL_SETTLE)
        return hit

    async def _cut_gateway(self, fault: Fault) -> Hit | None:
        return await self._trouble_shard(fault, self._cluster.twin.drop_gateway)

    async def _refuse_resume(self, fault: Fault) -> Hit | None:
        return await self._trouble_shard(fault, self._cluster.twin.forget_session)

    async def _trouble_shard(self, fault: Fault, trouble: Callable[[int], Awaitable[None]]) -> Hit | None:
        shards = self._cluster.shape.shards
        for number in range(shards):
            shard = (fault.target + number) % shards
            with suppress(TimeoutError):
                await self._cluster.twin.wait_ready(shard, timeout=SESSION_SECONDS)
                hit = Hit(f"shard {shard}", _now())
                await trouble(shard)
                return hit
        return None

    async def _trouble_voice(self, fault: Fault, trouble: Callable[[Guild], Awaitable[Any]]) -> Hit | None:
        for number in range(len(self._rooms)):
            room = self._rooms[(fault.target + number) % len(self._rooms)]
            if await room.guild.bot_voice_state() is not None:
                hit = Hit(room.guild.name, _now())
                with suppress(TwinError):
                    await trouble(room.guild)
                    return hit
        return None

    async def _kill_redis(self, _: Fault) -> Hit:
        async with self._cluster.valkey_lock:
            hit = Hit("valkey", _now())
            await self._cluster.kill_redis()
            await self._cluster.valkey.start()
        return hit

    async def _freeze_redis(self, fault: Fault) -> Hit:
        async with self._cluster.valkey_lock:
            hit = Hit("valkey", _now())
            await self._cluster.valkey.kill(signal.SIGSTOP)
            try:
                await asyncio.sleep(fault.seconds)
            finally:
                await self._cluster.valkey.kill(signal.SIGCONT)
        return hit

    async def _kill_database(self, _: Fault) -> Hit:
        async with self._cluster.postgres_lock:
            hit = Hit("postgres", _now())
            await self._cluster.postgres.kill()
            await self._cluster.postgres.start()
        return hit

    async def _freeze_database(self, fault: Fault) -> Hit:
        async with self._cluster.postgres_lock, database_frozen(self._cluster):
            hit = Hit("postgres", _now())
            await asyncio.sleep(fault.seconds)
        return hit

    async def _trouble_rest(self, fault: Fault, *, delay: float | None = None, status: int | None = None) -> Hit:
        begun = _now()
        async with rest_trouble(self._cluster, delay=delay, status=status):
            await asyncio.sleep(fault.seconds)
        return Hit(f"{fault.seconds:.1f} s", begun)


def _now() -> float:
    return asyncio.get_running_loop().time()


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


_DEEDS: dict[Kind, Callable[[Faults, Fault], Awaitable[Hit | None]]] = {
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

"""One dependency in one kind of trouble, for as long as a context is entered; and what people may be told then."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass

from tests.chaos.cluster import API, AUDIO, VOICE, WORKER, Cluster
from tests.chaos.faults import database_frozen, rest_trouble
from tests.chaos.proxies import Mode
from tests.chaos.told import DONE
from tonearm.redis import keys
from tonearm.sentences import Sentence

DEFERRED, FAILED = "deferred for good", "no answer"
DONE_LATER = "done once the trouble was over"

CHANGING = ("play", "control", "button")
CLASSES = (*CHANGING, "read", "premium", "help", "ping", "script")
"""``premium`` is a job for a worker, ``script`` a job through the API, told by the kind of its problem."""

SIGN_OF_LIFE_SECONDS = 1.5
"""A node that hangs is believed for a second after its last sign of life."""
LEASE_SECONDS = 20.0
SHARDS_BACK_SECONDS = 40.0

Allowed = Mapping[str, frozenset[str]]


@dataclass(frozen=True)
class Trouble:
    """``allowed`` are the outcomes of each class of command; what is not in it must be done as ever.

    Those that are ``rare`` are made in the long form only.
    """

    dependency: str
    what: str
    make: Callable[[Cluster], AbstractAsyncContextManager[None]]
    allowed: Allowed
    rare: bool = False

    def allows(self, kind: str, outcome: str, *, deferred: bool) -> bool:
        """Whether people may be told this."""
        allowed = self.allowed.get(kind, frozenset({DONE}))
        return outcome in allowed or (deferred and outcome == DONE and DONE_LATER in allowed)


# Redis


@asynccontextmanager
async def _redis_down(cluster: Cluster) -> AsyncIterator[None]:
    async with cluster.valkey_lock:
        await cluster.kill_redis()
        try:
            yield
        finally:
            await cluster.valkey.start()


@asynccontextmanager
async def _redis_hangs(cluster: Cluster) -> AsyncIterator[None]:
    async with cluster.valkey_lock:
        await cluster.valkey.kill(signal.SIGSTOP)
        try:
            yield
        finally:
            await cluster.valkey.kill(signal.SIGCONT)


@asynccontextmanager
async def _database_down(cluster: Cluster) -> AsyncIterator[None]:
    async with cluster.postgres_lock:
        await cluster.postgres.kill()
        try:
            yield
        finally:
            await cluster.postgres.start()


@asynccontextmanager
async def _redis_is_full(cluster: Cluster) -> AsyncIterator[None]:
    await cluster.redis.config_set("maxmemory", 1)
    try:
        yield
    finally:
        await cluster.redis.config_set("maxmemory", 0)


def _proxied(mode: Mode, *names: str) -> Callable[[Cluster], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def make(cluster: Cluster) -> AsyncIterator[None]:
        proxies = [proxy for name, proxy in cluster.proxies.items() if name.startswith(names)]
        for proxy in proxies:
            await proxy.set(mode)
        try:
            if names == (AUDIO,):
                await asyncio.sleep(SIGN_OF_LIFE_SECONDS)
            yield
        finally:
            for proxy in proxies:
                await proxy.set(Mode.PASS)

    return make


# Processes


def _gone(role: str, sig: signal.Signals, *, at_once: bool = False) -> Callable[..., AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def make(cluster: Cluster) -> AsyncIterator[None]:
        names = cluster.processes.names(role)
        try:
            await asyncio.gather(*(cluster.processes.take_away(name, sig) for name in names))
            if not at_once:
                await _noticed(cluster, role)
            yield
        finally:
            await asyncio.gather(*(cluster.processes.bring_back(name) for name in names))
            await _back(cluster, role)

    return make


def _hangs(role: str) -> Callable[[Cluster], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def make(cluster: Cluster) -> AsyncIterator[None]:
        names = cluster.processes.names(role)
        for name in names:
            cluster.processes.halt(name)
        try:
            await _noticed(cluster, role)
            yield
        finally:
            for name in names:
                cluster.processes.proceed(name)
            await _back(cluster, role)

    return make


async def _noticed(cluster: Cluster, role: str) -> None:
    """Wait as long as anybody may still count on them."""
    if role == AUDIO:
        await asyncio.sleep(SIGN_OF_LIFE_SECONDS)
        return
    if role == API:
        return
    holders = range(cluster.shape.shards) if role == VOICE else (-1 - n for n in range(keys.WORKER_STREAMS))
    async with asyncio.timeout(LEASE_SECONDS):
        for shard in holders:
            while await cluster.redis.exists(keys.lease(shard)):  # noqa: ASYNC110 - a lease that nobody renews
                await asyncio.sleep(0.1)


async def _back(cluster: Cluster, role: str) -> None:
    if role == VOICE:
        await cluster.wait_owned(SHARDS_BACK_SECONDS)
    else:
        await asyncio.gather(*(cluster.processes.wait_ready(name) for name in cluster.processes.names(role)))


def _allowed(changing: tuple[str, ...] = (), **others: tuple[str, ...]) -> Allowed:
    """What those who change something may be told, and others by their class. Without a word: done as ever."""
    told = {**dict.fromkeys(CHANGING, changing), **others}
    return {kind: frozenset(outcomes) for kind, outcomes in told.items() if outcomes}


_ANSWERS_LATE = (Sentence.NO_PLAYER.name, Sentence.NOT_DONE_IN_TIME.name)
_SOUND_AWAY = (Sentence.SOUND_AWAY.name, DONE_LATER)
"""It is tried again for a while, those behind it in the same guild wait, and meanwhile the trouble may be over."""
_BOOKS_AWAY = (Sentence.DATABASE_AWAY.name, DONE_LATER)

_MEMORY = _allowed(
    (Sentence.MEMORY_AWAY.name,),
    read=(Sentence.MEMORY_AWAY.name,),
    premium=(Sentence.MEMORY_AWAY.name,),
    script=("memory-away",),
)
_FULL = _allowed((Sentence.MEMORY_AWAY.name,), premium=(Sentence.MEMORY_AWAY.name,), script=("memory-away",))
_PLAYER = _allowed((Sentence.NO_PLAYER.name,), script=("player-away",))
_SOUND = _allowed(_SOUND_AWAY, script=_SOUND_AWAY)
_SOME_SOUND = _allowed((DONE, *_SOUND_AWAY), script=(DONE, *_SOUND_AWAY))
_LATER = _allowed((DONE_LATER, *_ANSWERS_LATE), script=("player-away", DONE_LATER, *_ANSWERS_LATE))
_DISCORD = _allowed((DONE, Sentence.DISCORD_AWAY.name))
_SLOW_PLAYER = _allowed(
    (DONE, *_ANSWERS_LATE, Sentence.TOO_MANY_WAITING.name), script=(DONE, "player-away", *_ANSWERS_LATE)
)
_BOOKS = _allowed(premium=_BOOKS_AWAY)
_SLOW_BOOKS = _allowed(premium=(DONE, *_BOOKS_AWAY))
_OFFICE = _allowed(premium=(Sentence.NO_WORKER.name,))

TROUBLES: tuple[Trouble, ...] = (
    Trouble("Redis", "down", _redis_down, _MEMORY),
    Trouble("Redis", "hanging", _redis_hangs, _MEMORY),
    Trouble("Redis", "refusing connections", _proxied(Mode.REFUSE, "redis-"), _MEMORY),
    Trouble("Redis", "refusing to write", _redis_is_full, _FULL),
    Trouble("Redis", "slow 2 s", _proxied(Mode.SLOW, "redis-"), _MEMORY),
    Trouble("PostgreSQL", "down", _database_down, _BOOKS),
    Trouble("PostgreSQL", "hanging", database_frozen, _BOOKS),
    Trouble("PostgreSQL", "refusing connections", _proxied(Mode.REFUSE, "database"), _BOOKS),
    Trouble("PostgreSQL", "slow 2 s", _proxied(Mode.SLOW, "database"), _SLOW_BOOKS),
    Trouble("audio nodes", "down", _gone(AUDIO, signal.SIGKILL), _SOUND),
    Trouble("audio nodes", "hanging", _hangs(AUDIO), _SOUND),
    Trouble("audio nodes", "refusing connections", _proxied(Mode.REFUSE, AUDIO), _SOUND),
    Trouble("audio nodes", "slow 2 s", _proxied(Mode.SLOW, AUDIO), _SOME_SOUND),
    Trouble("Discord REST", "down", _proxied(Mode.REFUSE, "rest"), _DISCORD),
    Trouble("Discord REST", "hanging", lambda cluster: rest_trouble(cluster), _DISCORD),
    Trouble("Discord REST", "refusing (500)", lambda cluster: rest_trouble(cluster, status=500), _DISCORD),
    Trouble("Discord REST", "refusing (429)", lambda cluster: rest_trouble(cluster, status=429), _DISCORD),
    Trouble("Discord REST", "slow 2 s", lambda cluster: rest_trouble(cluster, delay=2.0), _DISCORD),
    Trouble("voice nodes", "killed just now", _gone(VOICE, signal.SIGKILL, at_once=True), _LATER, rare=True),
    Trouble("voice nodes", "down", _gone(VOICE, signal.SIGKILL), _PLAYER),
    Trouble("voice nodes", "hanging", _hangs(VOICE), _PLAYER),
    Trouble("voice nodes", "gone in order", _gone(VOICE, signal.SIGTERM), _PLAYER),
    Trouble("voice nodes", "slow 2 s", _proxied(Mode.SLOW, "redis-voice"), _SLOW_PLAYER),
    Trouble("workers", "down", _gone(WORKER, signal.SIGKILL), _OFFICE, rare=True),
    Trouble("workers", "hanging", _hangs(WORKER), _OFFICE, rare=True),
    Trouble("workers", "gone in order", _gone(WORKER, signal.SIGTERM), _OFFICE),
)

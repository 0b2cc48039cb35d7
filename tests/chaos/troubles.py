"""One dependency in one kind of trouble, for as long as a context is entered; and what people may be told then."""

from __future__ import annotations

import asyncio
import re
import signal
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass

from tests.chaos.cluster import AUDIO, VOICE, Cluster
from tests.chaos.faults import rest_trouble
from tests.chaos.proxies import Mode
from tonearm.sentences import Sentence

DONE, DEFERRED, FAILED, UNKNOWN = "done", "deferred for good", "no answer", "not of the catalogue"
DONE_LATER = "done once the trouble was over"

CHANGING = ("play", "control", "button")
CLASSES = (*CHANGING, "read", "help", "ping")

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


def told(text: str) -> str:
    """The name of the sentence that a text is, or that it is an outcome."""
    for name, pattern in _PATTERNS.items():
        if pattern.fullmatch(text.strip()):
            return name
    return DONE if text.strip() else UNKNOWN


def _pattern(sentence: Sentence) -> re.Pattern[str]:
    parts = re.split(r"\{\w+\}", sentence.value)
    return re.compile(".+".join(re.escape(part) for part in parts), re.DOTALL)


_PATTERNS = {sentence.name: _pattern(sentence) for sentence in Sentence}


def _each(kinds: tuple[str, ...], *outcomes: str) -> Allowed:
    return dict.fromkeys(kinds, frozenset(outcomes))


# Redis


@asynccontextmanager
async def _redis_down(cluster: Cluster) -> AsyncIterator[None]:
    async with cluster.valkey_lock:
        await cluster.valkey.kill()
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
    async with asyncio.timeout(LEASE_SECONDS):
        for shard in range(cluster.shape.shards):
            while await cluster.redis.exists(f"{{s{shard}}}:lease"):  # noqa: ASYNC110 - a lease that nobody renews
                await asyncio.sleep(0.1)


async def _back(cluster: Cluster, role: str) -> None:
    if role == VOICE:
        await cluster.wait_owned(SHARDS_BACK_SECONDS)
    else:
        await asyncio.gather(*(cluster.processes.wait_ready(name) for name in cluster.processes.names(role)))


_MEMORY = _each((*CHANGING, "read"), Sentence.MEMORY_AWAY.name)
_PLAYER = _each(CHANGING, Sentence.NO_PLAYER.name)
_SOUND = _each(CHANGING, Sentence.SOUND_AWAY.name, DONE_LATER)
"""It is tried again for a while, those behind it in the same guild wait, and meanwhile the trouble may be over."""
_LATER = _each(CHANGING, DONE_LATER, Sentence.NO_PLAYER.name, Sentence.NOT_DONE_IN_TIME.name)
_DISCORD = _each(CHANGING, DONE, Sentence.DISCORD_AWAY.name)
_SOME_SOUND = _each(CHANGING, DONE, Sentence.SOUND_AWAY.name)
_SLOW_PLAYER = _each(
    CHANGING, DONE, Sentence.NO_PLAYER.name, Sentence.NOT_DONE_IN_TIME.name, Sentence.TOO_MANY_WAITING.name
)

TROUBLES: tuple[Trouble, ...] = (
    Trouble("Redis", "down", _redis_down, _MEMORY),
    Trouble("Redis", "hanging", _redis_hangs, _MEMORY),
    Trouble("Redis", "refusing connections", _proxied(Mode.REFUSE, "redis-"), _MEMORY),
    Trouble("Redis", "refusing to write", _redis_is_full, _each(CHANGING, Sentence.MEMORY_AWAY.name)),
    Trouble("Redis", "slow 2 s", _proxied(Mode.SLOW, "redis-"), _MEMORY),
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
)

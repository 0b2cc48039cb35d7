"""Faults, done to a running Tonearm: each is a context in which something is broken, and mended at its end."""

from __future__ import annotations

import asyncio
import secrets
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass

import aiohttp
from aiohttp import web

from playground.system import free_port
from playground.twin.client import TwinError
from playground.twin.handles import Actor, Channel, Guild
from playground.twin.seen import Unanswered
from tests.chaos.cluster import API, AUDIO, HTTP, VOICE, WORKER, Cluster
from tests.chaos.faults import METHODS

SOME_SECONDS = 1.2
"""Between two commands of one person: nobody may use more than one a second for long."""
FORGED_SECONDS = 0.1
DRIP_SECONDS = 0.5
WAITING = 4
"""Tracks that are asked for from a source that hangs; each is given up after 15 s."""


@dataclass(frozen=True)
class Place:
    """A guild, where somebody uses commands, and the Tonearm it belongs to."""

    cluster: Cluster
    guild: Guild
    text: Channel
    person: Actor


Break = Callable[[Place], AbstractAsyncContextManager[None]]


@dataclass(frozen=True)
class Fault:
    """``alerts`` have to be told of what is done; ``held_back`` fire too, and nobody may be told of them."""

    what: str
    make: Break
    alerts: tuple[str, ...]
    held_back: tuple[str, ...] = ()


def _away(role: str, all_of_them: bool = True) -> Break:
    """Processes of a role are killed, and stay away: all of them, or the last."""

    @asynccontextmanager
    async def make(place: Place) -> AsyncIterator[None]:
        processes = place.cluster.processes
        names = processes.names(role)
        taken = names if all_of_them else names[-1:]
        for name in taken:
            await processes.take_away(name, signal.SIGKILL)
        try:
            yield
        finally:
            for name in taken:
                await processes.bring_back(name)
            for name in taken:
                await processes.wait_ready(name)

    return make


@asynccontextmanager
async def _redis_down(place: Place) -> AsyncIterator[None]:
    async with place.cluster.valkey_lock:
        await place.cluster.valkey.kill()
        try:
            yield
        finally:
            await place.cluster.valkey.start()


@asynccontextmanager
async def _postgres_down(place: Place) -> AsyncIterator[None]:
    async with place.cluster.postgres_lock:
        await place.cluster.postgres.kill()
        try:
            yield
        finally:
            await place.cluster.postgres.start()


@asynccontextmanager
async def _forging(place: Place) -> AsyncIterator[None]:
    """Somebody who does not have Discord's key sends interactions."""
    url = f"{place.cluster.processes[f'{HTTP}0'].said['url']}/interactions"
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as http:

        async def forge() -> None:
            headers = {"X-Signature-Ed25519": secrets.token_hex(64), "X-Signature-Timestamp": str(int(time.time()))}
            async with http.post(url, data=b'{"type":1}', headers=headers) as response:
                assert response.status == 401, "a forged signature was taken"

        async with _meanwhile(forge, FORGED_SECONDS):
            yield


@asynccontextmanager
async def _forging_beside_discord(place: Place) -> AsyncIterator[None]:
    """The same, while Discord sends some that are good."""

    async def ping() -> None:
        await place.cluster.twin.ping()

    async with _meanwhile(ping, SOME_SECONDS), _forging(place):
        yield


@asynccontextmanager
async def _unanswered(place: Place) -> AsyncIterator[None]:
    """Discord takes no answer: to it, each interaction's token is void. People go on using commands."""
    async with AsyncExitStack() as holds:
        for method in METHODS:
            hold = await place.cluster.twin.hold_rest(method, "/webhooks/.*", count=None, status=401)
            holds.push_async_callback(hold.release)

        async def use() -> None:
            with suppress(Unanswered, TwinError):
                await place.person.command(place.guild, place.text, "pause")

        async with _meanwhile(use, SOME_SECONDS):
            yield


@asynccontextmanager
async def _slow_source(place: Place) -> AsyncIterator[None]:
    """A track's server sends a byte at a time, so the look-up hangs, and what was asked for later waits behind it."""
    over = asyncio.Event()

    async def drip(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "audio/mpeg"})
        await response.prepare(request)
        with suppress(ConnectionError):
            while not over.is_set():
                await response.write(b"\0")
                with suppress(TimeoutError):
                    async with asyncio.timeout(DRIP_SECONDS):
                        await over.wait()
        return response

    app = web.Application()
    app.add_routes([web.get("/{track}.mp3", drip)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        port = free_port()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        for number in range(WAITING):
            await place.person.command(place.guild, place.text, "play", query=f"http://127.0.0.1:{port}/{number}.mp3")
        yield
    finally:
        over.set()
        await runner.cleanup()


@asynccontextmanager
async def _meanwhile(work: Callable[[], Awaitable[None]], every: float) -> AsyncIterator[None]:
    """Do something again and again, ``every`` seconds, until the end of the context."""

    async def go_on() -> None:
        while True:
            await work()
            await asyncio.sleep(every)

    task = asyncio.create_task(go_on())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled():
            task.result()  # it failed, which says more than that nobody was told


SHORT = (
    (
        Fault("every Lavalink is killed", _away(AUDIO), ("NoLavalink",), ("LavalinkDown",)),
        Fault("somebody forges signatures", _forging_beside_discord, ("SignatureFailures",)),
        Fault("Discord takes no answer", _unanswered, ("InteractionsUnanswered", "AnswersBudgetBurnsFast")),
    ),
)
"""Rounds of faults: those of one round are done at once, and have nothing to do with each other."""

LONG = (
    *SHORT,
    (
        Fault("Redis is killed", _redis_down, ("RedisDown",)),
        Fault("only forged signatures come", _forging, ("AllSignaturesRefused",)),
        Fault("every API process is killed", _away(API), ("ProcessDown",)),
    ),
    (
        Fault("every voice node is killed", _away(VOICE), ("NoVoiceNode",)),
        Fault("every worker is killed", _away(WORKER), ("NoWorker",)),
        Fault("every HTTP process is killed", _away(HTTP), ("NoInteractionsProcess",)),
    ),
    (
        Fault("a track's source hangs", _slow_source, ("BacklogOld",)),
        Fault("PostgreSQL is killed", _postgres_down, ("PostgresDown",)),
        Fault("one of two Lavalinks is killed", _away(AUDIO, all_of_them=False), ("LavalinkDown",)),
    ),
)

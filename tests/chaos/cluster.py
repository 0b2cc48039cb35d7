"""A Tonearm of several voice nodes, audio nodes and HTTP processes, each of which may come to harm."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import socket
import sys
from collections import Counter
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import redis.asyncio
import redis.exceptions
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff

from playground.stores._server import PORTS
from playground.stores.postgres import Postgres
from playground.stores.valkey import Valkey
from playground.system import PASSWORD
from playground.twin.actors import TwinClient
from tests.chaos.memory import emptied, in_memory
from tests.chaos.processes import NOT_AT_ALL, Crash, Process, Processes, Ready, signal_tree
from tests.chaos.proxies import Address, Proxy
from tonearm.child_logs import Log
from tonearm.errors import StartFailed
from tonearm.settings import PREFIX
from tonearm.up import tonearm

VOICE, AUDIO, HTTP, WORKER, API = "voice-", "audio-", "http-", "worker-", "api-"
"""Roles: the beginnings of names."""

SCOPES = ("premium:*", "music:*", "settings:*")
"""What the script may do that uses the API."""

SHARDS_SECONDS = 60.0
TWIN_FAILED = "twin_failed"
TWIN_SECONDS = 60.0
"""How long the twin may take to answer: on a busy machine it has more to do than anybody."""
EVENTS_AGAIN = [0.5, 1.0, 2.0, 4.0, 8.0, 16.0]
"""Seconds after which Discord delivers a webhook event again: quicker than it does, as nobody wants to wait."""


@dataclass(frozen=True)
class Shape:
    """How many of what; PostgreSQL is there where a worker is.

    ``troubled``: proxies stand before Redis, PostgreSQL, the audio nodes and Discord's REST API. ``patient``: jobs may
    wait longer than any fault lasts.
    """

    voice_nodes: int = 3
    audio_nodes: int = 2
    http: int = 2
    workers: int = 0
    api: int = 0
    shards: int = 4
    troubled: bool = False
    patient: bool = False
    settings: Mapping[str, str] = field(default_factory=dict)


class Cluster:
    """The running whole; an async context manager that leaves no process behind.

    ``proxies`` are, where the shape says so: ``redis-http``, ``redis-voice``, ``database``, ``audio-<n>`` and ``rest``.
    ``aof_held_up`` counts the writes that the disk held up before a Redis was killed.
    ``api_url`` and ``api_key`` are for a script, where there is an API; ``sku`` is the plan pro at Discord's.
    """

    def __init__(self, folder: Path, library: Path, shape: Shape, log: Log) -> None:
        self.folder = folder
        self.shape = shape
        self.processes = Processes(log)
        self._redis_folder = in_memory(folder / "valkey")
        self.aof_in_memory = self._redis_folder != folder / "valkey"
        self.aof_held_up = 0
        self.valkey = Valkey(self._redis_folder, aof=True, log=lambda line: log("valkey", line))
        self.valkey_lock = asyncio.Lock()
        self.postgres = Postgres(folder / "postgres", log=lambda line: log("postgres", line))
        self.postgres_lock = asyncio.Lock()
        self.api_url = ""
        self.api_key = self.api_key_id = ""
        self.sku = ""
        self.proxies: dict[str, Proxy] = {}
        self._library = library
        self._log = log
        self._stack = AsyncExitStack()
        self._environ: dict[str, str] = {}
        self._addresses: dict[str, Address] = {}
        self._audio_ports = free_ports(shape.audio_nodes)
        self._twin: TwinClient | None = None
        self._redis: redis.asyncio.Redis | None = None

    @property
    def twin(self) -> TwinClient:
        """The Discord in which this Tonearm lives."""
        assert self._twin is not None
        return self._twin

    @property
    def redis(self) -> redis.asyncio.Redis:
        """A client of our own, which waits for long."""
        assert self._redis is not None
        return self._redis

    def audio_url(self, name: str) -> str:
        """Where an audio node answers, without a proxy."""
        return f"http://127.0.0.1:{self._audio_ports[int(name.removeprefix(AUDIO))]}"

    async def owner(self, shard: int) -> str | None:
        """The name of the voice node that holds a shard, if one does."""
        found: Any = await self.redis.hget(f"{{s{shard}}}:lease", "owner")
        if found is None:
            return None
        pid = int(found.decode().rpartition("-")[2])
        for name in self.processes.names(VOICE):
            child = self.processes[name].child
            if child is not None and child.pid == pid:
                return name
        return None

    async def wait_owned(self, within: float = SHARDS_SECONDS) -> None:
        """Wait until every shard has an owner that is connected to Discord.

        Raises:
            TimeoutError: one has none.
        """
        async with asyncio.timeout(within):
            for shard in range(self.shape.shards):
                await self.twin.wait_ready(shard, timeout=within)
                while await self.owner(shard) is None:  # noqa: ASYNC110 - Redis has no event for it
                    await asyncio.sleep(0.1)

    async def kill_redis(self) -> None:
        """As SIGKILL does: what Redis had answered is in the append-only file, unless the disk held that up."""
        self.aof_held_up += int((await self.redis.info("persistence"))["aof_delayed_fsync"])
        await self.valkey.kill()

    async def complaints(self) -> list[str]:
        """What went wrong beside everything that was looked for: processes that crashed, rules of Discord's broken, and
        a disk too slow for what is promised.

        The twin's own mistakes are no fault of the bot, and are in its log.
        """
        violations = Counter(str(each["name"]) for each in await self.twin.violations())
        violations.pop(TWIN_FAILED, None)
        told = [f"Discord wrote down {times} times: {name}" for name, times in violations.items()]
        if self.aof_held_up:
            told.append(f"void: the disk held {self.aof_held_up} writes of Redis up, which a kill may then have lost")
        return [*(str(crash) for crash in self.processes.crashes if not _stood_still(crash)), *told]

    def remarks(self) -> list[str]:
        """What Tonearm is not to blame for, and had to bear with: an audio node, which stands in for Lavalink, that did
        not end when it was asked to. Its log says where it stood."""
        return [str(crash) for crash in self.processes.crashes if _stood_still(crash)]

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def _start(self) -> None:
        shape, stack = self.shape, self._stack
        stack.enter_context(emptied(self._redis_folder))
        await stack.enter_async_context(self.valkey)
        stack.push_async_callback(self._continue_valkey)
        self._redis = redis.asyncio.from_url(
            self.valkey.url,
            socket_timeout=30,
            retry=Retry(ExponentialBackoff(cap=0.5, base=0.05), 20),
            retry_on_error=[redis.exceptions.ConnectionError],
        )
        stack.push_async_callback(self._redis.aclose)
        balancer = await stack.enter_async_context(Proxy(lambda: self._serving(HTTP)))
        counter = await stack.enter_async_context(Proxy(lambda: self._serving(API)))
        stack.push_async_callback(self._close_postgres)
        await stack.enter_async_context(self.processes)
        async with asyncio.TaskGroup() as starting:
            if shape.workers:
                starting.create_task(self.postgres.start())
            twin_started = starting.create_task(
                self.processes.start("twin", lambda: _module("playground.twin", "--identify-interval", "5"))
            )
        twin = twin_started.result().said
        self._twin = await stack.enter_async_context(TwinClient(str(twin["control_url"]), TWIN_SECONDS))
        await self._twin.configure(max_concurrency=16, session_starts=100_000)
        await self._twin.set_interactions_url(f"http://{balancer.address}/interactions")
        if shape.troubled:
            await self._open_proxies(twin)
        if shape.workers:
            self.sku = str((await self.twin.create_sku("pro"))["id"])
        self._environ = self._make_environ(twin)
        voice_ca = str(twin["voice_ca"])
        await asyncio.gather(
            self._prepare(), *(self._start_audio(number, voice_ca) for number in range(shape.audio_nodes))
        )
        await asyncio.gather(
            *(self._start_voice(f"{VOICE}{number}") for number in range(shape.voice_nodes)),
            *(self._start_server(f"{HTTP}{number}", "interactions") for number in range(shape.http)),
            *(self._start_server(f"{WORKER}{number}", "worker") for number in range(shape.workers)),
            *(self._start_server(f"{API}{number}", "api") for number in range(shape.api)),
        )
        if shape.api:
            self.api_url = f"http://{counter.address}"
            await self.twin.set_events_url(f"{self.api_url}/webhook-events", EVENTS_AGAIN)
        try:
            await self.wait_owned()
        except TimeoutError:
            crashed = {crash.name for crash in self.processes.crashes}
            raise StartFailed(
                f"Not every shard found an owner. Ended by themselves: {crashed}; see their logs."
            ) from None

    async def _open_proxies(self, twin: Ready) -> None:
        rest = urlsplit(str(twin["api_url"]))
        backends: dict[str, Address] = {
            "redis-http": ("127.0.0.1", self.valkey.port),
            "redis-voice": ("127.0.0.1", self.valkey.port),
            "rest": ("127.0.0.1", rest.port or 80),
            **{f"{AUDIO}{number}": ("127.0.0.1", port) for number, port in enumerate(self._audio_ports)},
        }
        if self.shape.workers:
            backends["database"] = ("127.0.0.1", self.postgres.port)
        for name, backend in backends.items():
            self.proxies[name] = await self._stack.enter_async_context(Proxy(lambda at=backend: (at,)))  # type: ignore[misc]

    def _make_environ(self, twin: Ready) -> dict[str, str]:
        rest = str(twin["api_url"])
        if "rest" in self.proxies:
            parts = urlsplit(rest)
            rest = parts._replace(netloc=self.proxies["rest"].address).geturl()
        nodes = [
            f"http://:{PASSWORD}@{self.proxies[name].address if name in self.proxies else f'127.0.0.1:{port}'}"
            for name, port in ((f"{AUDIO}{number}", port) for number, port in enumerate(self._audio_ports))
        ]
        values = {
            "DISCORD_APPLICATION_ID": twin["application_id"],
            "DISCORD_PUBLIC_KEY": twin["public_key"],
            "DISCORD_BOT_TOKEN": twin["bot_token"],
            "DISCORD_API_URL": rest,
            "DISCORD_GATEWAY_URL": twin["gateway_url"],
            "LAVALINK_NODES": ",".join(nodes),
            "SHARD_COUNT": self.shape.shards,
            "PORT": "0",
            **self.shape.settings,
        }
        if self.shape.workers:
            url = urlsplit(self.postgres.url)
            address = self.proxies["database"].address if "database" in self.proxies else f"127.0.0.1:{url.port}"
            values["DISCORD_SKUS"] = f"pro={self.sku}"
            values["DATABASE_URL"] = url._replace(netloc=f"{url.username}@{address}").geturl()
        return {f"{PREFIX}{name}": str(value) for name, value in values.items()}

    def _with_redis(self, proxy: str) -> dict[str, str]:
        url = self.valkey.url
        if proxy in self.proxies:
            url = f"redis://{self.proxies[proxy].address}/0"
        return {**self._environ, f"{PREFIX}REDIS_URL": url}

    async def _prepare(self) -> None:
        """What an operator does once: tell Discord the commands, make the tables, make a key."""
        async with asyncio.TaskGroup() as doing:
            doing.create_task(self._do("commands", "sync"))
            if self.shape.workers:
                doing.create_task(self._do("migrate"))
        if self.shape.api:
            said = await self._do("keys", "create", "chaos", *(f"--scope={scope}" for scope in SCOPES))
            self.api_key = said.split()[-1]
            self.api_key_id = (await self._do("keys", "list")).splitlines()[1].split()[0]

    async def _do(self, *words: str) -> str:
        process = await asyncio.create_subprocess_exec(
            *tonearm(*words),
            env={**os.environ, **self._with_redis("")},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate()
        if process.returncode:
            raise StartFailed(f"`tonearm {' '.join(words)}` failed: {output.decode(errors='replace').strip()}")
        return output.decode()

    async def _start_audio(self, number: int, voice_ca: str) -> Process:
        port = str(self._audio_ports[number])
        words = ("--library", str(self._library), "--voice-ca", voice_ca, "--password", PASSWORD, "--port", port)
        name = f"{AUDIO}{number}"
        return await self.processes.start(name, lambda: _module("playground.audio_node", "--name", name, *words))

    async def _start_voice(self, name: str) -> None:
        # All come at once; that every shard has an owner is waited for instead.
        await self.processes.start(
            name, lambda: tonearm("voice-node"), lambda: self._with_redis("redis-voice"), wait=False
        )

    async def _start_server(self, name: str, command: str) -> None:
        def is_ready(said: Ready) -> None:
            url = urlsplit(str(said["url"]))
            self._addresses[name] = ("127.0.0.1", url.port or 80)

        await self.processes.start(
            name,
            lambda: server_command(command, patient=self.shape.patient),
            lambda: self._with_redis("redis-http"),
            on_ready=is_ready,
        )

    def _serving(self, role: str) -> list[Address]:
        return [address for name, address in self._addresses.items() if name.startswith(role)]

    async def _continue_valkey(self) -> None:
        await self.valkey.kill(signal.SIGCONT)

    async def _close_postgres(self) -> None:
        if self.postgres.port:
            signal_tree(self.postgres.pid, signal.SIGCONT)
        await self.postgres.close()


def server_command(command: str, *, patient: bool) -> tuple[str, ...]:
    """How the HTTP side, the API or a worker is started."""
    return _module("tests.chaos.patient", command) if patient else tonearm(command)


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on, outside of the range that the kernel gives to outgoing connections."""
    found: list[int] = []
    for port in random.sample(PORTS, 200):
        with socket.socket() as trial:
            try:
                trial.bind(("127.0.0.1", port))
            except OSError:
                continue
        found.append(port)
        if len(found) == count:
            return found
    raise StartFailed("no port is free")


def _module(name: str, *words: str) -> tuple[str, ...]:
    return (sys.executable, "-m", name, *words)


def _stood_still(crash: Crash) -> bool:
    return crash.name.startswith(AUDIO) and crash.when == NOT_AT_ALL

"""A whole Tonearm on this machine: stores, audio node, twin, HTTP side and voice node, each a process of its own.

Everything listens on free ports of 127.0.0.1 and lives in one folder. Used by the demo and by the end-to-end tests.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from playground.stores._server import PORTS
from playground.twin.actors import TwinClient
from tonearm.child import spawn
from tonearm.child_logs import Log
from tonearm.errors import StartFailed
from tonearm.settings import PREFIX
from tonearm.supervisor import Event, ProcessSpec, Ready, Supervisor
from tonearm.up import tonearm

PASSWORD = "youshallnotpass"  # noqa: S105 - Lavalink's well-known default, on loopback
READY_SECONDS = 60.0

STARTED = ("valkey", "postgres", "twin", "audio-node", "voice-node", "interactions")
"""The processes in the order of their start."""


class System:
    """The running whole; an async context manager that leaves no process behind.

    ``on_step`` is told the name of each process before it starts; ``settings`` are added to those of our own processes.
    Of several ``audio_nodes`` the first is named ``audio-node``, the others ``audio-node-2`` and so on; one that dies
    is started again at its address. With ``premium`` there are a worker and the API too, and two SKUs are on sale.
    """

    def __init__(
        self,
        folder: Path,
        *,
        library: Path,
        settings: Mapping[str, str] | None = None,
        twin_options: tuple[str, ...] = (),
        audio_nodes: int = 1,
        premium: bool = False,
        on_step: Callable[[str], None] = lambda _: None,
        on_event: Callable[[Event], None] = lambda _: None,
        log: Log | None = None,
    ) -> None:
        self.folder = folder
        self.library = library
        self.supervisor = Supervisor(on_event=on_event, log=log)
        self.environ: dict[str, str] = {}
        self._settings = dict(settings or {})
        self._twin_options = twin_options
        self._premium = premium
        self._voice_ca = ""
        self.audio_urls: dict[str, str] = {audio_node_name(number): "" for number in range(audio_nodes)}
        """Where each audio node answers, by name."""
        self.skus: dict[str, str] = {}
        """Discord's SKU of each plan that is on sale."""
        self.api_url = ""
        """Where the API answers, if there is one."""
        self.voice_url = ""
        """Where the first life of the first voice node tells of itself."""
        self.worker_url = ""
        """Where the worker does, if there is one."""
        self.interactions_url = ""
        """Where the HTTP side answers."""
        self._on_step = on_step
        self._twin: TwinClient | None = None

    @property
    def twin(self) -> TwinClient:
        """The Discord in which this Tonearm lives."""
        assert self._twin is not None
        return self._twin

    async def __aenter__(self) -> Self:
        await self.supervisor.__aenter__()
        try:
            await self._start()
        except BaseException:
            await self.__aexit__(*sys.exc_info())
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._twin is not None:
            await self._twin.__aexit__(kind, error, trace)
        await self.supervisor.__aexit__(kind, error, trace)

    async def _start(self) -> None:
        valkey = await self._run("valkey", _module("playground.stores.valkey", "--dir", str(self.folder / "valkey")))
        postgres = await self._run(
            "postgres", _module("playground.stores.postgres", "--dir", str(self.folder / "postgres"))
        )
        twin = await self._run("twin", _module("playground.twin", *self._twin_options))
        self._voice_ca = str(twin["voice_ca"])
        await asyncio.gather(*(self._start_audio_node(name) for name in self.audio_urls))
        self.environ = {
            f"{PREFIX}{name}": value
            for name, value in {
                "DISCORD_APPLICATION_ID": str(twin["application_id"]),
                "DISCORD_PUBLIC_KEY": str(twin["public_key"]),
                "DISCORD_BOT_TOKEN": str(twin["bot_token"]),
                "DISCORD_API_URL": str(twin["api_url"]),
                "DISCORD_GATEWAY_URL": str(twin["gateway_url"]),
                "REDIS_URL": str(valkey["url"]),
                "DATABASE_URL": str(postgres["url"]),
                "LAVALINK_NODES": ",".join(url.replace("://", f"://:{PASSWORD}@") for url in self.audio_urls.values()),
                "PORT": "0",
                **self._settings,
            }.items()
        }
        self._twin = await TwinClient(str(twin["control_url"])).__aenter__()
        if self._premium:
            self.skus = {plan: str((await self.twin.create_sku(plan))["id"]) for plan in ("premium", "pro")}
            self.environ[f"{PREFIX}DISCORD_SKUS"] = ",".join(f"{plan}={sku}" for plan, sku in self.skus.items())
        await self._do("migrate")
        await self._do("commands", "sync")
        self.voice_url = str((await self.start_voice_node())["url"])
        if self._premium:
            self.worker_url = str((await self._run("worker", tonearm("worker"), self.environ))["url"])
            self.api_url = str((await self._run("api", tonearm("api"), self.environ))["url"])
            await self.twin.set_events_url(f"{self.api_url}/webhook-events")
        await self.start_interactions()

    async def _do(self, *words: str) -> None:
        """What an operator does once: make the tables, tell Discord the commands."""
        lines: list[str] = []
        child = await spawn(tonearm(*words), env=self.environ, on_line=lambda _, line: lines.append(line))
        try:
            async with asyncio.timeout(READY_SECONDS):
                failed = bool(await child.wait())
        except TimeoutError:
            failed = True
        finally:
            child.kill()
            await child.wait()
        if failed:
            raise StartFailed("\n".join((f"`tonearm {' '.join(words)}` failed:", *lines)))

    async def start_voice_node(self, name: str = "voice-node") -> Ready:
        """Start a voice node; the supervisor starts it again when it dies."""
        return await self._run(name, tonearm("voice-node"), self.environ, restart=True)

    async def start_interactions(self) -> Ready:
        """Start the HTTP side, and tell the twin where it answers."""
        ready = await self._run("interactions", tonearm("interactions"), self.environ)
        self.interactions_url = str(ready["url"])
        await self.twin.set_interactions_url(f"{self.interactions_url}/interactions")
        return ready

    async def _start_audio_node(self, name: str) -> None:
        """One of several is started again where it was, as an orchestrator would; the only one ends the whole."""
        several = len(self.audio_urls) > 1
        port = str(free_port() if several else 0)
        argv = (*self.audio_node_argv(self._voice_ca), "--name", name, "--port", port)
        self.audio_urls[name] = str((await self._run(name, argv, restart=several))["url"])

    def audio_node_argv(self, voice_ca: str) -> tuple[str, ...]:
        """How the audio node is started."""
        return _module(
            "playground.audio_node", "--library", str(self.library), "--voice-ca", voice_ca, "--password", PASSWORD
        )

    async def _run(
        self, name: str, argv: tuple[str, ...], env: Mapping[str, str] | None = None, *, restart: bool = False
    ) -> Ready:
        self._on_step(name)
        return await self.supervisor.start(ProcessSpec(name, argv, env or {}, READY_SECONDS, restart))


def audio_node_name(number: int) -> str:
    """What the audio node with this number, from 0, is called."""
    return f"audio-node-{number + 1}" if number else "audio-node"


def free_port() -> int:
    """A port that nobody listens on, and that the kernel gives to no outgoing connection."""
    for port in random.sample(PORTS, 200):
        with socket.socket() as trial, contextlib.suppress(OSError):
            trial.bind(("127.0.0.1", port))
            return port
    raise StartFailed("no port is free")


def _module(name: str, *words: str) -> tuple[str, ...]:
    return (sys.executable, "-m", name, *words)

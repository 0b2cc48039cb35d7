"""``tonearm up``: the processes of a small installation under one supervisor, on the configured stores and Lavalink."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from collections.abc import Callable

from tonearm.settings import PREFIX, Settings, load
from tonearm.supervisor import Event, EventKind, ProcessSpec, Supervisor
from tonearm.telemetry import LOG, set_up_logging

NEEDED = ("discord_application_id", "discord_public_key", "discord_bot_token", "redis_url", "lavalink_nodes")
READY_SECONDS = 120.0
"""Identifying with Discord, in turn with other shards, may take a while."""


def specs(settings: Settings) -> tuple[ProcessSpec, ...]:
    """The processes: the HTTP side on the configured port, the voice node's health page on the one after it; where a
    database is configured, then the API and the worker's health page."""
    names = ["interactions", "voice-node", *(("api", "worker") if settings.database_url else ())]
    ports = {name: settings.port + number if settings.port else 0 for number, name in enumerate(names)}
    # What serves people comes last: then all that it hands work to is there.
    order = [name for name in ("voice-node", "worker", "api", "interactions") if name in ports]
    return tuple(ProcessSpec(name, tonearm(name), _port(ports[name]), READY_SECONDS, restart=True) for name in order)


def tonearm(*words: str) -> tuple[str, ...]:
    """How a command of this installation is started."""
    return (sys.executable, "-m", "tonearm", *words)


def _port(port: int) -> dict[str, str]:
    return {f"{PREFIX}PORT": str(port)}


def main(argv: list[str]) -> int:
    """Run until SIGINT or SIGTERM; a process that dies is started again.

    Raises:
        SettingsError: a setting is missing or wrong.
        StartFailed: a process did not become ready.
    """
    parser = argparse.ArgumentParser(
        prog="tonearm up", description="Runs all processes of a small installation; settings as in `tonearm doctor`."
    )
    parser.parse_args(argv)
    settings = load(NEEDED)
    set_up_logging(settings.log_format)
    return asyncio.run(run(settings, on_event=_log))


async def run(settings: Settings, *, on_event: Callable[[Event], None]) -> int:
    """Start everything, then wait for a stop. The exit code is 1 when a process could not be kept up.

    Raises:
        StartFailed: a process did not become ready.
    """
    cause: Event | None = None
    async with Supervisor(on_event=on_event) as supervisor:
        supervisor.stop_on(signal.SIGINT, signal.SIGTERM)
        for spec in specs(settings):
            ready = await supervisor.start(spec)
            LOG.info("%s answers at %s", spec.name, ready.get("url"))
        cause = await supervisor.wait()
    return 0 if cause is None else 1


def _log(event: Event) -> None:
    level = LOG.info if event.kind in (EventKind.READY, EventKind.STOPPED) else LOG.warning
    level("%s", event)

"""``tonearm interactions``: the HTTP side, which answers Discord, as a process."""

from __future__ import annotations

import argparse
import asyncio
import signal
import socket
from collections.abc import Callable

import uvicorn
import uvloop
from starlette.applications import Starlette

from interactions.app import create_app
from interactions.connections import BoundedProtocol, Silent
from tonearm import settings as tonearm_settings
from tonearm.errors import StartFailed, TonearmError
from tonearm.rotation import rotating
from tonearm.settings import Settings
from tonearm.telemetry import announce_ready, exposing, set_up_logging, traces

NEEDED = ("discord_application_id", "discord_public_key", "redis_url")
GRACE_S = 3
"""Seconds that requests in hand get when the process is asked to end."""

KEEP_ALIVE_S = 75
"""Longer than the 60 s after which load balancers close what is idle: who closes first loses no request."""

HEADERS_S = 10
"""Seconds that a connection may take, at most twice that, to send the headers of a request: uvicorn waits for good."""

MOST_WORKERS = 64
"""More processes on one port are a mistake."""

TICKS_A_SECOND = 10
"""How often uvicorn calls ``on_tick``."""


def main(argv: list[str]) -> int:
    """Serves until SIGTERM or Ctrl-C; returns the exit code.

    Raises:
        SettingsError: a setting is missing or wrong, or not that of the other processes.
        StartFailed: the address can't be listened on.
    """
    parser = argparse.ArgumentParser(prog="tonearm interactions", description="Answers Discord's interactions.")
    parser.add_argument(
        "--workers", type=_number, default=1, metavar="N", help="processes on one port, for as many cores; 1 by default"
    )
    parser.add_argument("--socket", type=int, help=argparse.SUPPRESS)  # what a worker is given to listen on
    args = parser.parse_args(argv)
    settings = tonearm_settings.load(NEEDED)
    set_up_logging(settings.log_format)
    if args.workers > 1:
        from interactions import workers  # with what only a supervisor needs

        with listen(settings.host, settings.port) as listener:
            asyncio.run(workers.serve(args.workers, listener))
        return 0
    exposing.begin("interactions")
    with (
        traces.exporting(settings.traces, "interactions"),
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        runner.run(serve(settings, None if args.socket is None else socket.socket(fileno=args.socket)))
    return 0


def _number(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= MOST_WORKERS:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1 to {MOST_WORKERS}, not {text!r}")
    return int(text)


async def serve(settings: Settings, listener: socket.socket | None = None) -> None:
    """Listens, or takes ``listener``, says so on standard output, and serves until a signal comes.

    Raises:
        SettingsError: a setting is not that of the other processes.
        StartFailed: the address can't be listened on.
    """
    await serve_app("interactions", lambda stop: create_app(settings, on_fatal=stop), settings, listener)


async def serve_app(
    name: str,
    make: Callable[[Callable[[TonearmError], None]], Starlette],
    settings: Settings,
    listener: socket.socket | None = None,
) -> None:
    """Serves what ``make`` makes, which may say why this process can't go on; ``name`` is the process' own. It listens
    as the settings say, unless it is given a ``listener``, which is bound.

    Raises:
        SettingsError: a setting is not that of the other processes.
        StartFailed: the address can't be listened on.
    """
    fatal: list[TonearmError] = []

    def stop(error: TonearmError | None = None) -> None:
        if error is not None:
            fatal.append(error)
        server.should_exit = True

    server = _Server(
        uvicorn.Config(
            make(stop),
            http=BoundedProtocol,
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=GRACE_S,
        ),
        name,
    )
    listener = listener or listen(settings.host, settings.port)
    loop = asyncio.get_running_loop()
    for each in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(each, stop)
    try:
        async with rotating(settings):
            await server.serve([listener])
    finally:
        listener.close()
    if fatal:
        raise fatal[0]


class _Server(uvicorn.Server):
    """uvicorn without its own signal handling, which would end the process by the signal again."""

    def __init__(self, config: uvicorn.Config, name: str) -> None:
        super().__init__(config)
        self._name = name
        self._silent = Silent()

    async def on_tick(self, counter: int) -> bool:
        if counter % (HEADERS_S * TICKS_A_SECOND) == 0:
            self._silent.close(self.server_state.connections)
        return await super().on_tick(counter)

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        await self._serve(sockets)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if sockets and self.started:
            host, port = sockets[0].getsockname()[:2]
            announce_ready(process=self._name, url=f"http://{f'[{host}]' if ':' in host else host}:{port}")


def listen(host: str, port: int) -> socket.socket:
    """A socket that is bound there.

    Raises:
        StartFailed: it can't be.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise StartFailed(f"Can't listen on {host} port {port}: {error.strerror}.") from None
    listener.set_inheritable(True)
    return listener

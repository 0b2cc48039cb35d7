"""``python -m playground.twin``: a Discord on this machine, until SIGTERM or SIGINT."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import signal
import sys
from pathlib import Path

import uvloop

from playground.twin.app import Twin
from playground.twin.gateway.settings import GatewaySettings


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m playground.twin", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1)")
    parser.add_argument("--port", type=int, default=0, help="port to listen on; 0 takes a free one")
    parser.add_argument("--voice-host", help="address of the voice servers, for clients elsewhere (default: --host)")
    parser.add_argument("--state", type=Path, help="file the world is read from and written to")
    parser.add_argument("--resume-window", type=float, default=30.0, help="seconds a session outlives its socket")
    parser.add_argument("--identify-interval", type=float, default=5.0, help="seconds between IDENTIFYs; 0: no limit")
    parser.add_argument("--max-concurrency", type=int, default=1, help="buckets of IDENTIFY (default: 1)")
    parser.add_argument("--session-starts", type=int, default=1000, help="IDENTIFYs a day (default: 1000)")
    parser.add_argument("--interactions-url", help="where interactions are posted; without it they go by gateway")
    parser.add_argument("--verbose", action="store_true", help="log what happens, not only what fails")
    return parser.parse_args()


async def _run(arguments: argparse.Namespace) -> None:
    settings = GatewaySettings(
        resume_window=arguments.resume_window,
        identify_interval=arguments.identify_interval,
        max_concurrency=arguments.max_concurrency,
        session_starts=arguments.session_starts,
        session_starts_total=arguments.session_starts,
    )
    twin = Twin(
        host=arguments.host,
        port=arguments.port,
        voice_host=arguments.voice_host,
        state=arguments.state,
        settings=settings,
        interactions_url=arguments.interactions_url,
    )
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        await twin.start()
        print(json.dumps({"ready": True, **twin.about()}), flush=True)
        await stop.wait()
    finally:
        await twin.close()


def main() -> None:
    """Run the twin as the command line says."""
    arguments = _arguments()
    level = logging.INFO if arguments.verbose else logging.WARNING
    logging.basicConfig(level=level, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:  # a fifth of the memory for each TLS connection
        runner.run(_run(arguments))


if __name__ == "__main__":
    main()

"""``tonearm top``: what is going on, in a terminal, from Redis alone."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from tonearm.errors import SettingsError, StartFailed
from tonearm.redis.client import FAILURES, Client, connect
from tonearm.redis.overview import Overview, fetch_overview
from tonearm.settings import load

if TYPE_CHECKING:
    from tonearm.top.drawing import Screen

TIMEOUT = 2.0
EVERY = 2.0
"""Seconds between two looks, unless others are asked for."""


class Shown(Protocol):
    """Where it is shown."""

    def show(self, seen: Overview | None, trouble: str = "") -> None:
        """``seen`` is the last that is known; ``trouble`` says why it is not of now."""


def main(argv: list[str]) -> int:
    """Show it until Ctrl-C, or once.

    Raises:
        SettingsError: a setting is missing, or rich is not installed.
        StartFailed: Redis doesn't answer, and it was to be shown once.
    """
    parser = argparse.ArgumentParser(prog="tonearm top", description="Shows what is going on, from Redis alone.")
    parser.add_argument("--once", action="store_true", help="show it once, and end")
    parser.add_argument("--interval", type=_seconds, default=EVERY, metavar="SECONDS", help="between two looks (2)")
    options = parser.parse_args(argv)
    settings = load(("redis_url",))
    screen = _screen()
    if options.once:
        asyncio.run(show_once(settings.redis_url, screen))
        return 0
    with screen.kept():
        asyncio.run(_until_stopped(settings.redis_url, screen, options.interval))
    return 0


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0.1 <= seconds <= 3600:
        raise argparse.ArgumentTypeError("must be a number of seconds from 0.1 to 3600")
    return seconds


def _screen() -> Screen:
    try:
        from tonearm.top.drawing import Screen  # its package is in one extra only
    except ModuleNotFoundError as error:
        raise SettingsError(f"tonearm top needs the package {error.name}: install the extra worker.") from None
    return Screen()


async def show_once(url: str, shown: Shown) -> None:
    """One look.

    Raises:
        StartFailed: Redis doesn't answer.
    """
    async with connect(url, timeout=TIMEOUT) as client:
        try:
            shown.show(await look(client))
        except FAILURES as error:
            raise StartFailed(f"Redis doesn't answer: {str(error) or type(error).__name__}") from None


async def keep_showing(url: str, shown: Shown, interval: float) -> None:
    """Look every ``interval`` seconds until cancelled, also while Redis is away."""
    seen: Overview | None = None
    async with connect(url, timeout=TIMEOUT) as client:
        while True:
            trouble = ""
            try:
                seen = await look(client)
            except FAILURES as error:
                trouble = f"Redis doesn't answer, and is asked again: {str(error) or type(error).__name__}"
            shown.show(seen, trouble)
            await asyncio.sleep(interval)


async def look(client: Client) -> Overview:
    """One look.

    Raises:
        FAILURES: Redis doesn't answer.
    """
    async with asyncio.timeout(2 * TIMEOUT):
        return await fetch_overview(client)


async def _until_stopped(url: str, shown: Shown, interval: float) -> None:
    showing = asyncio.create_task(keep_showing(url, shown, interval))
    stop: Callable[[], object] = showing.cancel
    for each in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(each, stop)
    with contextlib.suppress(asyncio.CancelledError):
        await showing

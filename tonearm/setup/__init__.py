"""``tonearm setup``: from a bot token to a Discord that sends its interactions here.

It can be run again at any time, and does what is not done yet.
"""

from __future__ import annotations

import argparse
import asyncio
import getpass
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from tonearm import envfile
from tonearm.discord.rest import RestClient
from tonearm.doctor.finding import Finding, Verdict
from tonearm.errors import SettingsError
from tonearm.settings import load
from tonearm.setup.steps import BOT_TOKEN, PUBLIC_URL, Setup

UNFINISHED = 3
"""The exit code when nothing failed, but the interactions URL is not set yet."""


def main(argv: list[str]) -> int:
    """Ask, do, and tell; 0 when all is done, 1 when a step failed, 3 when the public URL is still to come.

    Raises:
        SettingsError: what was given has a wrong form, or nobody can be asked for what is missing.
    """
    options = _parser().parse_args(argv)
    kept = envfile.read(options.env_file) if options.env_file.exists() else {}
    environ = {**kept, **{name: value for name, value in os.environ.items() if value}}
    asking = sys.stdin.isatty()
    token = clean_token(environ.get(BOT_TOKEN) or (_ask_token() if asking else ""))
    if not token:
        raise SettingsError(f"{BOT_TOKEN} is missing. Set it in the environment or in {options.env_file}.")
    url = options.public_url or os.environ.get(PUBLIC_URL) or (_ask_url(kept) if asking else kept.get(PUBLIC_URL, ""))
    settings = load((), {**environ, BOT_TOKEN: token, PUBLIC_URL: url})
    wanted = Setup(
        file=options.env_file,
        environ=environ,
        token=token,
        public_url=settings.public_url,
        may_replace=_may_replace(replace=options.replace, asking=asking, typed=not options.public_url),
        events_url=options.events_url.rstrip("/"),
        wait=options.wait,
    )
    return asyncio.run(_run(wanted, settings.discord_api_url))


def clean_token(given: str) -> str:
    """The token as Discord wants it, without what is often copied along.

    Raises:
        SettingsError: it can't be one. The token is not shown.
    """
    token = given.strip().strip("'\"").removeprefix("Bot ").strip()
    if not token.isascii() or not token.isprintable() or " " in token:
        raise SettingsError(f"{BOT_TOKEN} can't be a token: copy it again from the developer portal, *Bot*.")
    return token


async def _run(wanted: Setup, api_url: str) -> int:
    async with RestClient(api_url, bot_token=wanted.token) as rest:
        verdicts = [_tell(finding) async for finding in wanted.run(rest)]
    if Verdict.ERROR in verdicts:
        return 1
    if not wanted.public_url:
        return UNFINISHED
    print(
        "\nInvite the bot with the link above, join a voice channel there and type /play. `tonearm doctor` looks again."
    )
    return 0


def _tell(finding: Finding) -> Verdict:
    print(finding, flush=True)
    return finding.verdict


def _ask_token() -> str:
    print("The bot's token: Discord's developer portal, your application, *Bot*, *Reset Token*.")
    return getpass.getpass("Token (is not shown): ")


def _ask_url(kept: Mapping[str, str]) -> str:
    known = kept.get(PUBLIC_URL, "")
    print("Where Discord reaches Tonearm from the internet, such as https://music.example.")
    return input(f"Public URL (empty: {known or 'later'}): ").strip() or known


def _may_replace(*, replace: bool, asking: bool, typed: bool) -> Callable[[str], bool]:
    """Who decides; an address that was ``typed`` just now, with the other one before the eyes, is decided."""

    def decide(name: str) -> bool:
        if replace or not asking:
            return replace
        if typed and name == PUBLIC_URL:
            return True
        return input(f"The file has another {name}. Replace it? [y/N] ").strip().lower() in ("y", "yes")

    return decide


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= 86_400:
        raise argparse.ArgumentTypeError(f"must be seconds from 0 to 86400, not {text!r}")
    return seconds


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tonearm setup",
        description="Connects this Tonearm with your application at Discord: keys, commands, interactions URL.",
        epilog=f"The token comes from {BOT_TOKEN}, from the file, or is asked for: an argument others could read. Exit "
        "codes: 0 done, 1 a step failed and says what mends it, 3 the public URL is to come.",
    )
    parser.add_argument(
        "--public-url", metavar="URL", default="", help="where Discord reaches the HTTP side: https://…"
    )
    parser.add_argument(
        "--events-url", metavar="URL", default="", help="where it reaches the API (default: PUBLIC URL/webhook-events)"
    )
    parser.add_argument(
        "--env-file", metavar="FILE", type=Path, default=envfile.DEFAULT, help="where settings are kept (default: .env)"
    )
    parser.add_argument("--replace", action="store_true", help="replace other values that the file has")
    parser.add_argument(
        "--wait",
        metavar="SECONDS",
        type=_seconds,
        default=300.0,
        help="how long to wait for Tonearm to answer at the public URL (default: %(default)g)",
    )
    return parser

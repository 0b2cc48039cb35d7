"""``tonearm doctor``: explains each setting, and looks whether what they name answers as it must."""

from __future__ import annotations

import argparse
import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping

from tonearm.doctor import discord, lavalink, postgres, redis
from tonearm.doctor.finding import Finding
from tonearm.errors import SettingsError
from tonearm.settings import DECLARED, PREFIX, Settings, explain, load


def main(argv: list[str]) -> int:
    """Print every setting and every finding; 1 when something must be mended."""
    parser = argparse.ArgumentParser(prog="tonearm doctor", description="Explains the settings and checks them.")
    parser.add_argument("--settings", action="store_true", help="only explain the settings, look at nothing")
    options = parser.parse_args(argv)
    for name, value, meaning in explain():
        print(f"{name} = {value}\n    {meaning}")
    if options.settings:
        return 0
    findings = [*wrong_settings(os.environ)]
    if not findings:
        findings = asyncio.run(examine(load(())))
    print()
    for finding in findings:
        print(f"{'!!' if finding.remedy else 'ok'}  {finding.what}: {finding.found}")
        if finding.remedy:
            print(f"    {finding.remedy}")
    return 1 if any(finding.remedy for finding in findings) else 0


def wrong_settings(environ: Mapping[str, str]) -> list[Finding]:
    """A finding for each setting that has a wrong form."""
    findings = []
    for setting in DECLARED:
        name = PREFIX + setting.name.upper()
        try:
            load((), {name: environ.get(name, "")})
        except SettingsError as error:
            findings.append(Finding(name, "wrong", str(error)))
    return findings


async def examine(settings: Settings) -> list[Finding]:
    """Look at everything that is configured; each look has a timeout and none stops the others."""
    looks: list[Callable[[], Awaitable[list[Finding]]]] = []
    if settings.redis_url:
        looks.append(lambda: redis.examine(settings))
    if settings.discord_bot_token:
        looks.append(lambda: discord.examine(settings))
    if settings.lavalink_nodes:
        looks.append(lambda: lavalink.examine(settings))
    if settings.database_url:
        looks.append(lambda: postgres.examine(settings))
    return [finding for findings in await asyncio.gather(*(look() for look in looks)) for finding in findings]

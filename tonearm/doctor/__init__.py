"""``tonearm doctor``: explains each setting, and looks whether what they name answers as it must."""

from __future__ import annotations

import argparse
import asyncio
import os
from collections.abc import Awaitable, Mapping, Sequence

import msgspec

from tonearm.doctor import discord, lavalink, redis
from tonearm.doctor.finding import Finding, Verdict
from tonearm.envfile import unread
from tonearm.errors import SettingsError
from tonearm.settings import DECLARED, PREFIX, Settings, explain, load
from tonearm.telemetry import LOG

LOOK_TIMEOUT = 60.0
"""Seconds that all checks of one part may take together; what each of them waits for has an end of its own."""


def main(argv: list[str]) -> int:
    """Print every setting and every finding; 1 when something must be mended."""
    parser = argparse.ArgumentParser(
        prog="tonearm doctor",
        description="Explains the settings and checks what they name. Exit code 1: something must be mended (!!).",
    )
    parser.add_argument("--settings", action="store_true", help="only explain the settings, look at nothing")
    parser.add_argument("--brief", action="store_true", help="don't explain the settings")
    parser.add_argument("--json", action="store_true", help="the findings as JSON, for machines")
    parser.add_argument(
        "--search", metavar="WORDS", default=lavalink.WORDS, help="what the sources are searched for (%(default)s)"
    )
    options = parser.parse_args(argv)
    if not (options.brief or options.json) or options.settings:
        for name, value, meaning in explain():
            print(f"{name} = {value}\n    {meaning}")
        print()
    if options.settings:
        return 0
    findings = wrong_settings(os.environ) or [
        *missing_settings(load(())),
        *asyncio.run(examine(load(()), options.search)),
    ]
    print(_json(findings) if options.json else _text(findings))
    if not options.json and (hint := unread(os.environ)):
        print(hint)
    return 1 if any(finding.verdict is Verdict.ERROR for finding in findings) else 0


def _text(findings: Sequence[Finding]) -> str:
    lines = [str(finding) for finding in findings]
    wrong = sum(finding.verdict is Verdict.ERROR for finding in findings)
    return "\n".join([*lines, "", f"{wrong} of {len(findings)} must be mended." if wrong else "Nothing is wrong."])


def _json(findings: Sequence[Finding]) -> str:
    rows = [
        {"what": each.what, "verdict": each.verdict, "found": each.found, "remedy": each.remedy} for each in findings
    ]
    return msgspec.json.format(msgspec.json.encode(rows), indent=2).decode()


def missing_settings(settings: Settings) -> list[Finding]:
    """What an installation can't be without."""
    needed = ("discord_application_id", "discord_public_key", "discord_bot_token", "redis_url", "lavalink_nodes")
    helps = {setting.name: setting.help for setting in DECLARED}
    return [Finding(PREFIX + name.upper(), "is missing", helps[name]) for name in needed if not getattr(settings, name)]


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


async def examine(settings: Settings, words: str = lavalink.WORDS) -> list[Finding]:
    """Look at everything that is configured; each look has a timeout and none stops the others."""
    looks: list[Awaitable[list[Finding]]] = []
    if settings.redis_url:
        looks.append(_look("Redis", "REDIS_URL", redis.examine(settings)))
    if settings.discord_bot_token:
        looks.append(_look("Discord", "DISCORD_API_URL", discord.examine(settings)))
    if settings.lavalink_nodes:
        looks.append(_look("Lavalink", "LAVALINK_NODES", lavalink.examine(settings, words)))
    if settings.database_url:
        looks.append(_look("PostgreSQL", "DATABASE_URL", _postgres(settings)))
    return [finding for findings in await asyncio.gather(*looks) for finding in findings]


async def _look(what: str, setting: str, looking: Awaitable[list[Finding]]) -> list[Finding]:
    """What a look finds; one that takes too long or breaks is itself a finding."""
    try:
        async with asyncio.timeout(LOOK_TIMEOUT):
            return await looking
    except TimeoutError:
        remedy = f"Check {PREFIX}{setting}, and that what it names answers."
        return [Finding(what, f"could not be looked at within {LOOK_TIMEOUT:g} s", remedy)]
    except SettingsError as error:
        return [Finding(what, "can't be looked at", str(error))]
    except Exception as error:  # whatever it is: the other findings are worth to be read
        LOG.exception("The look at %s broke", what)
        remedy = f"Check {PREFIX}{setting}. If it is right, report this as a bug, with the traceback on stderr."
        return [Finding(what, f"can't be looked at ({type(error).__name__})", remedy)]


async def _postgres(settings: Settings) -> list[Finding]:
    """Its driver is only there where a process needs it."""
    try:
        from tonearm.doctor import postgres
    except ModuleNotFoundError as error:
        remedy = "Look from where `tonearm api`, `worker` or `voice-node` is installed."
        return [Finding("PostgreSQL", f"can't be looked at: {error.name} is not installed", remedy, minor=True)]
    return await postgres.examine(settings)

"""``tonearm keys``: the keys of the API, above all the first, which no other can make."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from tonearm.errors import StartFailed
from tonearm.keyring import FRESH
from tonearm.postgres.api_keys import ApiKey, create_key, fetch_keys, revoke_key
from tonearm.postgres.pool import FAILURES, Pool, reason
from tonearm.redis import key_tier
from tonearm.redis.client import FAILURES as REDIS_FAILURES
from tonearm.redis.client import connect
from tonearm.scopes import GIVEN
from tonearm.settings import load

TIMEOUT = 5.0
"""Seconds."""


def main(argv: list[str]) -> int:
    """Make, list or revoke; 1 where the key to revoke is not there.

    Raises:
        SettingsError: the address of the database is missing or wrong.
        StartFailed: PostgreSQL doesn't answer, or the database was not migrated.
    """
    options = _parse(argv)
    settings = load(("database_url",))
    try:
        return asyncio.run(_run(settings.database_url, settings.redis_url, options))
    except FAILURES as error:
        raise StartFailed(f"PostgreSQL can't be used: {reason(error)}. Was it migrated?") from None


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tonearm keys", description="Makes, lists and revokes keys of the API.")
    verbs = parser.add_subparsers(dest="verb", required=True)
    create = verbs.add_parser("create", help="make a key, and print it once")
    create.add_argument("name", help="what it is for")
    create.add_argument(
        "--scope", action="append", required=True, choices=GIVEN, metavar="SCOPE", help=f"one of {', '.join(GIVEN)}"
    )
    create.add_argument("--guild", action="append", type=_snowflake, help="only for this guild; several may be given")
    create.add_argument("--days", type=_days, help="how long it is valid; without it, until it is revoked")
    verbs.add_parser("list", help="list the keys; none is shown itself")
    revoke = verbs.add_parser("revoke", help="end a key for good")
    revoke.add_argument("id", help="its id, as `tonearm keys list` shows it")
    return parser.parse_args(argv)


async def _run(url: str, redis_url: str, options: argparse.Namespace) -> int:
    now = datetime.now(UTC)
    async with Pool(url, timeout=TIMEOUT, max_size=1) as pool:
        if options.verb == "create":
            expires_at = now + timedelta(days=options.days) if options.days else None
            made = await create_key(
                pool, options.name, options.scope, guilds=options.guild, expires_at=expires_at, now=now
            )
            print(made.secret)
            return 0
        if options.verb == "list":
            print(table(await _all(pool), now))
            return 0
        revoked = await revoke_key(pool, options.id, now)
    if revoked is None:
        print(f"{options.id} is no key.")
        return 1
    told = bool(redis_url) and await _tell(redis_url, revoked)
    print(f"{options.id} is revoked{'' if told else f', which is noticed within {FRESH.seconds} s'}.")
    return 0


async def _tell(redis_url: str, revoked: ApiKey) -> bool:
    """Whether every process that serves the API was told."""
    try:
        async with connect(redis_url, timeout=TIMEOUT) as redis:
            await key_tier.forget(redis, revoked.hash)
    except REDIS_FAILURES:
        return False
    return True


async def _all(pool: Pool) -> list[ApiKey]:
    found: list[ApiKey] = []
    while page := await fetch_keys(pool, after=found[-1].id if found else "", most=100):
        found += page
    return found


def table(keys: Sequence[ApiKey], now: datetime) -> str:
    """A line a key: its id, name, hint, scopes and guilds, whether it is valid, and when (UTC) it was last used."""
    if not keys:
        return "There is no key."
    rows = [("ID", "NAME", "KEY", "SCOPES", "GUILDS", "STATE", "LAST USED")]
    for key in keys:
        state = "valid" if key.is_valid(now) else "revoked" if key.revoked_at else "expired"
        guilds = "all" if key.guilds is None else ",".join(map(str, sorted(key.guilds)))
        used = key.last_used_at.astimezone(UTC).strftime("%Y-%m-%d %H:%M") if key.last_used_at else "never"
        rows.append((key.id, key.name, key.hint, ",".join(sorted(key.scopes)), guilds, state, used))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)


def _snowflake(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < 2**63:
        raise argparse.ArgumentTypeError(f"{text!r} is no id of Discord's")
    return int(text)


def _days(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 36_500:
        raise argparse.ArgumentTypeError("days are a whole number from 1 to 36500")
    return int(text)

"""``tonearm forget``: deletes what is kept of a guild, where its people ask the operator for that."""

from __future__ import annotations

import argparse
import asyncio
import secrets
import sys
import time
from datetime import UTC, datetime

from tonearm.errors import Conflict, StartFailed
from tonearm.guild_data.tasks import Deletion, TaskKind, TaskState
from tonearm.postgres import guild_tasks
from tonearm.postgres.grants import fetch_grants
from tonearm.postgres.pool import FAILURES, Pool, reason
from tonearm.premium.grants import are_over
from tonearm.settings import load

TIMEOUT = 5.0
"""Seconds that PostgreSQL may take."""

POLL_S = 0.5


def main(argv: list[str]) -> int:
    """Ask for it and wait for a worker; 0 once it is done, 1 where it is not (yet), or can't be.

    Raises:
        SettingsError: the address of the database is missing or wrong.
        StartFailed: PostgreSQL doesn't answer, or the database was not migrated.
    """
    parser = argparse.ArgumentParser(
        prog="tonearm forget", description="Deletes what is kept of a guild: a worker does it, through its voice node."
    )
    parser.add_argument("guild", type=int, help="its id")
    parser.add_argument("--with-subscription", action="store_true", help="its grants too, which must have ended")
    parser.add_argument("--wait", type=float, default=60.0, metavar="SECONDS", help="how long it is waited for (60)")
    options = parser.parse_args(argv)
    settings = load(("database_url",))
    try:
        return asyncio.run(_run(settings.database_url, options))
    except FAILURES as error:
        raise StartFailed(f"PostgreSQL can't be used: {reason(error)}. Was it migrated?") from None


async def _run(url: str, options: argparse.Namespace) -> int:
    guild, now = options.guild, datetime.now(UTC)
    async with Pool(url, timeout=TIMEOUT, max_size=1) as pool:
        grants = await fetch_grants(pool, guild) if options.with_subscription else ()
        if not are_over(grants, now):
            print("The guild has a plan. Cancel it first, or keep its subscription.", file=sys.stderr)
            return 1
        work = Deletion(options.with_subscription)
        try:
            task = await guild_tasks.add(pool, f"del_{secrets.token_hex(12)}", TaskKind.DELETION, guild, work, now=now)
        except Conflict:
            print("It was asked for before, and is not done yet: is a worker running?", file=sys.stderr)
            return 1
        until = time.monotonic() + options.wait
        while task.state is TaskState.QUEUED and time.monotonic() < until:
            await asyncio.sleep(POLL_S)
            task = await guild_tasks.fetch(pool, task.id, guild, TaskKind.DELETION) or task
    if task.state is TaskState.DONE:
        print(f"Nothing is kept of {guild} any more, but what the documentation names.")
        if task.work != work:
            print("It has a plan again, so its subscription is kept.")
        return 0
    print(task.detail or "It waits for a worker, and will be done.", file=sys.stderr)
    return 1

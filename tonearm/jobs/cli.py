"""``tonearm jobs``: the jobs that were given up, and handing them over again."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

from tonearm.errors import StartFailed
from tonearm.redis import keys
from tonearm.redis.client import FAILURES, Client, connect
from tonearm.redis.dead import Kept, fetch_dead, job_of, replay
from tonearm.redis.shards import require_shard_count
from tonearm.settings import load

TIMEOUT = 5.0
SAID = {
    "queued": "is handed over again",
    "gone": "has been handed over again by somebody else",
    "ownerless": "is kept: no {doer} is there to do it",
    "unreadable": "can't be handed over: it could not be read",
}


def main(argv: list[str]) -> int:
    """List or hand over again; 1 when a job that was named is not there or could not be handed over.

    Raises:
        SettingsError: a setting is missing, or not that of the other processes.
        StartFailed: Redis doesn't answer.
    """
    parser = argparse.ArgumentParser(prog="tonearm jobs", description="Shows and repeats jobs that were given up.")
    verbs = parser.add_subparsers(dest="verb", required=True)
    listing = verbs.add_parser("dead", help="list the jobs that were given up, and why")
    listing.add_argument("--shard", type=_shard, help="of this shard only, or of one of the workers' streams: w0 to w7")
    again = verbs.add_parser("replay", help="hand them over again, each once, under a new name")
    which = again.add_mutually_exclusive_group(required=True)
    which.add_argument("id", nargs="?", help="the name of one job")
    which.add_argument("--all", action="store_true", help="all of them")
    options = parser.parse_args(argv)
    settings = load(("redis_url",))
    if options.verb == "dead":
        shards = _everywhere(settings.shard_count) if options.shard is None else (options.shard,)
        work = _list(settings.redis_url, settings.shard_count, shards)
    else:
        work = _replay(settings.redis_url, settings.shard_count, options.id)
    try:
        return asyncio.run(work)
    except FAILURES as error:
        raise StartFailed(f"Redis doesn't answer: {error}") from None


def _everywhere(shard_count: int) -> Sequence[int]:
    return [*range(shard_count), *keys.worker_streams()]


def _shard(text: str) -> int:
    numbers = {keys.name_of(stream): stream for stream in keys.worker_streams()}
    if text in numbers:
        return numbers[text]
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is neither a shard nor one of {', '.join(numbers)}")
    return int(text)


async def _list(url: str, shard_count: int, shards: Sequence[int]) -> int:
    async with connect(url, timeout=TIMEOUT) as client:
        await require_shard_count(client, shard_count)
        found = await _all(client, shards)
    if not found:
        print("No job was given up.")
        return 0
    print(table(found))
    return 0


async def _replay(url: str, shard_count: int, id: str | None) -> int:
    async with connect(url, timeout=TIMEOUT) as client:
        await require_shard_count(client, shard_count)
        found = [kept for kept in await _all(client, _everywhere(shard_count)) if id is None or kept.letter.id == id]
        if id is not None and not found:
            print(f"{id} is not among the jobs that were given up.")
            return 1
        failed = 0
        for kept in found:
            said = await replay(client, kept)
            failed += said in ("ownerless", "unreadable")
            print(f"{kept.letter.id} {SAID[said].format(doer='voice node' if kept.shard >= 0 else 'worker')}.")
    if not found:
        print("No job was given up.")
    return 1 if failed else 0


async def _all(client: Client, shards: Sequence[int]) -> list[Kept]:
    return [kept for shard in shards for kept in await fetch_dead(client, shard)]


def table(found: Sequence[Kept]) -> str:
    """A line a job: when it was given up (UTC), its shard, guild, kind and id, and why. Not what a person typed."""
    rows = [("WHEN", "SHARD", "GUILD", "KIND", "ID", "REASON")]
    for kept in found:
        letter = kept.letter
        when = datetime.fromtimestamp(letter.at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
        job = job_of(letter)
        kind = type(job.action).__struct_config__.tag if job else "-"
        rows.append((when, keys.name_of(kept.shard), str(letter.guild), str(kind), letter.id, letter.reason))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)

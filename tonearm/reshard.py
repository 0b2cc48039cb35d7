"""``tonearm reshard --to N``: changes the number of shards, with all queues, while no voice node runs."""

from __future__ import annotations

import argparse
import asyncio

from tonearm.errors import StartFailed
from tonearm.redis.client import FAILURES, connect
from tonearm.redis.resharding import reshard
from tonearm.settings import load

TIMEOUT = 30.0
MOST = 16_384


def main(argv: list[str]) -> int:
    """Move everything; may be broken off anywhere and begun again.

    Raises:
        SettingsError: a setting is missing, or another change has to be ended first.
        StartFailed: a voice node runs, or Redis doesn't answer.
    """
    parser = argparse.ArgumentParser(
        prog="tonearm reshard", description="Changes the number of shards. Stop all voice nodes before."
    )
    parser.add_argument("--to", type=_number, required=True, metavar="N", help="the new number of shards")
    options = parser.parse_args(argv)
    settings = load(("redis_url",))
    try:
        asyncio.run(_run(settings.redis_url, options.to))
    except FAILURES as error:
        raise StartFailed(f"Redis doesn't answer: {error}. Nothing is lost: begin again.") from None
    print(f"Done. Start every process with TONEARM_SHARD_COUNT={options.to}.")
    return 0


async def _run(url: str, to: int) -> None:
    async with connect(url, timeout=TIMEOUT) as client:
        await reshard(client, to, print)


def _number(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= MOST:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1 to {MOST}")
    return int(text)

"""``tonearm lavalink``: the Lavalink servers as the voice nodes see them, and emptying one before it is taken away."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Iterable

from tonearm.errors import StartFailed
from tonearm.redis import servers
from tonearm.redis.client import FAILURES, connect
from tonearm.redis.servers import SeenServer
from tonearm.settings import load

TIMEOUT = 3.0


def main(argv: list[str]) -> int:
    """Show or change it; the exit code is 1 where there was nothing to change.

    Raises:
        SettingsError: TONEARM_REDIS_URL is missing or wrong.
        StartFailed: Redis doesn't answer.
    """
    parser = argparse.ArgumentParser(
        prog="tonearm lavalink", description="Shows the Lavalink servers, and empties one before it is taken away."
    )
    words = parser.add_subparsers(dest="word", required=True, metavar="list | drain NAME | undrain NAME")
    words.add_parser("list", help="all servers, by shard: state, players, and how bad a place each is for one more")
    for word, help in (
        ("drain", "no new players; those it has go on at another server, one by one"),
        ("undrain", "take new players again"),
    ):
        words.add_parser(word, help=help).add_argument("name", help="as `list` shows it, such as lavalink-0:2333")
    asked = parser.parse_args(argv)
    url = load(("redis_url",)).redis_url
    try:
        return asyncio.run(_do(url, asked.word, getattr(asked, "name", "")))
    except FAILURES as error:
        raise StartFailed(f"Redis does not answer: {error}") from None


async def _do(url: str, word: str, name: str) -> int:
    async with connect(url, timeout=TIMEOUT) as client:
        if word == "list":
            print(table(await servers.fetch_seen(client), await servers.fetch_draining(client)))
            return 0
        if word == "undrain":
            done = await servers.undrain(client, name)
            print(f"{name} takes players again." if done else f"{name} was not draining.")
            return 0 if done else 1
        if name not in {server.name for server in await servers.fetch_seen(client)}:
            print(f"No voice node sees a server {name!r}; it is drained when one does.")
        done = await servers.drain(client, name)
        print(f"{name} is being left by its players." if done else f"{name} is draining already.")
        return 0 if done else 1


def table(seen: Iterable[SeenServer], draining: frozenset[str]) -> str:
    """The servers as lines of text; those that are to be empty and that nobody sees come last."""
    rows = [("server", "shard", "state", "players", "penalty")]
    rows += [(each.name, str(each.shard), each.state, str(each.players), f"{each.penalty:.1f}") for each in seen]
    rows += [(name, "-", "draining", "-", "-") for name in sorted(draining - {row[0] for row in rows})]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)

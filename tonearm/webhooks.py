"""``tonearm webhooks``: where the operator's own systems are told of what happens, and what did not reach them."""

from __future__ import annotations

import argparse
import asyncio
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from urllib.parse import urlsplit

from tonearm.errors import StartFailed
from tonearm.postgres import outgoing
from tonearm.postgres.outgoing import Delivery, Endpoint
from tonearm.postgres.pool import FAILURES, Pool, reason
from tonearm.settings import load

TIMEOUT = 5.0
"""Seconds."""

NAME = re.compile(r"[a-z0-9-]{1,40}")


def main(argv: list[str]) -> int:
    """Add, list or remove endpoints, and see to dead letters; 1 where what is named is not there.

    Raises:
        SettingsError: the address of the database is missing or wrong.
        StartFailed: PostgreSQL doesn't answer, or the database was not migrated.
    """
    options = _parse(argv)
    settings = load(("database_url",))
    try:
        return asyncio.run(_run(settings.database_url, options))
    except FAILURES as error:
        raise StartFailed(f"PostgreSQL can't be used: {reason(error)}. Was it migrated?") from None


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="tonearm webhooks",
        description="Says where your own systems are told of what happens. Deliveries are signed with "
        "TONEARM_WEBHOOK_SECRETS, without which nothing is delivered.",
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    add = verbs.add_parser("add", help="tell a URL from now on, or change it")
    add.add_argument("name", type=_name, help="what it is called here: a to z, 0 to 9 and -")
    add.add_argument("url", type=_url, help="where it is told, by POST")
    add.add_argument(
        "--type", action="append", default=[], help="only of this, as subscription.updated; several may be"
    )
    verbs.add_parser("list", help="list the endpoints")
    remove = verbs.add_parser("remove", help="forget an endpoint, with all that was to be told there")
    remove.add_argument("name")
    verbs.add_parser("dead", help="list the deliveries that were given up")
    revive = verbs.add_parser("revive", help="try deliveries that were given up again")
    revive.add_argument("id", nargs="+", help="their ids, as `tonearm webhooks dead` shows them")
    return parser.parse_args(argv)


async def _run(url: str, options: argparse.Namespace) -> int:
    now = datetime.now(UTC)
    async with Pool(url, timeout=TIMEOUT, max_size=1) as pool:
        match options.verb:
            case "add":
                made = await outgoing.add_endpoint(pool, options.name, options.url, options.type, now=now)
                print(f"{made.id} is told of {', '.join(made.types) or 'everything'} from now on.")
            case "list":
                print(table(await outgoing.fetch_endpoints(pool)))
            case "remove":
                if not await outgoing.remove_endpoint(pool, options.name):
                    print(f"{options.name} is no endpoint.")
                    return 1
                print(f"{options.name} is forgotten.")
            case "dead":
                print(dead_table(await _all_dead(pool)))
            case "revive":
                missing = [id for id in options.id if not await outgoing.revive(pool, id, now)]
                for id in options.id:
                    print(f"{id} {'is not there' if id in missing else 'is tried again'}.")
                return 1 if missing else 0
    return 0


async def _all_dead(pool: Pool) -> list[Delivery]:
    found: list[Delivery] = []
    while True:
        last = found[-1] if found else None
        after = (last.dead_at, last.id) if last is not None and last.dead_at is not None else None
        page = await outgoing.fetch_dead(pool, after=after)
        if not page:
            return found
        found += page


def table(endpoints: Sequence[Endpoint]) -> str:
    """A line an endpoint; its URL without what may be secret in it."""
    if not endpoints:
        return "There is no endpoint."
    rows = [("NAME", "URL", "TOLD OF")]
    rows += [(each.id, _shown(each.url), ", ".join(each.types) or "everything") for each in endpoints]
    return _aligned(rows)


def dead_table(letters: Sequence[Delivery]) -> str:
    """A line a delivery: its id, endpoint, what it tells of, and why it was given up."""
    if not letters:
        return "Nothing was given up."
    rows = [("ID", "ENDPOINT", "TYPE", "GUILD", "ATTEMPTS", "GIVEN UP (UTC)", "LAST ERROR")]
    for each in letters:
        when = f"{each.dead_at:%Y-%m-%d %H:%M}" if each.dead_at else ""
        rows.append(
            (each.id, each.endpoint, each.type, str(each.guild or ""), str(each.attempts), when, each.error or "")
        )
    return _aligned(rows)


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _shown(url: str) -> str:
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}{'?…' if parts.query else ''}"


def _name(text: str) -> str:
    if not NAME.fullmatch(text):
        raise argparse.ArgumentTypeError("a to z, 0 to 9 and -, at most 40")
    return text


def _url(text: str) -> str:
    try:
        parts = urlsplit(text)
        fits = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        fits = False
    if not fits:
        raise argparse.ArgumentTypeError("must be an http:// or https:// address")
    return text

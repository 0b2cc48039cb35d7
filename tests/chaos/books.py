"""Subscriptions, begun and ended while everything breaks: each deal that was made stands in the books, once."""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from playground.twin.client import TwinError
from tests.chaos.plan import Deal
from tests.chaos.report import Row, Sheet
from tests.chaos.rooms import Room
from tests.chaos.script import Script

AT_DISCORD = 5
"""Each fifth guild buys at Discord's, the others through the API."""
PERIOD = timedelta(days=30)
FINAL_SECONDS = 90.0
"""How long a deal is tried again, and how long the books may take to be as they must."""
LOOK_EVERY = 0.5
"""Seconds."""

BUY, CANCEL, RESUME, END = "buy", "cancel", "resume", "end"
CYCLE = (BUY, CANCEL, RESUME)
"""What happens to a subscription of the API's, round and round."""
KINDS = {BUY: "activate", CANCEL: "cancel", RESUME: "resume"}
STATES = {BUY: "active", CANCEL: "canceling", RESUME: "active"}


@dataclass
class Page:
    """A guild's deals in order: what was done, and under which name it must be in the books."""

    deals: list[tuple[str, str]] = field(default_factory=list)
    entitlement: str | None = None
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)


class Books:
    """Makes deals, and in the end compares."""

    def __init__(self, script: Script, rooms: list[Room]) -> None:
        self.missed: list[str] = []
        self.void: list[str] = []
        self._unjudged: set[int] = set()
        self._script = script
        self._rooms = rooms
        self._pages: defaultdict[int, Page] = defaultdict(Page)
        self._made: Counter[str] = Counter()
        self._again: Counter[str] = Counter()

    async def deal(self, begun: float, deal: Deal) -> None:
        """When its time has come, the next thing happens to the guild's subscription; one after the other."""
        await asyncio.sleep(max(0.0, begun + deal.at - asyncio.get_running_loop().time()))
        if deal.guild in self._unjudged:
            return
        page = self._pages[deal.guild]
        async with page.turn:
            if deal.guild % AT_DISCORD == 0:
                await self._deal_at_discord(deal.guild, page)
            else:
                await self._deal_by_script(deal.guild, page)

    async def _deal_at_discord(self, guild: int, page: Page) -> None:
        try:
            await self._tell_discord(guild, page)
        except TwinError as error:
            self.missed.append(f"the twin would not make a deal with guild {guild}: {error!r}")
        except TimeoutError as error:
            self.void.append(f"the twin did not say whether guild {guild} made a deal: {error!r}; it is not judged")
            self._pages.pop(guild, None)
            self._unjudged.add(guild)

    async def _tell_discord(self, guild: int, page: Page) -> None:
        twin, room = self._script.cluster.twin, self._rooms[guild]
        if page.entitlement is None:
            made = await twin.create_entitlement(self._script.cluster.sku, guild=str(room.guild.id))
            page.entitlement = str(made["id"])
            page.deals.append((BUY, page.entitlement))
        else:
            await twin.change_entitlement(page.entitlement, ends_at=datetime.now(UTC).isoformat())
            page.deals.append((END, page.entitlement))
            page.entitlement = None
        self._made[f"{page.deals[-1][0]}, at Discord's"] += 1

    async def _deal_by_script(self, guild: int, page: Page) -> None:
        verb = CYCLE[len(page.deals) % len(CYCLE)]
        key = f"deal-{guild:02}-{len(page.deals):03}"
        body: dict[str, Any] | None = None
        if verb == BUY:
            body = {"plan": "premium", "ends_at": (datetime.now(UTC) + PERIOD).isoformat()}
        elif verb == CANCEL:
            body = {"when": "period_end"}
        path = f"/guilds/{self._rooms[guild].guild.id}/subscription{'' if verb == BUY else f'/{verb}'}"
        try:
            answer, tries = await self._script.insist(path, body, key, FINAL_SECONDS)
        except TimeoutError:
            self.missed.append(f"{verb} in guild {guild} was not answered for {FINAL_SECONDS:g} s")
            return
        self._again[f"{verb}, by script"] += tries - 1
        if answer.status >= 400:
            self.missed.append(f"{verb} in guild {guild} was refused: {answer.status} {answer.word}: {answer.text}")
            return
        page.deals.append((verb, identity(self._script.cluster.api_key_id, key)))
        self._made[f"{verb}, by script"] += 1

    async def compare(self) -> Sheet:
        """Look into the books; what is wrong goes to ``missed``."""
        before = len(self.missed)
        await asyncio.gather(*(self._compare(guild, page) for guild, page in self._pages.items() if page.deals))
        sheet = Sheet("Subscriptions", ("deal", "made", "asked again"))
        for name, made in sorted(self._made.items()):
            sheet.rows.append(Row((name, made, self._again[name]), len(self.missed) == before))
        return sheet

    async def _compare(self, guild: int, page: Page) -> None:
        wrong = "nobody told"
        try:
            async with asyncio.timeout(FINAL_SECONDS):
                if guild % AT_DISCORD:
                    wrong = await self._by_script(guild, page)
                while guild % AT_DISCORD == 0 and (wrong := await self._at_discord(guild, page)):  # noqa: ASYNC110
                    # The books may lag behind Discord for a while, but never behind an answer of the API.
                    await asyncio.sleep(LOOK_EVERY)
        except TimeoutError:
            wrong = f"after {FINAL_SECONDS:g} s: {wrong}"
        if wrong:
            self.missed.append(f"the books of guild {guild}: {wrong}")

    async def _at_discord(self, guild: int, page: Page) -> str:
        seen = await self._read(guild)
        expected = "pro" if page.entitlement is not None else "free"
        return "" if seen["plan"] == expected else f"the plan is {seen['plan']}, and should be {expected}"

    async def _by_script(self, guild: int, page: Page) -> str:
        seen = await self._read(guild)
        last = page.deals[-1][0]
        if (seen["plan"], seen["state"]) != ("premium", STATES[last]):
            return f"{seen['plan']} is {seen['state']} after {last}"
        events: list[tuple[str, str]] = []
        cursor: str | None = ""
        while cursor is not None:
            told = await self._read(guild, f"/events?limit=100{f'&cursor={cursor}' if cursor else ''}")
            events += [(event["kind"], event["id"]) for event in told["data"]]
            cursor = told["next_cursor"]
        expected = [(KINDS[verb], name) for verb, name in page.deals]
        return "" if events[::-1] == expected else f"{expected} was done, but {events[::-1]} is written"

    async def _read(self, guild: int, more: str = "") -> dict[str, Any]:
        return await self._script.read(f"/guilds/{self._rooms[guild].guild.id}/subscription{more}")


def identity(key_id: str, idempotency_key: str) -> str:
    """What a request is called in the books, as the design says: from the key's id and the Idempotency-Key."""
    return "a:" + hashlib.sha256(f"{key_id}\0{idempotency_key}".encode()).hexdigest()

"""What Discord sold: from its entitlements to grants. The entitlement as Discord has it now is the truth.

What was told in a webhook event is only a reason to look: events come more than once, in any order, or never, for which
all of them are reconciled now and then. An event of ours carries the moment before Discord was asked, so that the
latest look wins whatever order the looks are written in; and a look is later than all that was written before it, also
where the clock of another worker was fast.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime

import msgspec

from tonearm.discord import entitlements
from tonearm.discord.entitlements import Entitlement
from tonearm.discord.rest import RestClient
from tonearm.postgres import grants
from tonearm.postgres.pool import Pool
from tonearm.postgres.receipts import Receipt
from tonearm.premium.grants import Event, Grant, Source
from tonearm.premium.plans import Shelf
from tonearm.premium.states import Kind, State
from tonearm.telemetry import LOG, context


class _Data(msgspec.Struct, frozen=True):
    id: int | None = None
    guild_id: int | None = None


class _Happened(msgspec.Struct, frozen=True):
    type: str
    data: _Data = _Data()


class _Told(msgspec.Struct, frozen=True):
    event: _Happened


_decode = msgspec.json.Decoder(_Told, strict=False).decode

Forget = Callable[[int], Awaitable[None]]


class DiscordShop:
    """Takes down what Discord sold. ``forget`` has the cache forget a guild; ``clock`` tells the time."""

    def __init__(
        self,
        pool: Pool,
        rest: RestClient,
        application: int,
        shelf: Shelf,
        *,
        forget: Forget,
        clock: Callable[[], datetime],
    ) -> None:
        self._pool = pool
        self._rest = rest
        self._application = application
        self._shelf = shelf
        self._forget = forget
        self._clock = clock

    async def act(self, receipt: Receipt) -> None:
        """Act on an event that was told; doing it again does no harm.

        Raises:
            DiscordAway: Discord doesn't answer. Nothing was written.
            DiscordError: Discord refuses. Nothing was written.
            FAILURES: PostgreSQL doesn't answer, or refuses. It may have been written.
        """
        try:
            told = _decode(receipt.body).event
        except msgspec.DecodeError as error:
            LOG.error("A webhook event can't be read: %s", error, extra=context(receipt=receipt.id))
            return
        if told.type not in entitlements.EVENTS or told.data.id is None:
            return
        at = await self._moment(str(told.data.id))
        found = await entitlements.fetch_one(self._rest, self._application, told.data.id)
        if found is None:
            grant = await grants.fetch_grant(self._pool, Source.DISCORD, str(told.data.id))
            if grant is not None:
                await self._record(grant.guild, grant.ref, Event(f"receipt:{receipt.id}", Kind.REVOKE, at), at)
            return
        await self._take_down(found, f"receipt:{receipt.id}", at)
        if found.guild_id is not None:  # who took it down before us may have died before saying so
            await self._forget(found.guild_id)

    async def reconcile(self) -> int:
        """Look at all entitlements, and at all grants of which Discord lists none; returns how many were mended.

        Raises:
            DiscordAway: Discord doesn't answer. Some may be mended.
            DiscordError: Discord refuses.
            FAILURES: PostgreSQL doesn't answer, or refuses.
        """
        at, mended, listed = self._clock(), 0, set[str]()
        async for found in entitlements.fetch_all(self._rest, self._application):
            listed.add(str(found.id))
            grant = await grants.fetch_grant(self._pool, Source.DISCORD, str(found.id))
            if self._news(found, grant, at) is not None:
                mended += await self._look_again(str(found.id))
        after = ""
        while page := await grants.fetch_grants_of(self._pool, Source.DISCORD, after=after):
            for grant in page:
                if grant.ref not in listed and grant.state_at(at) is not State.EXPIRED:
                    mended += await self._look_again(grant.ref)
            after = page[-1].id
        return mended

    async def _moment(self, ref: str) -> datetime:
        return await grants.fetch_next_moment(self._pool, Source.DISCORD, ref, self._clock())

    async def _look_again(self, ref: str) -> bool:
        at = await self._moment(ref)
        found = await entitlements.fetch_one(self._rest, self._application, int(ref))
        id = f"reconciled:{at.isoformat()}"
        if found is not None:
            return await self._take_down(found, id, at)
        grant = await grants.fetch_grant(self._pool, Source.DISCORD, ref)
        if grant is None:
            return False
        await self._record(grant.guild, ref, Event(id, Kind.REVOKE, at), at)
        return True

    async def _take_down(self, found: Entitlement, id: str, at: datetime) -> bool:
        """Write what is new about an entitlement; whether there was anything."""
        ref = str(found.id)
        news = self._news(found, await grants.fetch_grant(self._pool, Source.DISCORD, ref), at)
        if news is None or found.guild_id is None:
            return False
        await self._record(found.guild_id, ref, msgspec.structs.replace(news, id=id), at)
        return True

    def _news(self, found: Entitlement, grant: Grant | None, at: datetime) -> Event | None:
        """What an entitlement, seen at ``at``, tells of its grant that is not known yet; the id is to be given."""
        plan = self._shelf.plan_of(found.sku_id)
        if plan is None or found.guild_id is None:
            return None
        if found.deleted:
            return None if grant is None or grant.state_at(at) is State.EXPIRED else Event("", Kind.REVOKE, at)
        if grant is not None and (grant.plan, grant.ends_at) == (plan, found.ends_at) and not grant.canceled_at:
            return None
        payer = f"discord:{found.user_id}" if found.user_id else None
        return Event("", Kind.ACTIVATE, at, plan, found.ends_at, found.starts_at, payer=payer)

    async def _record(self, guild: int, ref: str, event: Event, now: datetime) -> None:
        await grants.record(self._pool, guild, Source.DISCORD, ref, event, now=now)
        await self._forget(guild)

"""What a guild plays under - its plan and its settings - from wherever it is known soonest.

First this process, where it does not freeze between requests; then Redis; then PostgreSQL. A database that is away
costs no more than its timeout now and then: what was known last holds, and a plan is judged by the clock, so that it
never outlives its grants. Where nothing is known, :attr:`Terms.known` says so.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, datetime

import msgspec

from tonearm.music.guild_settings import GuildSettings
from tonearm.postgres import grants, guild_settings
from tonearm.postgres.pool import FAILURES as DATABASE_FAILURES
from tonearm.postgres.pool import Pool
from tonearm.premium.grants import Access, Grant, judge
from tonearm.premium.plans import PLANS, PlanId
from tonearm.redis import keys, terms
from tonearm.redis.client import FAILURES, Client
from tonearm.redis.hearing import hear
from tonearm.telemetry import LOG, TERMS_LOOKUPS, context

DATABASE_TIMEOUT = 0.5
"""Seconds that PostgreSQL may take."""

REDIS_TIMEOUT = 0.4
"""Seconds that Redis may take."""

FRESH_HERE_MS = 60_000
"""How long this process believes what it knows; it is told of changes, and this is for when it did not hear."""

FRESH_MS = 300_000
"""How long what Redis keeps is believed."""

AWAY_MS = 5_000
"""For so long after a failure the database is not asked."""

MOST = 10_000
"""Guilds that a process remembers."""


class Terms(msgspec.Struct, frozen=True):
    """What a guild plays under. ``known`` is ``False`` where nobody could be asked, and this is what holds for all.

    ``base`` is the plan that a guild has without any grant.
    """

    settings: GuildSettings = GuildSettings()
    grants: tuple[Grant, ...] = ()
    base: PlanId = PlanId.FREE
    known: bool = True

    def access(self, now_ms: int) -> Access:
        """What the guild has at ``now_ms`` (since 1970)."""
        return judge(self.grants, datetime.fromtimestamp(now_ms / 1000, UTC), base=PLANS[self.base])


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Terms).decode


def wall_ms() -> int:
    """This machine's clock, in ms since 1970."""
    return int(time.time() * 1000)


class TermsCache:
    """The terms of guilds. Without ``pool`` there is no database, and every guild has what holds for all.

    ``local`` is off where the process freezes between requests. ``on_change`` is told of a guild whose terms were
    changed by anybody, and of ``None`` where any may have been.
    """

    def __init__(
        self,
        redis: Client,
        pool: Pool | None,
        *,
        shard_count: int,
        base: PlanId = PlanId.FREE,
        local: bool = True,
        on_change: Callable[[int | None], None] = lambda _: None,
        now_ms: Callable[[], int] = wall_ms,
    ) -> None:
        self.on_change = on_change
        self._redis = redis
        self._pool = pool
        self._shard_count = shard_count
        self._base = base
        self._local = local
        self._now_ms = now_ms
        self._known: OrderedDict[int, tuple[Terms, int]] = OrderedDict()
        self._changes = 0
        self._away_until_ms = 0

    async def fetch(self, guild: int) -> Terms:
        """The terms of ``guild``. Never raises because something is away."""
        if self._pool is None:
            return Terms(base=self._base)
        now = self._now_ms()
        mine = self._known.get(guild)
        if mine is not None and now - mine[1] < FRESH_HERE_MS:
            self._known.move_to_end(guild)
            return self._found("process", mine[0])
        changes = self._changes
        kept = await self._kept(guild)
        if kept is not None and kept.terms is not None and now - kept.at_ms < FRESH_MS:
            return self._found("redis", self._remember(guild, self._read(kept.terms), now, changes))
        loaded = await self._load(self._pool, guild, now)
        if loaded is not None:
            await self._keep(guild, loaded, now, kept)
            return self._found("postgres", self._remember(guild, loaded, now, changes))
        if kept is not None and kept.terms is not None:
            return self._found("last_known", self._read(kept.terms))
        if mine is not None:
            return self._found("last_known", mine[0])
        return self._found("defaults", Terms(base=self._base, known=False))

    async def forget(self, guild: int) -> None:
        """Call it after a change of a guild's plan or settings was written: every process asks again.

        Where Redis is away, the change is seen when what is kept is not believed any more.
        """
        self._drop(guild)
        try:
            async with asyncio.timeout(REDIS_TIMEOUT):
                await terms.forget(self._redis, keys.shard_of(guild, self._shard_count), guild)
        except FAILURES as error:
            LOG.warning("A change of plan or settings will be seen late: %r", error, extra=context(guild=guild))

    async def listen(self) -> None:
        """Hear of changes until cancelled. While it can't, nothing older than a minute is believed."""
        await hear(self._redis, keys.TERMS, on_begin=self._all_changed, on_message=self._changed)

    def _found(self, tier: str, found: Terms) -> Terms:
        TERMS_LOOKUPS.labels(tier).inc()
        return found

    def _read(self, raw: bytes) -> Terms:
        return msgspec.structs.replace(_decode(raw), base=self._base)

    def _remember(self, guild: int, found: Terms, now: int, changes: int) -> Terms:
        # What was read before a change must not be believed after it.
        if self._local and changes == self._changes:
            self._known[guild] = found, now
            self._known.move_to_end(guild)
            if len(self._known) > MOST:
                self._known.popitem(last=False)
        return found

    def _drop(self, guild: int | None) -> None:
        """Ask again; but what was known is better than nothing when nobody answers."""
        self._changes += 1
        for each in (guild,) if guild is not None else tuple(self._known):
            if each in self._known:
                self._known[each] = self._known[each][0], -FRESH_HERE_MS

    def _all_changed(self) -> None:
        """Whatever was changed before was not heard."""
        self._drop(None)
        self.on_change(None)

    def _changed(self, message: bytes) -> None:
        guild = int(message)
        self._drop(guild)
        self.on_change(guild)

    async def _kept(self, guild: int) -> terms.Kept | None:
        try:
            async with asyncio.timeout(REDIS_TIMEOUT):
                return await terms.fetch(self._redis, keys.shard_of(guild, self._shard_count), guild)
        except FAILURES as error:
            LOG.warning("Redis does not say what a guild's plan is: %r", error, extra=context(guild=guild))
            return None

    async def _keep(self, guild: int, loaded: Terms, now: int, kept: terms.Kept | None) -> None:
        if kept is None:
            return
        shard = keys.shard_of(guild, self._shard_count)
        try:
            async with asyncio.timeout(REDIS_TIMEOUT):
                await terms.keep(self._redis, shard, guild, _encode(loaded), at_ms=now, generation=kept.generation)
        except FAILURES as error:
            LOG.warning("Redis does not keep a guild's plan: %r", error, extra=context(guild=guild))

    async def _load(self, pool: Pool, guild: int, now: int) -> Terms | None:
        if now < self._away_until_ms:
            return None
        try:
            async with asyncio.timeout(DATABASE_TIMEOUT):
                settings = await guild_settings.fetch_guild_settings(pool, guild, timeout=DATABASE_TIMEOUT)
                theirs = await grants.fetch_grants(pool, guild, timeout=DATABASE_TIMEOUT)
        except DATABASE_FAILURES as error:
            self._away_until_ms = self._now_ms() + AWAY_MS
            LOG.warning("PostgreSQL does not say what plan a guild has: %r", error, extra=context(guild=guild))
            return None
        return Terms(settings, theirs, self._base)

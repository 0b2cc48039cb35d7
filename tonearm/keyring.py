"""The keys of the API, from wherever they are known soonest.

First this process, where it does not freeze between requests; then Redis; then PostgreSQL. What was read in PostgreSQL
is believed for :data:`FRESH`, and while PostgreSQL is away for :data:`AT_MOST`. A revoke is told to all: it is
effective at once, and where Redis could not tell it, when what is known is not fresh any more. When a key expires, no
cache is asked.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime, timedelta
from hmac import compare_digest

import msgspec

from tonearm.postgres.api_keys import ApiKey, fetch_key, touch_key
from tonearm.postgres.pool import FAILURES as DATABASE_FAILURES
from tonearm.postgres.pool import Pool
from tonearm.redis import key_tier, keys
from tonearm.redis.client import FAILURES, HOT_TIMEOUT, Client
from tonearm.redis.hearing import hear
from tonearm.telemetry import API_KEY_LOOKUPS, LOG, context

FRESH = timedelta(seconds=30)
"""How long it is believed that a key was not revoked, where nobody says so."""

AT_MOST = timedelta(minutes=10)
"""The same, while PostgreSQL does not answer."""

LOOKUP_TIMEOUT = 0.8
"""Seconds that PostgreSQL may take."""

AWAY = timedelta(seconds=1)
"""For so long after a failure PostgreSQL is not asked."""

MOST = 10_000
"""Keys that a process remembers."""


class Known(msgspec.Struct, frozen=True):
    """A key as PostgreSQL had it at ``read_at``."""

    key: ApiKey
    read_at: datetime


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Known).decode


class Keyring:
    """Finds keys by their hash. ``local`` is off where the process freezes between requests."""

    def __init__(self, redis: Client, pool: Pool, *, clock: Callable[[], datetime], local: bool = True) -> None:
        self._redis = redis
        self._pool = pool
        self._clock = clock
        self._local = local
        self._known: OrderedDict[bytes, Known] = OrderedDict()
        self._changes = 0
        self._away_until: datetime | None = None

    async def find(self, hash: bytes) -> ApiKey | None:
        """The key, if it opens anything now.

        Raises:
            DATABASE_FAILURES: PostgreSQL doesn't answer, and nobody else knows.
        """
        known = await self._find(hash, self._clock())
        # The caches have found it by its hash; this compares in constant time whatever they did.
        if known is None or not compare_digest(known.key.hash, hash) or not known.key.is_valid(self._clock()):
            return None
        return known.key

    async def forget(self, hash: bytes) -> None:
        """Call it after a revoke was written. Where Redis is away, the others notice within :data:`FRESH`."""
        self._drop(hash)
        try:
            async with asyncio.timeout(HOT_TIMEOUT):
                await key_tier.forget(self._redis, hash)
        except FAILURES as error:
            LOG.warning("That a key was revoked will be noticed late: %r", error)

    async def listen(self) -> None:
        """Hear of revokes until cancelled."""
        await hear(self._redis, keys.API_KEYS, on_begin=self._doubt_all, on_message=self._heard)

    async def _find(self, hash: bytes, now: datetime) -> Known | None:
        mine = self._known.get(hash)
        if mine is not None and now - mine.read_at < FRESH:
            self._known.move_to_end(hash)
            return self._found("process", mine)
        changes = self._changes
        raw = await self._kept(hash)
        if raw == key_tier.REVOKED:
            self._drop(hash)
            return self._found("redis", None)
        kept = _decode(raw) if raw else None
        if kept is not None and now - kept.read_at < FRESH:
            return self._found("redis", self._remember(hash, kept, changes))
        try:
            loaded = await self._load(hash, now)
        except DATABASE_FAILURES:
            last = max(filter(None, (mine, kept)), key=lambda each: each.read_at, default=None)
            if last is None or now - last.read_at >= AT_MOST:
                raise
            return self._found("last_known", last)
        if loaded is None:
            self._drop(hash)
            return self._found("postgres", None)
        if loaded.key.revoked_at is None and not await self._keep(hash, loaded):
            return self._found("postgres", None)
        await self._touch(loaded.key, now)
        return self._found("postgres", self._remember(hash, loaded, changes))

    def _found(self, tier: str, found: Known | None) -> Known | None:
        API_KEY_LOOKUPS.labels(tier).inc()
        return found

    def _remember(self, hash: bytes, found: Known, changes: int) -> Known:
        # What was read before a revoke must not be believed after it.
        if self._local and changes == self._changes:
            self._known[hash] = found
            self._known.move_to_end(hash)
            if len(self._known) > MOST:
                self._known.popitem(last=False)
        return found

    def _drop(self, hash: bytes) -> None:
        self._changes += 1
        self._known.pop(hash, None)

    def _heard(self, message: bytes) -> None:
        self._drop(bytes.fromhex(message.decode()))

    def _doubt_all(self) -> None:
        """Whatever was revoked before was not heard: ask again, but what was known is better than nothing."""
        self._changes += 1
        doubtful = self._clock() - FRESH
        for hash, known in self._known.items():
            self._known[hash] = Known(known.key, min(known.read_at, doubtful))

    async def _kept(self, hash: bytes) -> bytes | None:
        try:
            async with asyncio.timeout(HOT_TIMEOUT):
                return await key_tier.fetch(self._redis, hash)
        except FAILURES as error:
            LOG.warning("Redis does not say what a key may do: %r", error)
            return None

    async def _keep(self, hash: bytes, loaded: Known) -> bool:
        """``False`` where it was revoked meanwhile."""
        try:
            async with asyncio.timeout(HOT_TIMEOUT):
                life_ms = int(AT_MOST.total_seconds() * 1000)
                return await key_tier.keep(self._redis, hash, _encode(loaded), life_ms=life_ms)
        except FAILURES as error:
            LOG.warning("Redis does not keep a key: %r", error, extra=context(key=loaded.key.id))
            return True

    async def _load(self, hash: bytes, now: datetime) -> Known | None:
        if self._away_until is not None and now < self._away_until:
            raise ConnectionError("PostgreSQL did not answer a moment ago")
        try:
            key = await fetch_key(self._pool, hash, timeout=LOOKUP_TIMEOUT)
        except DATABASE_FAILURES:
            self._away_until = now + AWAY
            raise
        self._away_until = None
        return Known(key, now) if key is not None else None

    async def _touch(self, key: ApiKey, now: datetime) -> None:
        try:
            await touch_key(self._pool, key, now)
        except DATABASE_FAILURES as error:
            LOG.warning("The last use of a key was not noted: %r", error, extra=context(key=key.id))

"""Exports, imports and deletions: taken one by one, done, and tried again as long as what they need is away.

Each may be done again from its beginning: an export is written to the same key, a restored track has the same name, and
what is deleted stays so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from tonearm.aws.places import export_key
from tonearm.cache import TermsCache
from tonearm.errors import InvalidDocument, Refused, StorageAway
from tonearm.guild_data.tasks import AnyWork, Deletion, Export, Import, TaskKind
from tonearm.postgres import guild_tasks
from tonearm.postgres.guild_tasks import Task
from tonearm.postgres.pool import FAILURES as DATABASE_FAILURES
from tonearm.postgres.pool import Pool
from tonearm.premium.plans import Plan
from tonearm.redis.client import FAILURES, Client
from tonearm.telemetry import GUILD_TASKS, LOG, context
from tonearm.worker.deleting import delete_guild
from tonearm.worker.exporting import write_export
from tonearm.worker.importing import restore

if TYPE_CHECKING:
    from tonearm.aws.store import Store

WITHIN = 90.0
"""Seconds that one attempt may take."""

LEASE = timedelta(seconds=WITHIN + 30)
AGAIN_AFTER = tuple(timedelta(seconds=each) for each in (2, 5, 15, 30, 60))
"""How long is waited after each attempt; the last one again and again."""

PATIENCE = timedelta(minutes=30)
"""How long an export or an import is tried: less than the hour for which the jobs of an import are known."""

KEPT = timedelta(days=7)
"""How long an export is kept."""

RECORD_KEPT = timedelta(days=30)
"""How long it is known that a task was done."""


for _kind in TaskKind:  # how many there were is seen from the first one on
    for _outcome in ("done", "failed"):
        GUILD_TASKS.labels(_kind, _outcome)


class Clerk:
    """Does the tasks. ``store`` is ``None`` where there is no bucket: then there are only deletions."""

    def __init__(
        self,
        pool: Pool,
        redis: Client,
        cache: TermsCache,
        store: Store | None,
        *,
        shard_count: int,
        base: Plan,
        clock: Callable[[], datetime],
    ) -> None:
        self.pool = pool
        self.redis = redis
        self.cache = cache
        self.store = store
        self.shard_count = shard_count
        self.base = base
        self.clock = clock

    async def work(self) -> bool:
        """Do one that is due; whether there was one.

        Raises:
            FAILURES: PostgreSQL doesn't answer. What was taken is seen again when its lease is over.
        """
        task = await guild_tasks.claim(self.pool, self.clock(), lease=LEASE)
        if task is None:
            return False
        kind = task.kind.value
        try:
            async with asyncio.timeout(WITHIN):
                work = await self._do(task)
        except InvalidDocument as error:
            await self._fail(task, str(error))
        except (*DATABASE_FAILURES, *FAILURES, StorageAway, Refused) as error:
            await self._put_off(task, error)
        except Exception:
            LOG.exception("A guild's task failed", extra=context(task=task.id))
            await self._fail(task, "It failed for a reason that was written down. The operator finds it by its id.")
        else:
            now = self.clock()
            expires_at = now + KEPT if isinstance(work, Export) else None
            await guild_tasks.finish(self.pool, task, work, now, expires_at=expires_at)
            await self._discard_upload(task)
            GUILD_TASKS.labels(kind, "done").inc()
            LOG.info("A guild's task is done", extra=context(task=task.id, guild=task.guild, kind=kind))
        return True

    async def _do(self, task: Task) -> AnyWork:
        match task.work:
            case Deletion() as work:
                return await delete_guild(self, task.guild, task.id, work, attempt=task.attempts)
            case Export():
                return Export(await write_export(self, self._required(), task.guild, task.id))
            case Import() as work:
                return await restore(self, self._required(), task.guild, task.id, work, attempt=task.attempts)

    def _required(self) -> Store:
        if self.store is None:
            raise StorageAway("no bucket is set")
        return self.store

    async def _put_off(self, task: Task, error: Exception) -> None:
        now = self.clock()
        if now - task.requested_at > PATIENCE and not isinstance(task.work, Deletion):
            await self._fail(task, f"What it needs was away for {PATIENCE // timedelta(minutes=1)} minutes: {error}.")
            return
        LOG.warning("A guild's task is put off: %r", error, extra=context(task=task.id))
        wait = AGAIN_AFTER[min(task.attempts, len(AGAIN_AFTER)) - 1]
        await guild_tasks.retry(self.pool, task, now + wait, f"{type(error).__name__}: {error}")

    async def _fail(self, task: Task, why: str) -> None:
        GUILD_TASKS.labels(task.kind.value, "failed").inc()
        await guild_tasks.finish(self.pool, task, task.work, self.clock(), failed=why[:500])
        await self._discard_upload(task)

    async def _discard_upload(self, task: Task) -> None:
        """A file that was sent for an import has served; one that stays is left to the bucket's lifecycle."""
        if self.store is None or not isinstance(task.work, Import) or task.work.size is None:
            return
        try:
            await self.store.remove(task.work.key)
        except StorageAway as error:
            LOG.warning("The file of an import stays: %s", error, extra=context(task=task.id))

    async def expire(self) -> int:
        """Delete exports and uploads whose time is over, and records that nobody asks for any more; returns how many.

        Raises:
            FAILURES: PostgreSQL doesn't answer.
            StorageAway: the store doesn't answer.
        """
        now = self.clock()
        over = await guild_tasks.fetch_expired(self.pool, now)
        for task in over:
            if self.store is not None:
                await self.store.remove(object_of(task))
            await guild_tasks.expire(self.pool, task, now)
        await guild_tasks.remove_old(self.pool, now - RECORD_KEPT)
        return len(over)


def object_of(task: Task) -> str:
    """The key of what a task wrote, or is to read."""
    return task.work.key if isinstance(task.work, Import) else export_key(task.guild, task.id)

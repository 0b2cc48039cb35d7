"""What exports, imports and deletions have in common: each is a task that a worker does."""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING

from interactions.api.operation import Call
from interactions.api.problems import not_found
from tonearm.errors import Conflict, Problem, Refused
from tonearm.guild_data.tasks import AnyWork, TaskKind
from tonearm.postgres import guild_tasks
from tonearm.postgres.grants import fetch_effective_plan
from tonearm.postgres.guild_tasks import MOST_OPEN, Task
from tonearm.premium.gate import require_feature
from tonearm.premium.plans import Feature

if TYPE_CHECKING:
    from tonearm.aws.store import Store

_ID = re.compile("(exp|imp|del)_[0-9a-f]{24}")


def task_id(call: Call, prefix: str) -> str:
    """The name of what a POST asks for, the same whenever it is repeated."""
    return f"{prefix}_{call.identity.removeprefix('a:')[:24]}"


def require_storage(call: Call) -> Store:
    """The bucket.

    Raises:
        Problem: none is set.
    """
    if call.parts.store is None:
        raise Problem("no-storage", "There is no bucket for it. The operator can set TONEARM_S3_BUCKET.")
    return call.parts.store


async def require_exports(call: Call) -> None:
    """The guild's plan has exports.

    Raises:
        Problem: it has not.
        FAILURES: PostgreSQL doesn't answer, or refuses.
    """
    access = await fetch_effective_plan(call.parts.pools.write, call.guild, call.now, base=call.parts.base_plan)
    try:
        require_feature(access.plan, Feature.EXPORTS)
    except Refused as refusal:
        raise Problem("plan-limit", str(refusal)) from None


async def open_task(
    call: Call, id: str, kind: TaskKind, work: AnyWork, *, upload_until: datetime | None = None
) -> Task:
    """The task, kept until a worker has done it.

    Raises:
        Problem: too many are open.
        FAILURES: PostgreSQL doesn't answer, or refuses.
    """
    pool = call.parts.pools.write
    try:
        return await guild_tasks.add(pool, id, kind, call.guild, work, now=call.now, upload_until=upload_until)
    except Conflict:
        raise Problem(
            "too-many-open", f"The guild has {MOST_OPEN} of them that wait or are kept. Wait until one is over."
        ) from None


async def fetch_task(call: Call, id: str, kind: TaskKind) -> Task:
    """A task of this guild.

    Raises:
        Problem: there is none by this name.
        FAILURES: PostgreSQL doesn't answer, or refuses.
    """
    task = await guild_tasks.fetch(call.parts.pools.write, id, call.guild, kind) if _ID.fullmatch(id) else None
    if task is None:
        raise not_found("There is no such thing of this guild, or it was long ago.")
    return task

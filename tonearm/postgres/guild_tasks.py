"""What is asked for about guilds' data: kept before it is answered, done by a worker, in each guild one by one."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import msgspec

from tonearm.errors import Conflict
from tonearm.guild_data.tasks import AnyWork, TaskKind, TaskState
from tonearm.postgres.pool import Connection, Pool

MOST_OPEN = 5
"""Tasks of one kind that a guild may have open: not begun, or still kept."""

_COLUMNS = "seq, id, kind, guild_id, state, work, requested_at, attempts, finished_at, expires_at, detail"
_ADD = """
insert into guild_tasks (id, kind, guild_id, state, work, requested_at, next_at, expires_at)
values ($1, $2, $3, $4, $5, $6, $6, $7) on conflict (id) do nothing
"""
_OPEN = """
select count(*) from guild_tasks
where guild_id = $1 and kind = $2 and (state in ('waiting', 'queued') or (state = 'done' and expires_at > $3))
"""
_ONE = f"select {_COLUMNS} from guild_tasks where id = $1 and guild_id = $2 and kind = $3"  # noqa: S608 - our own words
_PAGE = f"""
select {_COLUMNS} from guild_tasks where guild_id = $1 and kind = $2 and seq < $3 order by seq desc limit $4
"""  # noqa: S608
_START = """
update guild_tasks set seq = default, state = 'queued', next_at = $3, expires_at = null
where id = $1 and guild_id = $2 and state = 'waiting' and expires_at > $3 returning id
"""
_CLAIM = f"""
update guild_tasks set attempts = attempts + 1, next_at = $2
where seq = (
    select seq from guild_tasks mine where state = 'queued' and next_at <= $1 and not exists (
        select from guild_tasks before
        where before.guild_id = mine.guild_id and before.state = 'queued' and before.seq < mine.seq
    ) order by next_at limit 1 for update skip locked
)
returning {_COLUMNS}
"""  # noqa: S608
_FINISH = """
update guild_tasks set state = $2, work = $3, finished_at = $4, expires_at = $5, detail = $6
where id = $1 and state = 'queued'
"""
_EXPIRED = f"""
select {_COLUMNS} from guild_tasks where state in ('waiting', 'done') and expires_at <= $1 order by expires_at limit $2
"""  # noqa: S608

_decode_work = msgspec.json.Decoder(AnyWork).decode


class Task(msgspec.Struct, frozen=True):
    """A task as it stands; ``seq`` orders them. ``expires_at`` is when an export is deleted, or an upload too late."""

    seq: int
    id: str
    kind: TaskKind
    guild: int
    state: TaskState
    work: AnyWork
    requested_at: datetime
    attempts: int
    finished_at: datetime | None
    expires_at: datetime | None
    detail: str | None


async def add(
    pool: Pool,
    id: str,
    kind: TaskKind,
    guild: int,
    work: AnyWork,
    *,
    now: datetime,
    upload_until: datetime | None = None,
) -> Task:
    """The task ``id``, as it stands where it was asked for before. With ``upload_until`` it waits for an upload.

    Raises:
        Conflict: the guild has as many open as it may have. Nothing was written.
        FAILURES: PostgreSQL doesn't answer, or refuses. It may have been written; doing it again is safe.
    """
    state = TaskState.WAITING if upload_until else TaskState.QUEUED

    async def write(connection: Connection) -> Task:
        known = await connection.fetchrow(_ONE, id, guild, kind)
        if known is None:
            if await connection.fetchval(_OPEN, guild, kind, now) >= MOST_OPEN:
                raise Conflict(f"{guild} has {MOST_OPEN} open")
            await connection.execute(_ADD, id, kind, guild, state, _encode(work), now, upload_until)
            known = await connection.fetchrow(_ONE, id, guild, kind)
        return _task(known)

    return await pool.transact(write)


async def start(pool: Pool, id: str, guild: int, now: datetime) -> bool:
    """What it waited for is there: it is to be done, after all that was asked for before. ``False`` where it does not
    wait (any more).

    Raises:
        FAILURES: PostgreSQL doesn't answer, or refuses.
    """
    return await pool.fetch_row(_START, id, guild, now) is not None


async def fetch(pool: Pool, id: str, guild: int, kind: TaskKind) -> Task | None:
    """One task.

    Raises:
        FAILURES: PostgreSQL doesn't answer, or refuses.
    """
    row = await pool.fetch_row(_ONE, id, guild, kind)
    return _task(row) if row else None


async def fetch_page(
    pool: Pool, guild: int, kind: TaskKind, *, before: int | None = None, most: int = 50
) -> tuple[Task, ...]:
    """Tasks of ``guild``, the latest first; ``before`` is the ``seq`` of the last one seen.

    Raises:
        FAILURES: PostgreSQL doesn't answer, or refuses.
    """
    return tuple(map(_task, await pool.fetch_rows(_PAGE, guild, kind, 2**63 - 1 if before is None else before, most)))


async def claim(pool: Pool, now: datetime, *, lease: timedelta) -> Task | None:
    """Take what is due, of a guild of which nobody does anything. Who does not end it within ``lease`` sees it again.

    Raises:
        FAILURES: PostgreSQL doesn't answer, or refuses. One may be taken until its lease is over.
    """
    row = await pool.fetch_row(_CLAIM, now, now + lease)
    return _task(row) if row else None


async def finish(
    pool: Pool, task: Task, work: AnyWork, now: datetime, *, expires_at: datetime | None = None, failed: str = ""
) -> None:
    """It is done, or can't be (``failed`` says why, in a sentence).

    Raises:
        FAILURES: PostgreSQL doesn't answer, or refuses; then it will be done again.
    """
    state = TaskState.FAILED if failed else TaskState.DONE
    await pool.execute(_FINISH, task.id, state, _encode(work), now, expires_at, failed or None)


async def retry(pool: Pool, task: Task, at: datetime, why: str) -> None:
    """It could not be done now; try again ``at``.

    Raises:
        FAILURES: PostgreSQL doesn't answer, or refuses; then it is tried again when its lease is over.
    """
    await pool.execute(
        "update guild_tasks set next_at = $2, detail = $3 where id = $1 and state = 'queued'", task.id, at, why[:500]
    )


async def fetch_expired(pool: Pool, now: datetime, *, most: int = 100) -> tuple[Task, ...]:
    """Those whose time is over, and whose objects are still to be deleted.

    Raises:
        FAILURES: PostgreSQL doesn't answer, or refuses.
    """
    return tuple(map(_task, await pool.fetch_rows(_EXPIRED, now, most)))


async def expire(pool: Pool, task: Task, now: datetime) -> None:
    """Its object is deleted.

    Raises:
        FAILURES: PostgreSQL doesn't answer, or refuses.
    """
    await pool.execute(
        "update guild_tasks set state = 'expired', finished_at = $3 where id = $1 and state = $2",
        task.id,
        task.state,
        now,
    )


async def remove_old(pool: Pool, before: datetime) -> None:
    """Delete those that ended before ``before`` and of which nothing is kept.

    Raises:
        FAILURES: PostgreSQL doesn't answer, or refuses.
    """
    await pool.execute(
        "delete from guild_tasks where finished_at < $1 and not (state = 'done' and expires_at is not null)", before
    )


def _encode(work: AnyWork) -> str:
    return msgspec.json.encode(work).decode()


def _task(row: Any) -> Task:
    seq, id, kind, guild, state, work, *rest = row
    return Task(seq, id, TaskKind(kind), guild, TaskState(state), _decode_work(work), *rest)

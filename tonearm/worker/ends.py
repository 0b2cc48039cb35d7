"""What the world is told of grants: that one changed or expired, and that one will end soon.

Access needs none of this, as it is judged when it is read.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

from tonearm.postgres import grants, outgoing
from tonearm.postgres.pool import Pool
from tonearm.premium.grants import Event
from tonearm.premium.states import Kind

REMINDER_TYPE = "subscription.ending"
REMIND_BEFORE = timedelta(days=3)
PAGE = 100

TELL_WITHIN = timedelta(minutes=2)
"""For so long a change is told again and again: some turns of this may fail."""


async def tell_changed(pool: Pool, forget: Callable[[int], Awaitable[None]]) -> int:
    """Have the guilds whose grants changed a moment ago forgotten once more; returns how many there were.

    Who changes them does it at once, but may die before it, or not reach Redis.

    Raises:
        FAILURES: PostgreSQL doesn't answer, or refuses.
    """
    changed = await grants.fetch_changed(pool, TELL_WITHIN)
    for guild in changed:
        await forget(guild)
    return len(changed)


async def expire(pool: Pool, now: datetime, forget: Callable[[int], Awaitable[None]]) -> int:
    """Say of every grant that is over that it expired, once; returns how many there were.

    Raises:
        FAILURES: PostgreSQL doesn't answer, or refuses. Some may be said.
    """
    said = 0
    while True:
        over = await grants.fetch_running_out(pool, now, most=PAGE)
        changed = 0
        for grant in over:
            assert grant.until is not None
            event = Event(f"expired:{grant.until.isoformat()}", Kind.EXPIRE, now)
            recorded = await grants.record(pool, grant.guild, grant.source, grant.ref, event, now=now)
            await forget(grant.guild)
            changed += recorded.before != recorded.after
        said += changed
        if len(over) < PAGE or not changed:
            return said


async def remind(pool: Pool, now: datetime, *, before: timedelta = REMIND_BEFORE) -> int:
    """Tell the operator, once for each end, of the grants that end within ``before``; returns how many those are.

    Raises:
        FAILURES: PostgreSQL doesn't answer, or refuses. Some may be told.
    """
    last, told = None, 0
    while ending := await grants.fetch_running_out(pool, now + before, since=now, after=last, most=PAGE):
        for grant in ending:
            assert grant.until is not None
            data = {"grant": grant.id, "subscription": grant, "valid_until": grant.until}
            event = f"ending:{grant.id}:{grant.until.isoformat()}"
            await outgoing.enqueue(pool, event, REMINDER_TYPE, data, guild=grant.guild, now=now)
        told += len(ending)
        last = ending[-1]
    return told

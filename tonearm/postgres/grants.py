"""Grants and what happened to them, kept for good.

All that changes a subscription goes through :func:`record`: one event, one transaction, as though nobody else were
there. The event's id is derived from what caused it, so doing it again after a crash does nothing.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import msgspec

from tonearm.errors import Conflict
from tonearm.postgres import outgoing, trials
from tonearm.postgres.pool import Connection, Pool
from tonearm.premium.grants import (
    TRIAL,
    Access,
    Event,
    Grant,
    Source,
    fold,
    grant_id,
    judge,
    require_legal,
)
from tonearm.premium.plans import FREE, PREMIUM, Plan, PlanId
from tonearm.premium.states import Kind, State
from tonearm.telemetry import CONVERSIONS, SUBSCRIPTION_EVENTS

for _kind in Kind:  # how many there were is seen from the first one on
    SUBSCRIPTION_EVENTS.labels(_kind, "changed")

EVENT_TYPE = "subscription.updated"
"""What outgoing webhooks call a change of a grant."""

_COLUMNS = """
guild_id, source, ref, plan, state, starts_at, ends_at, grace_seconds, canceled_at, next_plan, payer
"""
_OF_GUILD = f"select {_COLUMNS} from grants where guild_id = $1 order by id"  # noqa: S608 - our own words
_ONE = f"select {_COLUMNS} from grants where id = $1"  # noqa: S608
_OF_SOURCE = f"select {_COLUMNS} from grants where source = $1 and id > $2 order by id limit $3"  # noqa: S608
_RUNNING_OUT = f"""
select {_COLUMNS} from grants
where valid_until <= $1 and valid_until > $2 and (valid_until, id) > ($3, $4) and state <> 'expired'
order by valid_until, id limit $5
"""  # noqa: S608
_EVENTS = "select event from subscription_events where grant_id = $1"
_LAST = "select max(at) from subscription_events where grant_id = $1"
_CHANGED = """
select distinct guild_id
from (select guild_id, recorded_at from subscription_events order by seq desc limit 1000) as latest
where recorded_at > now() - $1::interval
"""
_VERSION = "select coalesce(max(seq), 0) from subscription_events where guild_id = $1"
_TRIED_ONLY = """
select coalesce(bool_or(kind = 'start_trial') and not bool_or(kind = 'activate'), false)
from subscription_events where guild_id = $1
"""
_ADD = """
insert into subscription_events (id, grant_id, guild_id, kind, at, event) values ($1, $2, $3, $4, $5, $6)
on conflict (grant_id, id) do nothing returning seq
"""
_SAVE = """
insert into grants (id, guild_id, source, ref, plan, state, starts_at, ends_at, grace_seconds, canceled_at, next_plan,
    payer, valid_until)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
on conflict (id) do update set guild_id = excluded.guild_id, plan = excluded.plan, state = excluded.state,
    starts_at = excluded.starts_at, ends_at = excluded.ends_at, grace_seconds = excluded.grace_seconds,
    canceled_at = excluded.canceled_at, next_plan = excluded.next_plan, payer = excluded.payer,
    valid_until = excluded.valid_until, updated_at = now()
"""
_PAGE = """
select seq, grant_id, event, recorded_at from subscription_events
where guild_id = $1 and seq < $2 order by seq desc limit $3
"""

_decode_event = msgspec.json.Decoder(Event).decode


class Subscription(msgspec.Struct, frozen=True):
    """All of a guild: what it has now, by which grants, and a version that grows with every event."""

    access: Access
    grants: tuple[Grant, ...]
    version: int


class Recorded(msgspec.Struct, frozen=True):
    """``again``: the event was known. ``before`` and ``after`` are the grant; the same where it changed nothing.
    ``converted``: the guild had a trial, and this is its first plan that is none."""

    before: Grant | None
    after: Grant | None
    version: int
    again: bool = False
    converted: bool = False


class PastEvent(msgspec.Struct, frozen=True):
    """An event as it was recorded; ``seq`` orders the events of a guild."""

    seq: int
    grant: str
    event: Event
    recorded_at: datetime


async def fetch_grants(pool: Pool, guild: int, *, timeout: float | None = None) -> tuple[Grant, ...]:
    """All grants of ``guild``, old ones too.

    Raises:
        FAILURES: PostgreSQL doesn't answer within ``timeout`` seconds, or refuses.
    """
    return tuple(map(_grant, await pool.fetch_rows(_OF_GUILD, guild, timeout=timeout)))


async def fetch_grants_in(connection: Connection, guild: int) -> tuple[Grant, ...]:
    """The same, as the transaction of ``connection`` sees them."""
    return tuple(map(_grant, await connection.fetch(_OF_GUILD, guild)))


async def fetch_effective_plan(
    pool: Pool, guild: int, now: datetime, *, base: Plan = FREE, timeout: float | None = None
) -> Access:
    """What ``guild`` has at ``now``; ``base`` is what a guild has without any grant.

    Raises:
        FAILURES: PostgreSQL doesn't answer within ``timeout`` seconds, or refuses.
    """
    return judge(await fetch_grants(pool, guild, timeout=timeout), now, base=base)


async def fetch_subscription(pool: Pool, guild: int, now: datetime, *, base: Plan = FREE) -> Subscription:
    """Everything about the subscription of ``guild``, from one moment.

    Raises:
        FAILURES: PostgreSQL doesn't answer, or refuses.
    """

    async def fetch(connection: Connection) -> Subscription:
        grants = tuple(map(_grant, await connection.fetch(_OF_GUILD, guild)))
        return Subscription(judge(grants, now, base=base), grants, await connection.fetchval(_VERSION, guild))

    return await pool.transact(fetch)


async def fetch_grant(pool: Pool, source: Source, ref: str) -> Grant | None:
    """The grant that its source calls ``ref``.

    Raises:
        FAILURES: PostgreSQL doesn't answer, or refuses.
    """
    row = await pool.fetch_row(_ONE, grant_id(source, ref))
    return _grant(row) if row else None


async def fetch_next_moment(pool: Pool, source: Source, ref: str, now: datetime) -> datetime:
    """``now``, but after all that happened to a grant, also where the clock of who wrote that was fast: a grant is what
    its events made of it in the order of their times.

    Raises:
        FAILURES: PostgreSQL doesn't answer, or refuses.
    """
    row = await pool.fetch_row(_LAST, grant_id(source, ref))
    last: datetime | None = row[0]
    return now if last is None else max(now, last + timedelta(microseconds=1))


async def fetch_grants_of(pool: Pool, source: Source, *, after: str = "", most: int = 100) -> tuple[Grant, ...]:
    """A page of all grants of ``source``, by id; ``after`` is the id of the last one seen.

    Raises:
        FAILURES: PostgreSQL doesn't answer, or refuses.
    """
    return tuple(map(_grant, await pool.fetch_rows(_OF_SOURCE, source, after, most)))


async def fetch_running_out(
    pool: Pool, until: datetime, *, since: datetime | None = None, after: Grant | None = None, most: int = 100
) -> tuple[Grant, ...]:
    """A page of the grants that end later than ``since``, not later than ``until``, and are not said to have expired.

    They come in the order of their ends; ``after`` is the last one seen.

    Raises:
        FAILURES: PostgreSQL doesn't answer, or refuses.
    """
    first = since or until - timedelta(days=36_500)
    seen = (after.until, after.id) if after else (first, "")
    return tuple(map(_grant, await pool.fetch_rows(_RUNNING_OUT, until, first, *seen, most)))


async def fetch_events(pool: Pool, guild: int, *, before: int | None = None, most: int = 50) -> tuple[PastEvent, ...]:
    """What happened to the subscription of ``guild``, the latest first; ``before`` is the ``seq`` of the last one seen.

    Raises:
        FAILURES: PostgreSQL doesn't answer, or refuses.
    """
    rows = await pool.fetch_rows(_PAGE, guild, before if before is not None else 2**63 - 1, most)
    return tuple(PastEvent(r["seq"], r["grant_id"], _decode_event(r["event"]), r["recorded_at"]) for r in rows)


async def fetch_changed(pool: Pool, within: timedelta) -> tuple[int, ...]:
    """Guilds to which something was recorded ``within`` the last time, by the database's clock.

    Raises:
        FAILURES: PostgreSQL doesn't answer, or refuses.
    """
    return tuple(row["guild_id"] for row in await pool.fetch_rows(_CHANGED, within))


async def record(
    pool: Pool,
    guild: int,
    source: Source,
    ref: str,
    event: Event,
    *,
    now: datetime,
    asked: bool = False,
    version: int | None = None,
) -> Recorded:
    """Take down what happened to a grant, make of it what it now is, and queue what the operator is told of it.

    ``asked`` is for what a person or a script wishes, which must be possible; what a seller says is only passed over
    where it is not. After it, the cache must forget ``guild``.

    Raises:
        Refused: it was asked for and can't be done, or begins a trial that was used. Nothing was written.
        Conflict: the subscription of the guild has another version than ``version``. Nothing was written.
        FAILURES: PostgreSQL doesn't answer, or refuses. It may have been written; doing it again is safe.
    """

    async def write(connection: Connection) -> Recorded:
        return await record_in(connection, guild, source, ref, event, now=now, asked=asked, version=version)

    recorded = await pool.transact(write)
    count(event.kind, recorded)
    return recorded


def count(kind: Kind, recorded: Recorded) -> None:
    """What was ``recorded`` is committed: it counts."""
    outcome = "again" if recorded.again else "nothing" if recorded.before == recorded.after else "changed"
    SUBSCRIPTION_EVENTS.labels(kind, outcome).inc()
    if recorded.converted:
        CONVERSIONS.inc()


async def record_in(
    connection: Connection,
    guild: int,
    source: Source,
    ref: str,
    event: Event,
    *,
    now: datetime,
    asked: bool = False,
    version: int | None = None,
) -> Recorded:
    """The same, as a part of the caller's transaction, who is to :func:`count` it when that is committed.

    Raises:
        Refused: it was asked for and can't be done, or begins a trial that was used.
        Conflict: the subscription has another version than ``version``.
        FAILURES: PostgreSQL doesn't answer, or refuses.
    """
    name = grant_id(source, ref)
    events = [_decode_event(row["event"]) for row in await connection.fetch(_EVENTS, name)]
    before = fold(guild, source, ref, events)
    was = await connection.fetchval(_VERSION, guild)
    if any(known.id == event.id for known in events):
        return Recorded(before, before, was, again=True)
    if version is not None and version != was:
        raise Conflict(f"the subscription of {guild} has changed")
    # A seller tells of the same trial more than once; who asks for one begins another.
    if event.kind is Kind.START_TRIAL and (asked or all(known.kind is not Kind.START_TRIAL for known in events)):
        await trials.take_in(connection, guild, event.payer)
    if asked:
        require_legal(before, event)
    converts = event.kind is Kind.ACTIVATE and await connection.fetchval(_TRIED_ONLY, guild)
    encoded = msgspec.json.encode(event).decode()
    seq = await connection.fetchval(_ADD, event.id, name, guild, event.kind, event.at, encoded)
    after = fold(guild, source, ref, [*events, event])
    if after is not None and after != before:
        await connection.execute(_SAVE, name, *_values(after), after.until)
        await outgoing.enqueue_in(
            connection, f"{name}:{event.id}", EVENT_TYPE, _told(after, event), guild=guild, now=now
        )
    return Recorded(before, after, seq, converted=converts and after != before)


async def start_trial(
    pool: Pool,
    guild: int,
    payer: str,
    *,
    now: datetime,
    plan: PlanId = PREMIUM.id,
    length: timedelta = TRIAL,
    version: int | None = None,
) -> Recorded:
    """Begin the one trial of ``guild`` and of ``payer`` (``discord:<user>``).

    Raises:
        Refused: the guild or the payer has had one.
        Conflict: the subscription of the guild has another version than ``version``.
        FAILURES: PostgreSQL doesn't answer, or refuses. It may have begun.
    """
    event = Event(f"trial:{payer}:{now.isoformat()}", Kind.START_TRIAL, now, plan, now + length, payer=payer)
    return await record(pool, guild, Source.TRIAL, str(guild), event, now=now, asked=True, version=version)


def _grant(row: Any) -> Grant:
    values = dict(row)
    values["guild"] = values.pop("guild_id")
    values["source"] = Source(values["source"])
    values["plan"] = PlanId(values["plan"])
    values["state"] = State(values["state"])
    values["next_plan"] = PlanId(values["next_plan"]) if values["next_plan"] else None
    return Grant(**values)


def _values(grant: Grant) -> tuple[object, ...]:
    return (
        grant.guild,
        grant.source,
        grant.ref,
        grant.plan,
        grant.state,
        grant.starts_at,
        grant.ends_at,
        grant.grace_seconds,
        grant.canceled_at,
        grant.next_plan,
        grant.payer,
    )


def _told(grant: Grant, event: Event) -> dict[str, object]:
    return {"grant": grant.id, "event": event, "subscription": grant, "valid_until": grant.until}

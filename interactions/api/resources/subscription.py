"""The subscription of a guild: read, begun, changed, canceled, resumed.

What Discord or Stripe sell is theirs to change; here are trials and what an operator grants. Each change is one event
whose name is the request's, so that doing it again does nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Literal

import msgspec

from interactions.api.etags import changed, require_match, tag_of
from interactions.api.moments import require_future
from interactions.api.operation import Call, Page, Reply, Snowflake, operation
from interactions.api.paging import decode_number, encode_cursor, next_link
from tonearm.errors import Conflict, Problem, Refused
from tonearm.postgres import grants as repository
from tonearm.postgres.grants import Subscription
from tonearm.premium.grants import GRACE, TRIAL, Event, Grant, Source
from tonearm.premium.plans import PREMIUM, PlanId
from tonearm.premium.states import Kind, State
from tonearm.sentences import Sentence

PATH = "/guilds/{guild_id}/subscription"
OURS = (Source.TRIAL, Source.MANUAL)

SoldPlan = Literal["premium", "pro"]


class TrialWish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who gets the trial: each person has one, and each guild."""

    user_id: Snowflake


class SubscriptionWish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A plan until ``ends_at``; ``null`` is no end. ``user_id`` is who pays."""

    plan: SoldPlan
    ends_at: Annotated[datetime, msgspec.Meta(tz=True)] | None = None
    user_id: Snowflake | None = None


class PlanWish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A greater plan at once, a lesser one at the end of the period; the one that the guild has takes that back."""

    plan: SoldPlan


class CancelWish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whether what is paid for is used up first."""

    when: Literal["period_end", "now"]


class GrantView(msgspec.Struct, frozen=True):
    """Why the guild has a plan. ``valid_until`` is its end with its grace."""

    id: str
    source: Source
    plan: PlanId
    state: State
    starts_at: datetime
    ends_at: datetime | None
    valid_until: datetime | None
    canceled_at: datetime | None
    next_plan: PlanId | None


class SubscriptionView(msgspec.Struct, frozen=True):
    """What the guild has now, by which grant (``null``: by none), and all grants that it ever had."""

    guild_id: str
    plan: PlanId
    state: State
    grant_id: str | None
    ends_at: datetime | None
    grants: list[GrantView]


class EventView(msgspec.Struct, frozen=True):
    """Something that happened to a grant, ``at`` its source's time."""

    id: str
    grant_id: str
    kind: Kind
    plan: PlanId | None
    at: datetime
    ends_at: datetime | None
    recorded_at: datetime


class EventsView(msgspec.Struct, frozen=True):
    """A page of events, the latest first."""

    data: list[EventView]
    next_cursor: str | None


@operation("GET", PATH, scope="premium:read", answer=SubscriptionView, has_etag=True, statuses=(200, 304))
async def get_subscription(call: Call) -> Reply:
    """What the guild has."""
    return _reply(call, await _fetch(call))


@operation("POST", PATH + "/trial", scope="premium:write", body=TrialWish, answer=SubscriptionView, statuses=(201,))
async def start_trial(call: Call) -> Reply:
    """Begins the guild's one trial."""
    payer = f"discord:{call.body.user_id}"
    event = Event(_event_id(call), Kind.START_TRIAL, call.now, PREMIUM.id, call.now + TRIAL, payer=payer)
    return await _record(call, Source.TRIAL, str(call.guild), event, status=201)


@operation("POST", PATH, scope="premium:write", body=SubscriptionWish, answer=SubscriptionView, statuses=(200, 201))
async def create_subscription(call: Call) -> Reply:
    """Grants a plan (201), or renews the one that was granted here (200)."""
    wish: SubscriptionWish = call.body
    ends_at = require_future(wish.ends_at, call.now) if wish.ends_at is not None else None
    seen = await _fetch(call)
    mine = next((each for each in seen.grants if each.source is Source.MANUAL and each.ref == str(call.guild)), None)
    runs = mine is not None and mine.is_valid(call.now)
    plan = PlanId(wish.plan)
    if mine is not None and runs and mine.plan_at(call.now) is not plan:
        raise Problem("subscription-state", f"The guild has the plan {mine.plan}. Change it with PATCH.")
    event = Event(
        _event_id(call),
        Kind.ACTIVATE,
        call.now,
        plan,
        ends_at,
        grace_seconds=int(GRACE.total_seconds()) if ends_at else 0,
        payer=f"discord:{wish.user_id}" if wish.user_id else None,
    )
    status = 200 if runs else 201
    return await _record(call, Source.MANUAL, str(call.guild), event, status=status, version=seen.version)


@operation(
    "PATCH",
    PATH,
    scope="premium:write",
    body=PlanWish,
    answer=SubscriptionView,
    needs_match=True,
)
async def change_plan(call: Call) -> Reply:
    """Changes the plan, if it is as the caller has seen it."""
    seen = await _fetch(call)
    require_match(call.headers, tag_of(_view(call.guild, seen, call.now)))
    grant = _require_ours(seen)
    plan = PlanId(call.body.plan)
    if plan is (grant.next_plan or grant.plan_at(call.now)):
        return _reply(call, seen)
    kind = Kind.UPGRADE if plan.rank >= grant.plan.rank else Kind.DOWNGRADE
    event = Event(f"{_event_id(call)}:{seen.version}", kind, call.now, plan)
    try:
        return await _record(call, grant.source, grant.ref, event, version=seen.version)
    except Problem as problem:
        raise (changed() if problem.kind == "changed-meanwhile" else problem) from None


@operation("POST", PATH + "/cancel", scope="premium:write", body=CancelWish, answer=SubscriptionView)
async def cancel_subscription(call: Call) -> Reply:
    """Cancels it for the end of the period, or ends it now."""
    seen = await _fetch(call)
    grant = _require_ours(seen)
    kind = Kind.REVOKE if call.body.when == "now" else Kind.CANCEL
    return await _record(call, grant.source, grant.ref, Event(_event_id(call), kind, call.now))


@operation("POST", PATH + "/resume", scope="premium:write", answer=SubscriptionView)
async def resume_subscription(call: Call) -> Reply:
    """Takes a cancellation back, before the end of the period."""
    grant = _require_ours(await _fetch(call))
    return await _record(call, grant.source, grant.ref, Event(_event_id(call), Kind.RESUME, call.now))


@operation("GET", PATH + "/events", scope="premium:read", query=Page, answer=EventsView)
async def list_subscription_events(call: Call) -> Reply:
    """What happened to it, the latest first."""
    page: Page = call.query
    before = decode_number(page.cursor)
    found = await repository.fetch_events(call.parts.pools.read, call.guild, before=before, most=page.limit + 1)
    shown = found[: page.limit]
    cursor = encode_cursor(shown[-1].seq) if len(found) > page.limit else None
    data = [
        EventView(
            past.event.id,
            past.grant,
            past.event.kind,
            past.event.plan,
            past.event.at,
            past.event.ends_at,
            past.recorded_at,
        )
        for past in shown
    ]
    path = PATH.format(guild_id=call.guild) + "/events"
    return Reply(EventsView(data, cursor), headers=next_link(path, page, cursor))


async def _fetch(call: Call) -> Subscription:
    return await repository.fetch_subscription(call.parts.pools.write, call.guild, call.now, base=call.parts.base_plan)


async def _record(
    call: Call, source: Source, ref: str, event: Event, *, status: int = 200, version: int | None = None
) -> Reply:
    """Records what was asked for, and answers how it is now."""
    at = await repository.fetch_next_moment(call.parts.pools.write, source, ref, call.now)
    event = msgspec.structs.replace(event, at=at)
    try:
        await repository.record(
            call.parts.pools.write, call.guild, source, ref, event, now=call.now, asked=True, version=version
        )
    except Refused as refusal:
        raise Problem(_REFUSALS.get(refusal.sentence, "subscription-state"), str(refusal)) from None
    except Conflict:
        raise Problem("changed-meanwhile", "It was changed at the same time. Read it, and decide again.") from None
    await call.parts.forget(call.guild)
    return _reply(call, await _fetch(call), status)


_REFUSALS: Mapping[Sentence, str] = {
    Sentence.TRIAL_USED_BY_GUILD: "trial-used",
    Sentence.TRIAL_USED_BY_PAYER: "trial-used",
}


def _require_ours(seen: Subscription) -> Grant:
    grant = seen.access.grant
    if grant is None:
        raise Problem("subscription-state", "The guild has no subscription.")
    if grant.source not in OURS:
        raise Problem(
            "subscription-managed-elsewhere", f"It was bought from {grant.source.capitalize()}: change it there."
        )
    return grant


def _event_id(call: Call) -> str:
    return call.identity or call.request_id


def _reply(call: Call, seen: Subscription, status: int = 200) -> Reply:
    body = _view(call.guild, seen, call.now)
    return Reply(body, status, {"ETag": tag_of(body)})


def _view(guild: int, seen: Subscription, now: datetime) -> SubscriptionView:
    access = seen.access
    return SubscriptionView(
        str(guild),
        access.plan.id,
        access.state,
        access.grant.id if access.grant else None,
        access.grant.ends_at if access.grant else None,
        [
            GrantView(
                grant.id,
                grant.source,
                grant.plan_at(now),
                grant.state_at(now),
                grant.starts_at,
                grant.ends_at,
                grant.until,
                grant.canceled_at,
                grant.next_plan,
            )
            for grant in seen.grants
        ],
    )

"""Grants: why a guild has a plan, and until when.

A grant is what its events made of it, in the order in which they *happened*, not in that in which they were heard:
:func:`fold` sorts them, drops repeated ones, and passes over what the table of states does not allow. So duplicates and
late arrivals do no harm. Whether a grant is valid is judged when it is read, never stored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from enum import StrEnum

import msgspec

from tonearm.errors import Refused
from tonearm.premium.plans import FREE, PLANS, Plan, PlanId
from tonearm.premium.states import NEXT, Kind, State
from tonearm.sentences import Sentence

GRACE = timedelta(days=3)
"""How long a payment may be late, unless an event says otherwise."""

TRIAL = timedelta(days=7)
"""How long a trial lasts."""


class Source(StrEnum):
    """Where a grant comes from."""

    TRIAL = "trial"
    DISCORD = "discord"
    STRIPE = "stripe"
    MANUAL = "manual"


class Event(msgspec.Struct, frozen=True, omit_defaults=True):
    """Something that happened to a grant, ``at`` its source's time. ``id`` is derived from what caused it.

    ``plan`` is for start_trial, activate, upgrade and downgrade; activate without one keeps it, or takes that of a
    scheduled downgrade. ``ends_at`` is the end of what is paid for, ``None`` for no end; with fail_payment and cancel
    ``None`` keeps the end that is known. ``starts_at`` is for grants that begin later than ``at``. ``grace_seconds``
    follows ``ends_at``. ``payer`` names who pays, as ``discord:<user>`` or ``stripe:<customer>``.
    """

    id: str
    kind: Kind
    at: datetime
    plan: PlanId | None = None
    ends_at: datetime | None = None
    starts_at: datetime | None = None
    grace_seconds: int = 0
    payer: str | None = None


class Grant(msgspec.Struct, frozen=True, omit_defaults=True):
    """A plan for a guild. ``ref`` is the source's own id of it; ``next_plan`` takes effect at ``ends_at``.

    ``state`` is what the last event made of it: :meth:`state_at` is what it is at a moment.
    """

    guild: int
    source: Source
    ref: str
    plan: PlanId
    state: State
    starts_at: datetime
    ends_at: datetime | None = None
    grace_seconds: int = 0
    canceled_at: datetime | None = None
    next_plan: PlanId | None = None
    payer: str | None = None

    @property
    def id(self) -> str:
        """Its name: ``<source>:<ref>``."""
        return grant_id(self.source, self.ref)

    @property
    def until(self) -> datetime | None:
        """When access ends: the end and its grace; who has canceled gets no grace. ``None`` for never."""
        if self.ends_at is None:
            return None
        return self.ends_at if self.canceled_at else self.ends_at + timedelta(seconds=self.grace_seconds)

    def is_valid(self, now: datetime) -> bool:
        """Whether it gives access at ``now``."""
        begun = self.state not in (State.NONE, State.EXPIRED) and self.starts_at <= now
        return begun and (self.until is None or now < self.until)

    def state_at(self, now: datetime) -> State:
        """Its state at ``now``: time makes it begin, be overdue and expire, whether or not anybody has said so."""
        if self.state is State.EXPIRED or (self.until is not None and now >= self.until):
            return State.EXPIRED
        if now < self.starts_at:
            return State.NONE
        runs = self.state in (State.ACTIVE, State.TRIALING)
        if runs and self.ends_at is not None and now >= self.ends_at:
            return State.PAST_DUE
        return self.state

    def plan_at(self, now: datetime) -> PlanId:
        """Its plan at ``now``: a downgrade takes effect at the end of the period."""
        if self.next_plan is not None and self.ends_at is not None and now >= self.ends_at:
            return self.next_plan
        return self.plan


def grant_id(source: Source, ref: str) -> str:
    """The name of a grant."""
    return f"{source}:{ref}"


class Access(msgspec.Struct, frozen=True):
    """What a guild has at a moment, by which ``grant``; ``judge_again_at`` is when time alone can change it next."""

    plan: Plan
    state: State
    grant: Grant | None = None
    judge_again_at: datetime | None = None


def judge(grants: Iterable[Grant], now: datetime, *, base: Plan = FREE) -> Access:
    """The best plan of a guild at ``now``; ``base`` is what a guild has without any grant."""
    grants = tuple(grants)
    valid = [grant for grant in grants if grant.is_valid(now)]
    again = min(
        (t for grant in grants for t in (grant.starts_at, grant.ends_at, grant.until) if t and t > now), default=None
    )
    if not valid:
        return Access(base, State.EXPIRED if any(g.starts_at <= now for g in grants) else State.NONE, None, again)
    best = max(valid, key=lambda grant: (grant.plan_at(now).rank, grant.until is None, grant.until or now, grant.id))
    plan = PLANS[best.plan_at(now)]
    return Access(plan if plan.id.rank >= base.id.rank else base, best.state_at(now), best, again)


def are_over(grants: Iterable[Grant], now: datetime) -> bool:
    """Whether none of ``grants`` gives access any more, at ``now`` or later."""
    return all(grant.state_at(now) is State.EXPIRED for grant in grants)


def fold(guild: int, source: Source, ref: str, events: Iterable[Event]) -> Grant | None:
    """What ``events`` made of a grant, in whatever order and how often they are given; ``None`` if it never began."""
    grant: Grant | None = None
    for event in sorted({event.id: event for event in events}.values(), key=lambda event: (event.at, event.id)):
        if is_legal(grant, event):
            grant = _EFFECTS[event.kind](grant or _blank(guild, source, ref, event), event)
    return grant


def is_legal(grant: Grant | None, event: Event) -> bool:
    """Whether the table allows ``event`` for ``grant``, and whether it says something that can be."""
    state = grant.state if grant else State.NONE
    if (state, event.kind) not in NEXT:
        return False
    if event.plan is PlanId.FREE:
        return False
    if event.kind is Kind.START_TRIAL and event.ends_at is None:
        return False
    if grant is None:
        return event.plan is not None
    match event.kind:
        case Kind.UPGRADE:
            # To the plan that it has: the downgrade that waits is taken back.
            keeps = event.plan is grant.plan and grant.next_plan is not None
            return keeps or (event.plan is not None and event.plan.rank > grant.plan.rank)
        case Kind.DOWNGRADE:
            return event.plan is not None and event.plan.rank < grant.plan.rank
        case Kind.EXPIRE:
            return grant.until is not None and event.at >= grant.until
        case Kind.RESUME:
            return grant.until is None or event.at < grant.until
    return True


def require_legal(grant: Grant | None, event: Event) -> None:
    """What a person or a script asks for must be possible as things stand; what a seller says is folded in anyway.

    Raises:
        Refused: it is not.
    """
    state = grant.state_at(event.at) if grant else State.NONE
    judged = msgspec.structs.replace(grant, state=state) if grant else None
    if is_legal(judged, event):
        return
    plan = PLANS[grant.plan_at(event.at)].name if grant and state is not State.EXPIRED else FREE.name
    raise Refused(Sentence.SUBSCRIPTION_CANT, plan=plan, state=state.replace("_", " "))


def require_trial(*, guild_had_one: bool, payer_had_one: bool) -> None:
    """A trial may begin.

    Raises:
        Refused: the guild or the payer has had one.
    """
    if guild_had_one:
        raise Refused(Sentence.TRIAL_USED_BY_GUILD)
    if payer_had_one:
        raise Refused(Sentence.TRIAL_USED_BY_PAYER)


# What each kind of event does to a grant, once the table has let it through.


def _blank(guild: int, source: Source, ref: str, event: Event) -> Grant:
    assert event.plan is not None  # is_legal has seen to it
    return Grant(guild, source, ref, event.plan, State.NONE, event.starts_at or event.at)


def _in_next_state(grant: Grant, event: Event, **changes: object) -> Grant:
    return msgspec.structs.replace(grant, state=NEXT[grant.state, event.kind], **changes)


def _begin(grant: Grant, event: Event) -> Grant:
    same_period = event.plan in (None, grant.plan) and event.ends_at == grant.ends_at
    return _in_next_state(
        grant,
        event,
        plan=event.plan or (grant.plan if same_period else grant.next_plan) or grant.plan,
        ends_at=event.ends_at,
        grace_seconds=event.grace_seconds,
        canceled_at=None,
        next_plan=grant.next_plan if same_period else None,
        payer=event.payer or grant.payer,
    )


def _fail_payment(grant: Grant, event: Event) -> Grant:
    ends_at = event.ends_at or (min(grant.ends_at, event.at) if grant.ends_at else event.at)
    grace = event.grace_seconds or grant.grace_seconds or int(GRACE.total_seconds())
    return _in_next_state(grant, event, ends_at=ends_at, grace_seconds=grace)


def _upgrade(grant: Grant, event: Event) -> Grant:
    return _in_next_state(grant, event, plan=event.plan, next_plan=None)


def _downgrade(grant: Grant, event: Event) -> Grant:
    if grant.ends_at is None:  # there is no end to wait for
        return _in_next_state(grant, event, plan=event.plan, next_plan=None)
    return _in_next_state(grant, event, next_plan=event.plan)


def _cancel(grant: Grant, event: Event) -> Grant:
    ends_at = event.ends_at or grant.ends_at or event.at
    return _in_next_state(grant, event, canceled_at=event.at, ends_at=ends_at, next_plan=None)


def _resume(grant: Grant, event: Event) -> Grant:
    return _in_next_state(grant, event, canceled_at=None)


def _revoke(grant: Grant, event: Event) -> Grant:
    ends_at = min(grant.ends_at, event.at) if grant.ends_at else event.at
    return _in_next_state(grant, event, canceled_at=event.at, ends_at=ends_at, next_plan=None)


def _expire(grant: Grant, event: Event) -> Grant:
    return _in_next_state(grant, event)


_EFFECTS: dict[Kind, Callable[[Grant, Event], Grant]] = {
    Kind.START_TRIAL: _begin,
    Kind.ACTIVATE: _begin,
    Kind.FAIL_PAYMENT: _fail_payment,
    Kind.UPGRADE: _upgrade,
    Kind.DOWNGRADE: _downgrade,
    Kind.CANCEL: _cancel,
    Kind.RESUME: _resume,
    Kind.REVOKE: _revoke,
    Kind.EXPIRE: _expire,
}

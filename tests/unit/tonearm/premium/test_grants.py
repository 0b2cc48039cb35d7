"""What events make of a grant, and what a guild has by its grants."""

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tonearm.errors import Refused
from tonearm.premium.grants import (
    GRACE,
    Event,
    Grant,
    Source,
    fold,
    is_legal,
    judge,
    require_legal,
    require_trial,
)
from tonearm.premium.plans import FREE, PREMIUM, PRO, PlanId
from tonearm.premium.states import NEXT, Kind, State
from tonearm.sentences import Sentence

T0 = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
MONTH = 30 * DAY
GUILD = 5 << 22


def event(kind: Kind, day: float = 0, **values: Any) -> Event:
    return Event(values.pop("id", f"{kind}@{day}"), kind, T0 + day * DAY, **values)


def paid(day: float = 0, *, until: float = 30, plan: PlanId | None = PlanId.PREMIUM, **values: Any) -> Event:
    return event(Kind.ACTIVATE, day, plan=plan, ends_at=T0 + until * DAY, grace_seconds=3 * 86_400, **values)


def grant(*events: Event, source: Source = Source.STRIPE, ref: str = "sub_1") -> Grant:
    made = fold(GUILD, source, ref, events)
    assert made is not None
    return made


def seen(made: Grant, day: float) -> tuple[State, PlanId, bool]:
    now = T0 + day * DAY
    return made.state_at(now), made.plan_at(now), made.is_valid(now)


def test_paid_for_a_month_with_grace() -> None:
    made = grant(paid())
    assert seen(made, -1) == (State.NONE, PlanId.PREMIUM, False)
    assert seen(made, 0) == (State.ACTIVE, PlanId.PREMIUM, True)
    assert seen(made, 30) == (State.PAST_DUE, PlanId.PREMIUM, True)
    assert seen(made, 32.99) == (State.PAST_DUE, PlanId.PREMIUM, True)
    assert seen(made, 33) == (State.EXPIRED, PlanId.PREMIUM, False)


def test_renewed_it_goes_on() -> None:
    assert seen(grant(paid(), paid(29, until=60)), 59) == (State.ACTIVE, PlanId.PREMIUM, True)


def test_who_cancels_has_it_to_the_end_without_grace_and_may_come_back() -> None:
    canceled = grant(paid(), event(Kind.CANCEL, 10))
    assert seen(canceled, 29.9) == (State.CANCELING, PlanId.PREMIUM, True)
    assert seen(canceled, 30) == (State.EXPIRED, PlanId.PREMIUM, False)
    back = grant(paid(), event(Kind.CANCEL, 10), event(Kind.RESUME, 20))
    assert seen(back, 31) == (State.PAST_DUE, PlanId.PREMIUM, True)
    too_late = grant(paid(), event(Kind.CANCEL, 10), event(Kind.RESUME, 31))
    assert seen(too_late, 31) == (State.EXPIRED, PlanId.PREMIUM, False)


def test_a_failed_payment_leaves_the_grace() -> None:
    made = grant(paid(), event(Kind.FAIL_PAYMENT, 30))
    assert seen(made, 30)[0] is State.PAST_DUE
    assert seen(made, 33)[0] is State.EXPIRED
    assert seen(grant(paid(), event(Kind.FAIL_PAYMENT, 30), paid(31, until=60)), 50)[0] is State.ACTIVE


def test_a_failed_payment_ends_what_had_no_end() -> None:
    made = grant(event(Kind.ACTIVATE, plan=PlanId.PRO), event(Kind.FAIL_PAYMENT, 5))
    assert made.until == T0 + 5 * DAY + GRACE


def test_an_upgrade_is_at_once_and_a_downgrade_at_the_end_of_the_period() -> None:
    up = grant(paid(), event(Kind.UPGRADE, 3, plan=PlanId.PRO))
    assert seen(up, 3)[1] is PlanId.PRO
    assert up.ends_at == T0 + MONTH
    down = grant(paid(plan=PlanId.PRO), event(Kind.DOWNGRADE, 3, plan=PlanId.PREMIUM))
    assert seen(down, 29.9)[1] is PlanId.PRO
    assert seen(down, 30)[1] is PlanId.PREMIUM
    renewed = grant(paid(plan=PlanId.PRO), event(Kind.DOWNGRADE, 3, plan=PlanId.PREMIUM), paid(30, until=60, plan=None))
    assert (renewed.plan, renewed.next_plan) == (PlanId.PREMIUM, None)


def test_a_word_about_the_same_period_keeps_the_downgrade_that_waits() -> None:
    down = (paid(plan=PlanId.PRO), event(Kind.DOWNGRADE, 3, plan=PlanId.PREMIUM))
    assert grant(*down, paid(4, plan=PlanId.PRO)).next_plan is PlanId.PREMIUM
    assert grant(*down, paid(4, until=31, plan=PlanId.PRO)).next_plan is None


def test_a_downgrade_that_waits_is_taken_back_by_an_upgrade_to_the_plan_there_is() -> None:
    down = (paid(plan=PlanId.PRO), event(Kind.DOWNGRADE, 3, plan=PlanId.PREMIUM))
    assert grant(*down, event(Kind.UPGRADE, 4, plan=PlanId.PREMIUM)) == grant(*down)
    assert grant(*down, event(Kind.UPGRADE, 4, plan=PlanId.PRO)) == grant(paid(plan=PlanId.PRO))


def test_without_an_end_a_downgrade_and_a_cancellation_are_at_once() -> None:
    endless = event(Kind.ACTIVATE, plan=PlanId.PRO)
    assert seen(grant(endless), 10_000) == (State.ACTIVE, PlanId.PRO, True)
    assert seen(grant(endless, event(Kind.DOWNGRADE, 3, plan=PlanId.PREMIUM)), 3)[1] is PlanId.PREMIUM
    assert not seen(grant(endless, event(Kind.CANCEL, 3)), 3)[2]


@pytest.mark.parametrize("first", [paid(), event(Kind.START_TRIAL, plan=PlanId.PREMIUM, ends_at=T0 + 7 * DAY)])
def test_revoked_is_over_at_once(first: Event) -> None:
    made = grant(first, event(Kind.REVOKE, 2))
    assert seen(made, 2) == (State.EXPIRED, PlanId.PREMIUM, False)
    assert made.ends_at == T0 + 2 * DAY


def test_a_trial_has_no_grace() -> None:
    made = grant(event(Kind.START_TRIAL, plan=PlanId.PREMIUM, ends_at=T0 + 7 * DAY), source=Source.TRIAL)
    assert seen(made, 6.9) == (State.TRIALING, PlanId.PREMIUM, True)
    assert seen(made, 7) == (State.EXPIRED, PlanId.PREMIUM, False)


def test_a_trial_of_a_seller_is_overdue_until_it_is_paid() -> None:
    begun = event(Kind.START_TRIAL, plan=PlanId.PREMIUM, ends_at=T0 + 7 * DAY, grace_seconds=3 * 86_400)
    assert [seen(grant(begun), day)[0] for day in (6.9, 7, 10)] == [State.TRIALING, State.PAST_DUE, State.EXPIRED]
    assert seen(grant(begun, event(Kind.FAIL_PAYMENT, 7)), 9.9) == (State.PAST_DUE, PlanId.PREMIUM, True)
    assert seen(grant(begun, event(Kind.FAIL_PAYMENT, 7)), 10) == (State.EXPIRED, PlanId.PREMIUM, False)
    longer = event(Kind.START_TRIAL, 1, plan=PlanId.PRO, ends_at=T0 + 8 * DAY)
    assert seen(grant(begun, longer), 7.9) == (State.TRIALING, PlanId.PRO, True)
    endless = event(Kind.START_TRIAL, 1, plan=PlanId.PRO)
    assert grant(begun, endless) == grant(begun)


def test_a_grant_can_begin_later_than_it_is_made() -> None:
    made = grant(paid(starts_at=T0 + 5 * DAY))
    assert [seen(made, day)[0] for day in (0, 5)] == [State.NONE, State.ACTIVE]


@pytest.mark.parametrize(
    "wrong",
    [
        event(Kind.ACTIVATE),
        event(Kind.ACTIVATE, plan=PlanId.FREE),
        event(Kind.START_TRIAL, plan=PlanId.PREMIUM),
        event(Kind.CANCEL),
        event(Kind.UPGRADE, plan=PlanId.PRO),
    ],
)
def test_what_can_not_begin_a_grant_does_not(wrong: Event) -> None:
    assert fold(GUILD, Source.STRIPE, "sub_1", [wrong]) is None


def test_running_out_is_only_said_of_what_has_run_out() -> None:
    assert grant(paid(), event(Kind.EXPIRE, 32)).state is State.ACTIVE
    assert grant(paid(), event(Kind.EXPIRE, 33)).state is State.EXPIRED
    assert seen(grant(paid(), event(Kind.EXPIRE, 33), paid(40, until=70)), 41)[0] is State.ACTIVE


def test_the_best_grant_counts_and_the_next_one_takes_over() -> None:
    grants = [
        grant(paid(plan=PlanId.PRO, until=10), source=Source.DISCORD, ref="1"),
        grant(paid(until=20), source=Source.MANUAL, ref="2"),
    ]
    assert judge([], T0).plan is FREE
    assert judge([], T0).state is State.NONE
    first, second, after = (judge(grants, T0 + day * DAY) for day in (0, 13, 23))
    assert (first.plan, first.grant) == (PRO, grants[0])
    assert (second.plan, second.state) == (PREMIUM, State.ACTIVE)
    assert (after.plan, after.state, after.grant) == (FREE, State.EXPIRED, None)


def test_a_guild_has_no_less_than_the_operator_gives_to_all() -> None:
    grants = [grant(paid())]
    assert judge(grants, T0, base=PRO).plan is PRO
    assert judge(grants, T0 + 2 * MONTH, base=PREMIUM).plan is PREMIUM


def test_a_person_is_told_what_can_not_be_done() -> None:
    require_legal(None, paid())
    made = grant(paid())
    require_legal(made, event(Kind.CANCEL, 1))
    with pytest.raises(Refused) as twice:
        require_legal(grant(paid(), event(Kind.CANCEL, 1)), event(Kind.CANCEL, 2))
    assert "**Premium**" in str(twice.value)
    assert "“canceling”" in str(twice.value)
    for late in (event(Kind.CANCEL, 40), event(Kind.UPGRADE, 40, plan=PlanId.PRO)):
        with pytest.raises(Refused, match="“expired”"):
            require_legal(made, late)
    with pytest.raises(Refused, match=r"\*\*Premium\*\*"):
        require_legal(made, event(Kind.UPGRADE, 3, plan=PlanId.PREMIUM))


def test_one_trial_for_each_guild_and_each_payer() -> None:
    require_trial(guild_had_one=False, payer_had_one=False)
    for guild, payer, sentence in (
        (True, False, Sentence.TRIAL_USED_BY_GUILD),
        (False, True, Sentence.TRIAL_USED_BY_PAYER),
    ):
        with pytest.raises(Refused) as caught:
            require_trial(guild_had_one=guild, payer_had_one=payer)
        assert caught.value.sentence is sentence


# Whatever happens, in whatever order it is heard.

days = st.integers(0, 100)
events = st.builds(
    lambda number, kind, day, plan, length, grace: Event(
        f"e{number}", kind, T0 + day * DAY, plan, None if length is None else T0 + (day + length) * DAY, None, grace
    ),
    st.integers(0, 1_000),
    st.sampled_from(Kind),
    days,
    st.sampled_from([None, *PlanId]),
    st.none() | st.integers(0, 60),
    st.sampled_from([0, 86_400, 3 * 86_400]),
)
histories = st.lists(events, max_size=12, unique_by=lambda event: event.id)


@given(histories, st.randoms())
def test_order_and_repetition_do_no_harm(history: list[Event], chance: random.Random) -> None:
    shuffled = history + [event for event in history if chance.random() < 0.5]
    chance.shuffle(shuffled)
    assert fold(GUILD, Source.STRIPE, "s", shuffled) == fold(GUILD, Source.STRIPE, "s", history)


@given(histories, days)
def test_any_order_of_events_ends_in_a_legal_state(history: list[Event], day: int) -> None:
    made: Grant | None = None
    for number, one in enumerate(sorted(history, key=lambda event: (event.at, event.id))):
        before = made.state if made else State.NONE
        made = fold(GUILD, Source.STRIPE, "s", sorted(history, key=lambda event: (event.at, event.id))[: number + 1])
        after = made.state if made else State.NONE
        assert after is before or NEXT[before, one.kind] is after
    if made is not None:
        now = T0 + day * DAY
        assert made.plan is not PlanId.FREE
        assert made.state_at(now) in State
        assert made.is_valid(now) == (made.state_at(now) not in (State.NONE, State.EXPIRED))


@given(histories, st.integers(0, 400))
def test_access_never_outlives_the_last_grant_and_its_grace(history: list[Event], day: int) -> None:
    made = fold(GUILD, Source.STRIPE, "s", history)
    now = T0 + day * DAY
    if made is None or any(one.kind is Kind.ACTIVATE and one.ends_at is None for one in history):
        return
    last = max((one.ends_at or one.at) for one in history)
    longest = max(GRACE, *(timedelta(seconds=one.grace_seconds) for one in history))
    if now >= last + longest:
        assert not made.is_valid(now)
        assert judge([made], now).plan is FREE


@given(histories, histories, days)
def test_between_two_judgements_nothing_changes(one: list[Event], other: list[Event], day: int) -> None:
    made = [fold(GUILD, Source.STRIPE, "a", one), fold(GUILD, Source.DISCORD, "b", other)]
    grants = [grant for grant in made if grant is not None]
    now = T0 + day * DAY
    access = judge(grants, now)
    just_before = (access.judge_again_at or now + 1_000 * DAY) - timedelta(microseconds=1)
    assert judge(grants, just_before).plan is access.plan


@given(histories, events)
def test_what_a_person_may_do_is_what_is_done(history: list[Event], wish: Event) -> None:
    wish = Event("wish", wish.kind, T0 + 200 * DAY, wish.plan, wish.ends_at, None, wish.grace_seconds)
    made = fold(GUILD, Source.STRIPE, "s", history)
    try:
        require_legal(made, wish)
    except Refused:
        return
    assert is_legal(made, wish)

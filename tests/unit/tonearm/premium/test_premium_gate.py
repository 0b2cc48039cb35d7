"""The gate against every plan, every feature and every amount."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tonearm.errors import Refused
from tonearm.premium.gate import NAMES, REFUSALS, require_feature
from tonearm.premium.plans import FREE, PLANS, PREMIUM, PRO, SWITCHES, Feature, Plan
from tonearm.sentences import Sentence


def refusal(plan: Plan, feature: Feature, wanted: int = 1, *, known: bool = True) -> Refused:
    with pytest.raises(Refused) as caught:
        require_feature(plan, feature, wanted, known=known)
    return caught.value


def test_a_limit_is_named_with_the_least_plan_that_lifts_it() -> None:
    assert str(refusal(FREE, Feature.QUEUE_LENGTH, 501)) == (
        "The queue goes up to 500 with the plan **Free**, and up to 2,000 with **Premium**. `/premium` shows the plans."
    )
    assert "up to 10,000 with **Pro**" in str(refusal(FREE, Feature.QUEUE_LENGTH, 2_001))
    assert "up to 10,000 with **Pro**" in str(refusal(PREMIUM, Feature.QUEUE_LENGTH, 2_001))


def test_a_feature_that_is_not_there_is_named_with_the_least_plan_that_has_it() -> None:
    assert str(refusal(FREE, Feature.ALWAYS_ON)) == (
        "The plan **Free** does not include 24/7. **Premium** does: `/premium` shows the plans."
    )
    assert "**Pro** does" in str(refusal(PREMIUM, Feature.EXPORTS))


def test_beyond_the_best_plan_the_limit_alone_is_named() -> None:
    refused = refusal(PRO, Feature.QUEUE_LENGTH, 10_001)
    assert refused.sentence is Sentence.PLAN_MOST
    assert "10,000" in str(refused)


def test_more_than_any_plan_has_names_the_one_that_has_most() -> None:
    assert "up to 10,000 with **Pro**" in str(refusal(FREE, Feature.QUEUE_LENGTH, 1_000_000))
    assert refusal(PREMIUM, Feature.VOLUME, 201).sentence is Sentence.PLAN_MOST


def test_an_unknown_plan_is_no_reason_to_sell_one() -> None:
    assert refusal(FREE, Feature.ALWAYS_ON, known=False).sentence is Sentence.PLAN_UNKNOWN
    require_feature(FREE, Feature.QUEUE_LENGTH, 500, known=False)


@given(st.sampled_from(list(PLANS.values())), st.sampled_from(Feature), st.integers(0, 20_000))
def test_the_gate_is_open_exactly_up_to_the_limit(plan: Plan, feature: Feature, wanted: int) -> None:
    if wanted <= plan.limit(feature):
        require_feature(plan, feature, wanted)
        return
    refused = refusal(plan, feature, wanted)
    assert refused.sentence in REFUSALS
    named = [other for other in PLANS.values() if f"**{other.name}**" in str(refused)]
    if refused.sentence is not Sentence.PLAN_MOST:
        assert plan in named
        (lifts,) = (other for other in named if other is not plan)
        assert lifts.limit(feature) > plan.limit(feature)


@pytest.mark.parametrize("feature", Feature)
def test_a_better_plan_has_no_less_of_anything(feature: Feature) -> None:
    limits = [plan.limit(feature) for plan in PLANS.values()]
    assert limits == sorted(limits)
    assert limits[-1] > limits[0]
    assert feature not in SWITCHES or set(limits) <= {0, 1}
    assert NAMES[feature]


def test_money_is_whole_minor_units() -> None:
    assert [plan.id.rank for plan in PLANS.values()] == [0, 1, 2]
    assert FREE.price is None
    for plan in (PREMIUM, PRO):
        assert plan.price is not None
        assert type(plan.price.amount) is int
        assert len(plan.price.currency) == 3

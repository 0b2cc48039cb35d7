"""Under which ids plans are sold."""

import pytest

from tonearm.premium.plans import PlanId, shelf


def test_a_seller_may_have_several_ids_for_a_plan() -> None:
    sold = shelf([("premium", "sku-1"), ("premium", "sku-2"), ("pro", "sku-3")])
    assert [sold.plan_of(id) for id in ("sku-1", "sku-2", "sku-3", "sku-4")] == [
        PlanId.PREMIUM,
        PlanId.PREMIUM,
        PlanId.PRO,
        None,
    ]
    assert (sold.id_of(PlanId.PREMIUM), sold.id_of(PlanId.PRO), sold.id_of(PlanId.FREE)) == ("sku-1", "sku-3", None)


@pytest.mark.parametrize("pairs", [[("gold", "x")], [("free", "x")], [("premium", "x"), ("pro", "x")]])
def test_what_can_not_be_sold_is_refused(pairs: list[tuple[str, str]]) -> None:
    with pytest.raises(ValueError, match=r"gold|not sold|twice"):
        shelf(pairs)

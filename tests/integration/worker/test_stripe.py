"""From Stripe's signed events to grants: in any order, however often."""

import itertools
import json
import time

import httpx
import pytest
import stripe
from starlette.applications import Starlette

from interactions.api.webhooks import stripe as webhook
from tonearm.postgres import grants
from tonearm.premium.plans import PlanId, shelf
from tonearm.premium.states import State
from tonearm.worker.acting import act_on_receipts
from tonearm.worker.stripe_events import StripeShop

GUILD = 7 << 22
SECRETS = ("whsec_new", "whsec_old")


def event(n, kind, created, **changes):
    item = {"price": {"id": changes.pop("price", "price_1")}, "current_period_end": created + 30 * 86_400}
    subscription = {"id": "sub_1", "customer": "cus_1", "status": "active", "metadata": {"guild_id": str(GUILD)}}
    subscription |= {"items": {"data": [item]}, **changes}
    about = {"id": f"evt_{n}", "type": f"customer.subscription.{kind}", "created": created}
    return json.dumps({**about, "data": {"object": subscription}}).encode()


async def post(pool, body, secret="whsec_old", age=0, kept_at=time.time):
    header = stripe.WebhookSignature.generate_signature_header(body.decode(), secret, int(time.time()) - age)
    app = Starlette(routes=webhook.routes(pool, SECRETS, clock=kept_at))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://tonearm") as http:
        return (await http.post(webhook.PATH, content=body, headers={"Stripe-Signature": header})).status_code


@pytest.mark.parametrize(
    ("secret", "age", "status"), [("whsec_new", 0, 200), ("other", 0, 400), ("whsec_new", 400, 400)]
)
async def test_only_what_stripe_signed_just_now_is_kept(pool, secret, age, status):
    assert await post(pool, b'{"id":"evt"}', secret, age) == status
    kept = await pool.fetch_rows("select id from webhook_receipts")
    assert len(kept) == (status == 200)


async def test_any_order_and_repetition_end_the_same(pool, clock, cache):
    shop = StripeShop(pool, shelf((("premium", "price_1"), ("pro", "price_2"))), forget=cache.forget, clock=clock)
    begin = int(clock().timestamp())
    told = [
        event(1, "created", begin),
        event(2, "updated", begin + 10, price="price_2"),
        event(3, "updated", begin + 20, price="price_2", cancel_at_period_end=True),
    ]
    clock.forward(minutes=5)
    for number, order in enumerate(itertools.permutations(told)):
        await pool.execute("truncate webhook_receipts, grants")
        await pool.execute("truncate subscription_events")
        for body in (*order, *order):
            assert await post(pool, body, kept_at=lambda: clock().timestamp()) == 200
        await act_on_receipts(pool, {"stripe": shop}, clock)
        access = await grants.fetch_effective_plan(pool, GUILD, clock())
        assert (access.plan.id, access.state) == (PlanId.PRO, State.CANCELING), number
    await post(pool, event(4, "deleted", begin + 30, status="canceled"), kept_at=lambda: clock().timestamp())
    await act_on_receipts(pool, {"stripe": shop}, clock)
    assert (await grants.fetch_effective_plan(pool, GUILD, clock())).plan.id is PlanId.FREE

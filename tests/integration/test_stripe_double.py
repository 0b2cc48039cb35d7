"""The double of Stripe as a process, and what it refuses as Stripe does."""

import asyncio
import json
import sys

import pytest
import stripe

from playground.stripe.server import SECRET_KEY, StripeDouble

GOOD = {
    "mode": "subscription",
    "line_items": [{"price": "price_1", "quantity": 1}],
    "success_url": "https://a.example",
}


@pytest.fixture
async def client():
    async with StripeDouble(["price_1"]) as double:
        http = stripe.AIOHTTPClient()
        http._timeout = None
        client = stripe.StripeClient(SECRET_KEY, base_addresses={"api": double.url}, http_client=http)
        yield client
        await http.close_async()


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"colour": "red"}, "colour"),
        ({"mode": "payment"}, "mode"),
        ({"line_items": [{"price": "price_2", "quantity": 1}]}, "line_items[0][price]"),
        ({"line_items": [{"price": "price_1"}]}, "line_items[0][quantity]"),
        ({"success_url": ""}, "success_url"),
        ({"success_url": "javascript:1"}, "success_url"),
        ({"client_reference_id": "a b"}, "client_reference_id"),
        ({"subscription_data": {"trial_period_days": 0}}, "subscription_data[trial_period_days]"),
        ({"subscription_data": {"colour": "red"}}, "subscription_data[colour]"),
        ({"metadata": {"x" * 41: "y"}}, "metadata"),
    ],
)
async def test_what_stripe_does_not_take_is_refused(client, change, param):
    assert (await client.v1.checkout.sessions.create_async(GOOD)).url
    with pytest.raises(stripe.InvalidRequestError) as caught:
        await client.v1.checkout.sessions.create_async({**GOOD, **change})
    assert caught.value.param == param


async def test_a_key_is_for_one_request(client):
    first = await client.v1.checkout.sessions.create_async(GOOD, {"idempotency_key": "k"})
    again = await client.v1.checkout.sessions.create_async(GOOD, {"idempotency_key": "k"})
    assert again.id == first.id
    with pytest.raises(stripe.IdempotencyError):
        await client.v1.checkout.sessions.create_async({**GOOD, "locale": "de"}, {"idempotency_key": "k"})


async def test_strangers_and_unknown_customers_are_refused(client):
    with pytest.raises(stripe.AuthenticationError):
        await client.v1.checkout.sessions.create_async(GOOD, {"api_key": "sk_test_other"})
    with pytest.raises(stripe.InvalidRequestError):
        await client.v1.billing_portal.sessions.create_async({"customer": "cus_none"})
    with pytest.raises(stripe.InvalidRequestError):
        await client.v1.subscriptions.retrieve_async("sub_none")


async def test_it_runs_as_a_process_until_it_is_told_to_end():
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "playground.stripe", "--price", "price_1"), stdout=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(30):
        about = json.loads(await process.stdout.readline())
        process.terminate()
        assert await process.wait() == 0
    assert about["ready"]
    assert about["url"].startswith("http://127.0.0.1:")

"""Deliveries to the operator: signed, with one id, until they arrive or are given up."""

import hashlib
import hmac

import aiohttp
import pytest
from aiohttp import web

from tonearm.postgres import outgoing
from tonearm.worker.deliveries import BACKOFF, Messenger


class Shop:
    """What the operator runs: keeps what it is sent, answers ``status``."""

    def __init__(self):
        self.status = 200
        self.had = []

    async def hear(self, request):
        self.had.append((dict(request.headers), await request.read()))
        return web.Response(status=self.status)


@pytest.fixture
async def shop(pool, clock):
    shop = Shop()
    app = web.Application()
    app.router.add_post("/told", shop.hear)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    await outgoing.add_endpoint(pool, "shop", f"http://127.0.0.1:{runner.addresses[0][1]}/told", now=clock())
    await outgoing.enqueue(pool, "event-1", "subscription.updated", {"n": 1}, guild=5, now=clock())
    yield shop
    await runner.cleanup()


@pytest.fixture
async def messenger(pool, clock):
    async with aiohttp.ClientSession() as http:
        yield Messenger(pool, http, secrets=lambda: ("new", "old"), clock=clock)


async def test_it_is_signed_with_both_secrets_over_time_and_body(shop, messenger, clock):
    assert await messenger.deliver() == 1
    ((headers, body),) = shop.had
    timestamp = int(headers["Tonearm-Timestamp"])
    assert timestamp == int(clock().timestamp())
    expected = [
        "v1=" + hmac.new(secret, f"{timestamp}.".encode() + body, hashlib.sha256).hexdigest()
        for secret in (b"new", b"old")
    ]
    assert headers["Tonearm-Signature"].split(",") == expected
    assert headers["Tonearm-Delivery"].startswith("dlv_")
    assert await messenger.deliver() == 0
    assert len(shop.had) == 1


async def test_it_is_tried_again_under_the_same_id_and_given_up_in_the_end(shop, messenger, clock, pool):
    shop.status = 500
    for wait in BACKOFF:
        assert await messenger.deliver() == 0
        assert await messenger.deliver() == 0, "too early"
        clock.now += wait
    assert await messenger.deliver() == 0
    assert len(shop.had) == len(BACKOFF) + 1
    assert len({headers["Tonearm-Delivery"] for headers, _ in shop.had}) == 1
    (dead,) = await outgoing.fetch_dead(pool)
    assert dead.error == "status 500"
    shop.status = 204
    await outgoing.revive(pool, dead.id, clock())
    assert await messenger.deliver() == 1


async def test_a_worker_that_died_before_it_could_say_so_costs_a_second_delivery(
    shop, messenger, clock, pool, monkeypatch
):
    async def die(*_):
        raise ConnectionResetError

    with monkeypatch.context() as dying:
        dying.setattr(outgoing, "delivered", die)
        with pytest.raises(ExceptionGroup):
            await messenger.deliver()
    assert await messenger.deliver() == 0, "it is still the dead one's"
    clock.forward(minutes=2)
    assert await messenger.deliver() == 1
    first, second = (headers["Tonearm-Delivery"] for headers, _ in shop.had)
    assert first == second


async def test_who_does_not_answer_is_tried_again(pool, clock, messenger):
    await outgoing.add_endpoint(pool, "gone", "http://127.0.0.1:1/", now=clock())
    await outgoing.enqueue(pool, "event-2", "x", {}, guild=None, now=clock())
    assert await messenger.deliver() == 0
    clock.now += BACKOFF[0]
    assert [each.attempts for each in await outgoing.claim_due(pool, clock(), lease=BACKOFF[0])] == [2]

"""POST /webhook-events over a real PostgreSQL: nothing is acknowledged that is not kept, and nothing kept twice."""

import json
import time

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request

from interactions.api.webhooks import discord, keeping
from tests.support.interactions.signed import KEY, sign
from tests.support.metrics import counts
from tonearm.errors import InvalidInteraction
from tonearm.postgres.pool import Pool
from tonearm.postgres.receipts import receipt_id

RECEIPTS = "tonearm_webhook_receipts_total"
EVENT = {"version": 1, "application_id": "1", "type": 1, "event": {"type": "ENTITLEMENT_CREATE", "data": {"id": "7"}}}


def client(pool, clock=time.time):
    app = Starlette(routes=discord.routes(pool, lambda: (KEY.verify_key.encode(),), clock=clock))
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://tonearm")


async def post(pool, body, **headers):
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    async with client(pool) as http:
        return await http.post("/webhook-events", content=raw, headers={**sign(raw), **headers})


async def kept(pool):
    return await pool.fetch_rows("select id, source, body from webhook_receipts")


async def test_a_ping_is_answered_with_an_empty_204_and_not_kept(pool):
    answer = await post(pool, {"version": 1, "application_id": "1", "type": 0})
    assert (answer.status_code, answer.content) == (204, b"")
    assert await kept(pool) == []


async def test_an_event_that_comes_again_is_kept_once_byte_by_byte(pool):
    with (
        counts(RECEIPTS, source="discord", outcome="stored"),
        counts(RECEIPTS, 2, source="discord", outcome="duplicate"),
    ):
        for _ in range(3):
            assert (await post(pool, EVENT)).status_code == 204
    ((id, source, body),) = await kept(pool)
    assert body == json.dumps(EVENT).encode()
    assert (id, source) == (receipt_id(body), "discord")


@pytest.mark.parametrize(
    "headers", [{"X-Signature-Ed25519": "00" * 64}, {"X-Signature-Timestamp": "1"}, {"X-Signature-Ed25519": ""}]
)
async def test_what_is_not_signed_is_not_kept(pool, headers):
    with counts(RECEIPTS, source="discord", outcome="refused"):
        assert (await post(pool, EVENT, **headers)).status_code == 401
    assert await kept(pool) == []


@pytest.mark.parametrize(
    ("body", "status"), [(b"[]", 400), (b'{"type":7}', 400), (b"{", 400), (b" " * (256 * 1024 + 1), 413)]
)
async def test_what_is_no_event_is_refused(pool, body, status):
    with counts(RECEIPTS, source="discord", outcome="refused"):
        assert (await post(pool, body)).status_code == status
    assert await kept(pool) == []


async def test_what_can_not_be_kept_is_not_acknowledged():
    with counts(RECEIPTS, source="discord", outcome="failed"):
        async with Pool("postgresql://nobody@127.0.0.1:1/none", timeout=0.5) as away:
            answer = await post(away, EVENT)
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "5"


async def test_who_hangs_up_in_the_middle_breaks_nothing():
    async def gone():
        return {"type": "http.disconnect"}

    with pytest.raises(InvalidInteraction):
        await keeping.read(Request({"type": "http", "method": "POST", "headers": []}, gone))

"""A guild's subscription through the API."""

import asyncio
from datetime import timedelta

import pytest

from tests.support.api.serving import GUILD, NOW, OTHER, USER, problem
from tonearm.postgres.grants import record
from tonearm.premium.grants import Event, Source
from tonearm.premium.plans import PlanId
from tonearm.premium.states import Kind

PATH = f"/guilds/{GUILD}/subscription"
MONTH = {"plan": "premium", "ends_at": "2026-07-01T00:00:00+02:00"}


async def test_plans_are_numbers_not_floats(caller):
    answer = await caller.get("/plans")
    plans = answer.json()["data"]
    assert [plan["id"] for plan in plans] == ["free", "premium", "pro"]
    assert plans[0]["price"] is None
    assert plans[1]["price"] == {"amount": 499, "currency": "eur"}
    again = await caller.get("/plans", If_None_Match=answer.headers["etag"])
    assert (again.status_code, again.content) == (304, b"")


async def test_nothing_was_ever_bought(caller):
    assert (await caller.get(PATH)).json() == {
        "guild_id": str(GUILD),
        "plan": "free",
        "state": "none",
        "grant_id": None,
        "ends_at": None,
        "grants": [],
    }


async def test_a_trial_once_for_each_guild_and_person(caller, clock):
    begun = await caller.post(PATH + "/trial", {"user_id": str(USER)})
    assert begun.status_code == 201
    assert (begun.json()["plan"], begun.json()["state"]) == ("premium", "trialing")
    assert begun.json()["ends_at"] == "2026-06-08T12:00:00Z"
    assert problem(await caller.post(PATH + "/trial", {"user_id": "5"})) == "trial-used"
    assert problem(await caller.post(f"/guilds/{OTHER}/subscription/trial", {"user_id": str(USER)})) == "trial-used"
    clock.now = NOW + timedelta(days=7)
    over = (await caller.get(PATH)).json()
    assert (over["plan"], over["state"], over["grant_id"]) == ("free", "expired", None)


async def test_granted_changed_canceled_resumed_and_over(caller, clock):
    made = await caller.post(PATH, MONTH)
    assert made.status_code == 201
    assert made.json()["grants"][0]["valid_until"] == "2026-07-03T22:00:00Z"
    assert made.headers["etag"] == (await caller.get(PATH)).headers["etag"]

    upgraded = await caller.patch(PATH, {"plan": "pro"}, If_Match=made.headers["etag"])
    assert (upgraded.status_code, upgraded.json()["plan"]) == (200, "pro")
    lesser = await caller.patch(PATH, {"plan": "premium"}, If_Match=upgraded.headers["etag"])
    assert (lesser.json()["plan"], lesser.json()["grants"][0]["next_plan"]) == ("pro", "premium")

    canceled = await caller.post(PATH + "/cancel", {"when": "period_end"})
    assert (canceled.json()["plan"], canceled.json()["state"]) == ("pro", "canceling")
    resumed = await caller.post(PATH + "/resume")
    assert resumed.json()["state"] == "active"
    assert problem(await caller.post(PATH + "/resume")) == "subscription-state"

    clock.now = NOW + timedelta(days=30)
    assert (await caller.get(PATH)).json()["state"] == "past_due"
    ended = await caller.post(PATH + "/cancel", {"when": "now"})
    assert (ended.json()["plan"], ended.json()["state"]) == ("free", "expired")
    assert problem(await caller.post(PATH + "/cancel", {"when": "now"})) == "subscription-state"

    kinds = [event["kind"] for event in (await caller.get(PATH + "/events")).json()["data"]]
    assert kinds == ["revoke", "resume", "cancel", "downgrade", "upgrade", "activate"]


async def test_a_downgrade_that_waits_is_taken_back(caller, clock):
    """By the plan that the guild has."""
    made = await caller.post(PATH, {**MONTH, "plan": "pro"})
    lesser = await caller.patch(PATH, {"plan": "premium"}, If_Match=made.headers["etag"])
    kept = await caller.patch(PATH, {"plan": "pro"}, If_Match=lesser.headers["etag"])
    assert (kept.status_code, kept.json()["grants"][0]["next_plan"]) == (200, None)
    clock.now = NOW + timedelta(days=30)
    assert (await caller.get(PATH)).json()["plan"] == "pro"


async def test_what_is_asked_comes_after_what_a_fast_clock_wrote(caller, pool):
    await caller.post(PATH, MONTH)
    fast = Event("fast", Kind.CANCEL, NOW + timedelta(seconds=5))
    await record(pool, GUILD, Source.MANUAL, str(GUILD), fast, now=NOW)
    over = Event("over", Kind.ACTIVATE, NOW - timedelta(days=30), PlanId.PREMIUM, NOW)
    await record(pool, GUILD, Source.STRIPE, "sub", over, now=NOW)
    assert (await caller.post(PATH + "/resume")).json()["state"] == "active"


async def test_it_is_renewed_but_not_changed_by_a_post(caller):
    await caller.post(PATH, MONTH)
    renewed = await caller.post(PATH, {**MONTH, "ends_at": "2026-08-01T00:00:00Z"})
    assert (renewed.status_code, renewed.json()["ends_at"]) == (200, "2026-08-01T00:00:00Z")
    assert problem(await caller.post(PATH, {"plan": "pro"})) == "subscription-state"


async def test_what_was_not_read_is_not_changed(caller):
    made = await caller.post(PATH, MONTH)
    assert problem(await caller.patch(PATH, {"plan": "pro"})) == "precondition-required"
    for wrong in ('"x"', "W/" + made.headers["etag"], made.headers["etag"].strip('"')):
        assert problem(await caller.patch(PATH, {"plan": "pro"}, If_Match=wrong)) == "precondition-failed"
    assert (await caller.get(PATH)).json()["plan"] == "premium"
    assert (await caller.patch(PATH, {"plan": "pro"}, If_Match="*")).json()["plan"] == "pro"


async def test_of_two_changes_at_once_one_is_done(caller, pool):
    tag = (await caller.post(PATH, MONTH)).headers["etag"]
    both = await asyncio.gather(*(caller.patch(PATH, {"plan": "pro"}, If_Match=tag) for _ in range(2)))
    assert sorted(each.status_code for each in both) == [200, 412]
    assert len((await caller.get(PATH + "/events")).json()["data"]) == 2


async def test_what_a_seller_sells_is_theirs_to_change(caller, pool):
    event = Event("e1", Kind.ACTIVATE, NOW - timedelta(days=1), PlanId.PREMIUM)
    await record(pool, GUILD, Source.DISCORD, "77", event, now=NOW)
    seen = await caller.get(PATH)
    assert seen.json()["grant_id"] == "discord:77"
    for answer in (
        await caller.patch(PATH, {"plan": "pro"}, If_Match=seen.headers["etag"]),
        await caller.post(PATH + "/cancel", {"when": "now"}),
        await caller.post(PATH + "/resume"),
    ):
        assert problem(answer) == "subscription-managed-elsewhere"


async def test_the_same_request_is_done_once(caller, clock):
    first = await caller.post(PATH, MONTH, Idempotency_Key="order-1234")
    clock.now = NOW + timedelta(hours=1)
    again = await caller.post(PATH, MONTH, Idempotency_Key="order-1234")
    assert (again.status_code, again.content, again.headers["etag"]) == (201, first.content, first.headers["etag"])
    assert (first.headers.get("idempotent-replayed"), again.headers["idempotent-replayed"]) == (None, "true")
    assert len((await caller.get(PATH + "/events")).json()["data"]) == 1
    other = await caller.post(PATH, {"plan": "pro"}, Idempotency_Key="order-1234")
    assert problem(other) == "idempotency-key-reused"
    elsewhere = await caller.post(f"/guilds/{OTHER}/subscription", MONTH, Idempotency_Key="order-1234")
    assert problem(elsewhere) == "idempotency-key-reused"


async def test_a_refusal_is_repeated_too(caller):
    first = await caller.post(PATH + "/resume", Idempotency_Key="order-1234")
    await caller.post(PATH, MONTH)
    again = await caller.post(PATH + "/resume", Idempotency_Key="order-1234")
    assert problem(first) == "subscription-state"
    assert again.content == first.content
    assert again.headers["idempotent-replayed"] == "true"


async def test_a_request_in_hand_is_not_begun_again(caller, pool):
    async def hold() -> None:
        await pool.execute(
            "insert into idempotency (key_id, key, fingerprint, locked_until, expires_at)"
            " select $1, 'order-1234', fingerprint, $2, $3 from idempotency where key = 'order-0000'",
            caller.key.id,
            NOW + timedelta(seconds=30),
            NOW + timedelta(days=1),
        )

    await caller.post(PATH, MONTH, Idempotency_Key="order-0000")
    await hold()
    running = await caller.post(PATH, MONTH, Idempotency_Key="order-1234")
    assert problem(running) == "still-running"
    assert running.headers["retry-after"] == "1"


@pytest.mark.parametrize("key", [None, "short", "x" * 129, "with space here", "ümläut-is-none"])
async def test_a_post_needs_its_key(caller, key):
    named = {"no_key": "1"} if key is None else {"Idempotency_Key": key.encode()}
    assert problem(await caller.post(PATH, MONTH, **named)) == "idempotency-key-missing"


async def test_events_come_in_pages(caller):
    await caller.post(PATH, MONTH)
    for _ in range(2):
        await caller.post(PATH + "/cancel", {"when": "period_end"})
        await caller.post(PATH + "/resume")
    seen, cursor = [], ""
    while cursor is not None:
        page = (await caller.get(PATH + "/events?limit=2" + (f"&cursor={cursor}" if cursor else ""))).json()
        seen += [event["kind"] for event in page["data"]]
        cursor = page["next_cursor"]
    assert seen == ["resume", "cancel", "resume", "cancel", "activate"]


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({"plan": "free"}, "invalid"),
        ({"plan": "premium", "ends_at": "2026-07-01T00:00:00"}, "invalid"),
        ({"plan": "premium", "ends_at": "tomorrow"}, "invalid"),
        ({"plan": "premium", "user_id": 5}, "invalid"),
        ({"plan": "premium", "user_id": "9223372036854775808"}, "invalid"),
        ({"plan": "premium", "colour": "red"}, "invalid"),
        ([], "invalid"),
        ({"plan": "premium", "ends_at": "2026-06-01T12:00:00Z"}, "end-not-in-reach"),
        ({"plan": "premium", "ends_at": "9999-12-31T23:59:59-12:00"}, "end-not-in-reach"),
    ],
)
async def test_what_does_not_fit_is_refused(caller, body, kind):
    assert problem(await caller.post(PATH, body)) == kind
    assert (await caller.get(PATH + "/events")).json()["data"] == []


async def test_other_processes_hear_of_it(caller, redis_client):
    pubsub = redis_client.pubsub()
    await pubsub.subscribe("tonearm:terms")
    await pubsub.parse_response(block=True)
    await caller.post(PATH, MONTH)
    async with asyncio.timeout(5):
        assert (await pubsub.parse_response(block=True))[2] == str(GUILD).encode()
    await pubsub.aclose()

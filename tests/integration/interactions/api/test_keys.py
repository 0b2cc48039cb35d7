"""Who may come in, how often, and the keys themselves."""

from datetime import timedelta

import pytest

from tests.support.api.serving import GUILD, NOW, OTHER, Caller, make_caller, problem, serving
from tonearm.telemetry import API_UNLIMITED


async def test_without_a_key_nothing_opens(api, pool):
    for secret in (None, "tnk_live_nothing", "x", "tnk_live_" + "ä" * 5):
        refused = await Caller(api, None).get(
            "/plans", **({"Authorization": f"Bearer {secret}".encode()} if secret else {})
        )
        assert (refused.status_code, problem(refused)) == (401, "unauthenticated")
        assert refused.headers["www-authenticate"].startswith("Bearer")


async def test_a_key_opens_until_it_is_revoked_or_has_expired(api, pool, clock, caller):
    other = await make_caller(api, pool, ["premium:read"], expires_at=NOW + timedelta(days=1))
    assert (await other.get("/plans")).status_code == 200
    clock.now = NOW + timedelta(days=1)
    assert problem(await other.get("/plans")) == "unauthenticated"
    clock.now = NOW
    assert (await caller.ask("DELETE", f"/keys/{other.key.id}")).status_code == 204
    assert problem(await other.get("/plans")) == "unauthenticated"
    assert (await caller.ask("DELETE", f"/keys/{other.key.id}")).status_code == 204


async def test_the_last_use_is_noted(api, pool, caller):
    assert (await caller.get("/plans")).status_code == 200
    (mine,) = (await caller.get("/keys")).json()["data"]
    assert mine["last_used_at"] == "2026-06-01T12:00:00Z"


async def test_a_key_is_shown_once_and_kept_nowhere(api, pool, caller):
    wish = {
        "name": "shop",
        "scopes": ["premium:write"],
        "guild_ids": [str(GUILD)],
        "expires_at": "2026-07-01T00:00:00Z",
    }
    made = await caller.post("/keys", wish, Idempotency_Key="the-first-key")
    again = await caller.post("/keys", wish, Idempotency_Key="the-first-key")
    assert made.status_code == again.status_code == 201
    secret = made.json()["secret"]
    assert secret.startswith("tnk_live_")
    assert again.json() == {**made.json(), "secret": None}
    assert again.headers["idempotent-replayed"] == "true"
    assert "idempotent-replayed" not in made.headers
    rows = await pool.fetch_rows("select body, headers from idempotency")
    keys = await pool.fetch_rows("select hash, hint from api_keys")
    assert secret.encode() not in b"".join(bytes(row["body"]) for row in rows)
    assert all(secret not in row["hint"] and secret.encode() not in row["hash"] for row in keys)
    assert (await Caller(api, secret).get(f"/guilds/{OTHER}/subscription")).status_code == 403


@pytest.mark.parametrize(
    ("wish", "kind"),
    [
        ({"name": "x", "scopes": ["music:read"]}, "beyond-own-reach"),
        ({"name": "x", "scopes": ["keys:*"], "guild_ids": [str(OTHER)]}, "beyond-own-reach"),
        ({"name": "x", "scopes": ["keys:read"], "expires_at": "2026-05-01T00:00:00Z"}, "end-not-in-reach"),
        ({"name": "x", "scopes": ["keys:read"], "expires_at": "0001-01-01T00:00:00+14:00"}, "end-not-in-reach"),
        ({"name": "x", "scopes": ["all"]}, "invalid"),
        ({"name": "x", "scopes": []}, "invalid"),
        ({"name": "x", "scopes": ["keys:read"], "colour": "red"}, "invalid"),
    ],
)
async def test_a_key_can_give_no_more_than_it_has(api, pool, wish, kind):
    bound = await make_caller(api, pool, ["keys:*"], guilds=[GUILD])
    assert problem(await bound.post("/keys", wish)) == kind


async def test_what_it_gives_ends_with_it(api, pool):
    bound = await make_caller(api, pool, ["keys:*"], guilds=[GUILD], expires_at=NOW + timedelta(days=3))
    made = (await bound.post("/keys", {"name": "x", "scopes": ["keys:read"]})).json()
    assert (made["guild_ids"], made["expires_at"]) == ([str(GUILD)], "2026-06-04T12:00:00Z")


async def test_a_bound_key_sees_and_ends_only_those_within_its_guilds(api, pool, caller):
    bound = await make_caller(api, pool, ["keys:*"], guilds=[GUILD])
    others = await make_caller(api, pool, ["keys:*"], guilds=[GUILD, OTHER])
    seen = {each["id"] for each in (await bound.get("/keys")).json()["data"]}
    assert seen == {bound.key.id}
    for hidden in (caller, others):
        assert problem(await bound.ask("DELETE", f"/keys/{hidden.key.id}")) == "not-found"
    assert len((await caller.get("/keys")).json()["data"]) == 3


async def test_pages_lead_to_the_next(api, pool, caller):
    for _ in range(4):
        await make_caller(api, pool)
    seen, address = [], "/keys?limit=2"
    while address:
        page = await caller.get(address)
        seen += [each["id"] for each in page.json()["data"]]
        link = page.headers.get("link")
        address = link and link.split(">")[0].removeprefix("</api/v1")
        assert (link is None) == (page.json()["next_cursor"] is None)
    assert len(seen) == 5
    assert seen == sorted(seen)


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "limit=x", "cursor=", "page=2", "limit=1&limit=2"])
async def test_a_query_that_does_not_fit_is_refused(caller, query):
    assert problem(await caller.get(f"/keys?{query}")) == "invalid"


@pytest.mark.parametrize("cursor", ["%00", "ä", "0", "a2V5_", "====", "AA", "a2V5AA", "Cg"])
async def test_a_cursor_that_nobody_gave_out_leads_nowhere(caller, cursor):
    assert problem(await caller.get(f"/keys?cursor={cursor}")) == "not-found"


async def test_a_rate_is_kept_and_told(database_url, redis_url, pool):
    async with serving(database_url, redis_url, api_requests_per_minute=3) as http:
        caller = await make_caller(http, pool)
        answers = [await caller.get("/plans") for _ in range(4)]
    assert [each.status_code for each in answers] == [200, 200, 200, 429]
    assert [each.headers["ratelimit"].split(";")[1] for each in answers] == ["r=2", "r=1", "r=0", "r=0"]
    assert answers[0].headers["ratelimit-policy"] == '"key";q=3;w=60'
    assert problem(answers[3]) == "too-many-requests"
    assert 1 <= int(answers[3].headers["retry-after"]) <= 20


async def test_where_redis_is_away_nobody_counts(database_url, pool):
    before = API_UNLIMITED._value.get()
    async with serving(database_url, "redis://127.0.0.1:1", listening=False) as http:
        caller = await make_caller(http, pool)
        answer = await caller.get("/plans")
    assert answer.status_code == 200
    assert "ratelimit" not in answer.headers
    assert API_UNLIMITED._value.get() == before + 1

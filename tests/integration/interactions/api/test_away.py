"""A store that is away or hangs, and requests that are too much: a sentence, in time, and nothing half done."""

import asyncio
import time

import pytest

from tests.support.api.serving import GUILD, Caller, make_caller, problem, serving


@pytest.fixture
async def hanging():
    """A port that takes connections and never says anything."""
    writers = []
    server = await asyncio.start_server(lambda _, writer: writers.append(writer), "127.0.0.1", 0)
    yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    for writer in writers:
        writer.close()
    server.close()


async def timed(asking):
    began = time.monotonic()
    answer = await asking
    assert time.monotonic() - began < 2.5
    return answer


async def test_the_database_is_away_or_hangs(redis_url, hanging):
    for place in ("127.0.0.1:1", hanging):
        async with serving(f"postgresql://me@{place}/x", redis_url) as http:
            caller = Caller(http, "tnk_live_" + "x" * 43)
            for answer in (
                await timed(caller.get("/plans")),
                await timed(caller.post("/music/pause", {"guild_id": "1", "actor": "2"})),
            ):
                assert (answer.status_code, problem(answer)) == (503, "database-away")
                assert answer.headers["retry-after"] == "5"


async def test_redis_is_away_or_hangs(database_url, pool, hanging):
    for place in ("127.0.0.1:1", hanging):
        async with serving(database_url, f"redis://{place}", listening=False) as http:
            caller = await make_caller(http, pool)
            wish = {"guild_id": str(GUILD), "actor": "2", "voice_channel_id": "3"}
            for answer in (
                await timed(caller.get(f"/guilds/{GUILD}/player")),
                await timed(caller.post("/music/pause", wish, Prefer="wait=2")),
                await timed(caller.get(f"/guilds/{GUILD}/events")),
            ):
                assert (answer.status_code, problem(answer)) == (503, "memory-away")
            granted = await timed(caller.post(f"/guilds/{GUILD}/subscription", {"plan": "pro"}))
            assert granted.json()["plan"] == "pro"
    assert await pool.fetch_rows("select 1 from idempotency where status is null") == []


async def test_too_much_is_refused(api, caller):
    long = await caller.post("/keys", {"name": "x" * 70_000, "scopes": ["keys:read"]})
    assert problem(long) == "too-large"
    assert problem(await caller.get("/plans", X_Long="x" * 17_000)) == "headers-too-large"
    form = await api.post(
        "/api/v1/keys",
        data={"name": "x"},
        headers={"Authorization": f"Bearer {caller.secret}", "Idempotency-Key": "form-0001"},
    )
    assert problem(form) == "unsupported-media-type"


@pytest.mark.parametrize("name", ["Authorization", "Idempotency-Key", "Content-Type", "Last-Event-ID"])
async def test_a_header_that_two_could_read_differently_is_refused(api, caller, name):
    given = {"Authorization": f"Bearer {caller.secret}", "Idempotency-Key": "wish-0001", "Content-Type": "text/plain"}
    answer = await api.get("/api/v1/plans", headers=[*given.items(), (name, "one"), (name, "two")])
    assert (answer.status_code, problem(answer)) == (422, "invalid")


async def test_what_is_not_there(api, caller):
    for path in ("/nothing", f"/guilds/{GUILD}", "/guilds/0/player", "/guilds/x/player", "/plans/"):
        assert problem(await caller.get(path)) == "not-found"
    wrong = await caller.ask("PUT", "/plans")
    assert (problem(wrong), wrong.headers["allow"]) == ("method-not-allowed", "GET, HEAD")


async def test_browsers_of_others_may_not_unless_the_operator_says_so(database_url, redis_url, pool):
    ours, theirs = "https://shop.example", "https://other.example"
    preflight = {"Access-Control-Request-Method": "GET"}
    async with serving(database_url, redis_url, api_cors_origins=ours) as http:
        allowed = await http.options("/api/v1/plans", headers={"Origin": ours, **preflight})
        assert (allowed.status_code, allowed.headers["access-control-allow-origin"]) == (204, ours)
        refused = await http.options("/api/v1/plans", headers={"Origin": theirs, **preflight})
        assert "access-control-allow-origin" not in refused.headers
        assert (await http.get("/api/v1/plans", headers={"Origin": ours})).headers["vary"] == "Origin"
    async with serving(database_url, redis_url) as http:
        none = await http.get("/api/v1/plans", headers={"Origin": ours})
        assert "access-control-allow-origin" not in none.headers


async def test_what_breaks_is_written_down_and_not_shown(api, caller, monkeypatch, caplog):
    async def broken(*_, **__):
        raise RuntimeError("a secret detail")

    monkeypatch.setattr(api.app.state.parts.memory, "fetch_queue", broken)
    answer = await caller.get(f"/guilds/{GUILD}/player")
    assert (answer.status_code, problem(answer)) == (500, "internal")
    assert "secret" not in answer.text
    assert answer.json()["request_id"] in answer.json()["detail"]
    assert "a secret detail" in caplog.text


async def test_the_document_and_the_page_need_no_key(api):
    document = await api.get("/api/v1/openapi.json")
    assert document.json()["openapi"] == "3.1.0"
    page = await api.get("/api/v1/docs")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.headers["content-security-policy"].startswith("default-src 'none'")

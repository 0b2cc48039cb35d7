"""PostgreSQL dead, or frozen with all its connections.

Music goes on, the rest is a sentence in time, nothing is done by halves, and when it is back all is as before.
"""

import asyncio
import time
from datetime import timedelta

import pytest

from tests.support.api.serving import CHANNEL, GUILD, USER, Caller, make_caller, problem, serving
from tests.support.scenes import busy
from tonearm.keyring import AT_MOST, AWAY
from tonearm.music.change import Change
from tonearm.postgres import grants
from tonearm.postgres.api_keys import fetch_keys
from tonearm.postgres.guild_settings import fetch_versioned
from tonearm.postgres.idempotency import LEASE
from tonearm.postgres.pool import Pool
from tonearm.redis import keys

WISH = {"guild_id": str(GUILD), "actor": str(USER)}
PLAY = {**WISH, "voice_channel_id": str(CHANNEL), "query": "a song"}
SUBSCRIPTION, SETTINGS = f"/guilds/{GUILD}/subscription", f"/guilds/{GUILD}/settings"
IN_TIME = 2.5
"""Seconds within which everything is answered."""


@pytest.fixture
async def caller(database, redis_url, clock):
    """Who has used the API before."""
    async with serving(database.url, redis_url, clock=clock) as http:
        async with Pool(database.url, timeout=5) as pool:
            caller = await make_caller(http, pool)
        assert (await caller.get("/plans")).status_code == 200
        yield caller


async def timed(asking):
    began = time.monotonic()
    answer = await asking
    assert time.monotonic() - began < IN_TIME
    return answer


async def test_music_goes_on_and_each_wish_is_one_job(database, caller, node):
    await node.put(GUILD, Change(busy(voice_channel=CHANNEL), "play"))
    await database.fail()
    first = await timed(caller.post("/music/play", PLAY, Idempotency_Key="wish-0001"))
    again = await timed(caller.post("/music/play", PLAY, Idempotency_Key="wish-0001"))
    assert (first.status_code, again.json()) == (202, first.json())
    others = {"seek": {"position_ms": 1}, "volume": {"volume": 30}}
    for name in ("pause", "resume", "skip", "stop", "seek", "volume"):
        assert (await timed(caller.post(f"/music/{name}", {**WISH, **others.get(name, {})}))).status_code == 202
    assert await node.redis.xlen(keys.jobs(0)) == 7
    address = first.headers["location"].removeprefix("/api/v1")
    reads = (f"/guilds/{GUILD}/player", f"/guilds/{GUILD}/queue", f"/guilds/{GUILD}/events", "/plans", address)
    for path in reads:
        assert (await timed(caller.get(path))).status_code == 200, path
    await database.recover()
    later = await caller.post("/music/play", PLAY, Idempotency_Key="wish-0001")
    assert later.json()["id"] == first.json()["id"]
    assert await node.redis.xlen(keys.jobs(0)) == 7


async def test_what_needs_the_database_says_so_in_time_and_is_not_done_by_halves(database, caller, clock):
    settings = await caller.get(SETTINGS)
    wishes = {
        "grant": ("POST", SUBSCRIPTION, {"plan": "pro"}, {"Idempotency_Key": "wish-0001"}),
        "trial": ("POST", SUBSCRIPTION + "/trial", {"user_id": "5"}, {"Idempotency_Key": "wish-0002"}),
        "key": ("POST", "/keys", {"name": "x", "scopes": ["keys:read"]}, {"Idempotency_Key": "wish-0003"}),
        "settings": ("PATCH", SETTINGS, {"default_volume": 30}, {"If_Match": settings.headers["etag"]}),
        "revoke": ("DELETE", "/keys/key_none", None, {}),
        "read": ("GET", SUBSCRIPTION, None, {}),
        "events": ("GET", SUBSCRIPTION + "/events", None, {}),
        "keys": ("GET", "/keys", None, {}),
    }
    await database.fail()
    for what, (method, path, body, headers) in wishes.items():
        answer = await timed(caller.ask(method, path, json=body, **headers))
        assert (answer.status_code, problem(answer)) == (503, "database-away"), what
        assert answer.headers["retry-after"] == "5"
        assert "ETag" not in answer.headers
    await database.recover()
    async with Pool(database.url, timeout=5) as pool:
        assert await grants.fetch_events(pool, GUILD) == ()
        assert (await fetch_versioned(pool, GUILD)).version == 0
        assert [key.id for key in await fetch_keys(pool)] == [caller.key.id]
        # Asked again with the same keys, it is done, once: at once, or when the lease of the first one is over.
        clock.now += LEASE
        del wishes["trial"]
        for what, (method, path, body, headers) in wishes.items():
            answer = await caller.ask(method, path, json=body, **headers)
            assert answer.status_code in ((404,) if what == "revoke" else (200, 201)), (what, answer.text)
        assert len(await grants.fetch_events(pool, GUILD)) == 1
        assert (await fetch_versioned(pool, GUILD)).version == 1
        assert len(await fetch_keys(pool)) == 2


async def test_who_is_known_is_let_in_for_a_bounded_time_and_a_stranger_is_not(database, caller, clock):
    stranger = Caller(caller.http, "tnk_live_" + "x" * 43)
    await database.fail()
    assert problem(await timed(stranger.get("/plans"))) == "database-away"
    clock.now += AT_MOST - timedelta(seconds=1)
    assert (await timed(caller.get("/plans"))).status_code == 200
    clock.now += timedelta(seconds=1)
    assert problem(await timed(caller.get("/plans"))) == "database-away"
    await database.recover()
    clock.now += AWAY
    async with asyncio.timeout(10):
        while (await caller.get("/plans")).status_code != 200:
            clock.now += AWAY
    assert problem(await stranger.get("/plans")) == "unauthenticated"

"""Keys of the API, and requests that are done once."""

import asyncio
from datetime import UTC, datetime, timedelta

import asyncpg

from tonearm.postgres import api_keys, idempotency
from tonearm.postgres.idempotency import Begun, Kept, Standing, fingerprint
from tonearm.postgres.pool import Pool

T0 = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
PRINT = fingerprint("POST", "/api/v1/keys", b"{}")


async def test_a_key_opens_with_its_secret_alone(pool: Pool, database_url: str) -> None:
    made = await api_keys.create_key(
        pool, "shop", ["premium:read", "premium:write"], guilds=[5, 2**62], expires_at=T0 + DAY, now=T0
    )
    assert made.secret.startswith("tnk_live_")
    assert len(made.secret) > 50
    assert await api_keys.fetch_key(pool, api_keys.hash_key(made.secret)) == made.key
    assert await api_keys.fetch_key(pool, api_keys.hash_key(made.secret[:-1])) is None
    assert (made.key.scopes, made.key.guilds) == ({"premium:read", "premium:write"}, {5, 2**62})
    connection = await asyncpg.connect(database_url)
    try:
        row = await connection.fetchval("select api_keys::text from api_keys")
    finally:
        await connection.close()
    assert made.secret not in row
    assert made.secret[9:30] not in row


async def test_a_key_ends_by_time_or_by_hand(pool: Pool) -> None:
    key = (await api_keys.create_key(pool, "a", [], expires_at=T0 + DAY, now=T0)).key
    assert key.is_valid(T0)
    assert not key.is_valid(T0 + DAY)
    for later in range(2):
        revoked = await api_keys.revoke_key(pool, key.id, T0 + later * DAY)
        assert revoked is not None
        assert (revoked.hash, revoked.revoked_at) == (key.hash, T0)
    assert await api_keys.revoke_key(pool, "key_none", T0) is None
    (kept,) = await api_keys.fetch_keys(pool)
    assert not kept.is_valid(T0)


async def test_a_key_is_for_all_guilds_or_for_some(pool: Pool) -> None:
    every = (await api_keys.create_key(pool, "a", [], now=T0)).key
    none = (await api_keys.create_key(pool, "b", [], guilds=[], now=T0)).key
    assert every.is_for(7)
    assert not none.is_for(7)


async def test_the_last_use_is_known_to_a_minute(pool: Pool) -> None:
    made = await api_keys.create_key(pool, "a", [], now=T0)
    seen = []
    for seconds in (0, 59, 60):
        key = await api_keys.fetch_key(pool, made.key.hash)
        assert key is not None
        await api_keys.touch_key(pool, key, T0 + timedelta(seconds=seconds))
        after = await api_keys.fetch_key(pool, made.key.hash)
        assert after is not None
        seen.append(after.last_used_at)
    assert seen == [T0, T0, T0 + timedelta(seconds=60)]


async def test_keys_come_in_pages(pool: Pool) -> None:
    made = {(await api_keys.create_key(pool, str(number), [], now=T0)).key.id for number in range(5)}
    seen: list[str] = []
    while page := await api_keys.fetch_keys(pool, after=seen[-1] if seen else "", most=2):
        seen += [key.id for key in page]
    assert set(seen) == made
    assert seen == sorted(seen)


async def test_of_keys_only_those_within_reach_are_found(pool: Pool) -> None:
    for name, guilds in (("all", None), ("both", [1, 2]), ("first", [1]), ("third", [3])):
        await api_keys.create_key(pool, name, [], guilds=guilds, now=T0)
    everything = await api_keys.fetch_keys(pool)
    found = await api_keys.fetch_keys(pool, within=[2, 1])
    assert {key.name for key in everything} == {"all", "both", "first", "third"}
    assert {key.name for key in found} == {"both", "first"}
    assert {key.name for key in everything if await api_keys.is_within_reach(pool, key.id, [1, 2])} == {"both", "first"}
    assert all([await api_keys.is_within_reach(pool, key.id, None) for key in everything])
    assert not await api_keys.is_within_reach(pool, "key_none", None)


async def test_a_request_is_done_once_and_answered_again(pool: Pool) -> None:
    begun = await asyncio.gather(*(idempotency.begin(pool, "key_1", "abc", PRINT, now=T0) for _ in range(5)))
    assert sorted(one.standing for one in begun) == [Standing.NEW] + [Standing.RUNNING] * 4
    await idempotency.finish(pool, "key_1", "abc", status=201, headers={"etag": '"1"'}, body=b"\x00{}")
    again = await idempotency.begin(pool, "key_1", "abc", PRINT, now=T0 + DAY / 2)
    assert again == Begun(Standing.DONE, Kept(201, {"etag": '"1"'}, b"\x00{}"))


async def test_a_key_means_one_request_of_one_caller(pool: Pool) -> None:
    await idempotency.begin(pool, "key_1", "abc", PRINT, now=T0)
    other = fingerprint("POST", "/api/v1/keys", b"{ }")
    assert (await idempotency.begin(pool, "key_1", "abc", other, now=T0)).standing is Standing.OTHER
    assert (await idempotency.begin(pool, "key_2", "abc", other, now=T0)).standing is Standing.NEW
    assert fingerprint("POST", "/a", b"b") != fingerprint("POST", "/", b"ab")


async def test_what_nobody_finished_can_be_done_again(pool: Pool) -> None:
    await idempotency.begin(pool, "k", "died", PRINT, now=T0)
    late = T0 + idempotency.LEASE
    assert (await idempotency.begin(pool, "k", "died", PRINT, now=late)).standing is Standing.NEW
    await idempotency.begin(pool, "k", "gave up", PRINT, now=T0)
    await idempotency.abandon(pool, "k", "gave up")
    assert (await idempotency.begin(pool, "k", "gave up", PRINT, now=T0)).standing is Standing.NEW


async def test_after_a_day_a_key_is_free(pool: Pool) -> None:
    await idempotency.begin(pool, "k", "abc", PRINT, now=T0)
    await idempotency.finish(pool, "k", "abc", status=200, headers={}, body=b"")
    await idempotency.abandon(pool, "k", "abc")  # too late
    await idempotency.remove_expired(pool, T0 + DAY - timedelta(seconds=1))
    assert (await idempotency.begin(pool, "k", "abc", PRINT, now=T0 + DAY / 2)).standing is Standing.DONE
    other = fingerprint("POST", "/else", b"")
    assert (await idempotency.begin(pool, "k", "abc", other, now=T0 + DAY)).standing is Standing.NEW

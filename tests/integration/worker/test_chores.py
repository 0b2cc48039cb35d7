"""Keeping house: what is archived, what is deleted, and when."""

from datetime import timedelta

import pytest

from tonearm.aws.places import DEAD_LETTERS, EXPORTS, key_of
from tonearm.aws.store import Store
from tonearm.errors import StorageAway
from tonearm.jobs.job import DeadLetter, decode_dead, encode
from tonearm.music.guild_settings import GuildSettings
from tonearm.postgres import grants, leaving
from tonearm.postgres.guild_settings import fetch_guild_settings, save_guild_settings
from tonearm.redis import keys
from tonearm.redis.dead import fetch_dead
from tonearm.worker import chores
from tonearm.worker.rounds import Round, do_round

GUILD = 7 << 22


async def test_a_guild_that_left_is_forgotten_after_thirty_days_and_not_before(pool, redis_client, cache, clock):
    await save_guild_settings(pool, GUILD, GuildSettings(default_volume=50))
    await grants.start_trial(pool, GUILD, "discord:1", now=clock())
    await redis_client.zadd(keys.DEPARTED, {str(GUILD): int(clock().timestamp() * 1000)})
    clock.forward(days=29)
    assert await chores.forget_departed(pool, redis_client, cache, clock()) == ()
    assert (await fetch_guild_settings(pool, GUILD)).default_volume == 50
    clock.forward(days=2)
    assert await chores.forget_departed(pool, redis_client, cache, clock()) == (GUILD,)
    assert (await fetch_guild_settings(pool, GUILD)).default_volume == 100
    assert await grants.fetch_grants(pool, GUILD) == ()
    assert await grants.fetch_events(pool, GUILD) == ()
    assert await chores.forget_departed(pool, redis_client, cache, clock()) == ()


async def test_who_invites_it_again_keeps_everything(pool, redis_client, cache, clock):
    await save_guild_settings(pool, GUILD, GuildSettings(default_volume=50))
    await redis_client.zadd(keys.DEPARTED, {str(GUILD): int(clock().timestamp() * 1000)})
    await chores.forget_departed(pool, redis_client, cache, clock())
    await redis_client.zrem(keys.DEPARTED, str(GUILD))
    clock.forward(days=40)
    assert await chores.forget_departed(pool, redis_client, cache, clock()) == ()
    assert (await fetch_guild_settings(pool, GUILD)).default_volume == 50


async def test_dead_letters_are_archived_once_each(pool, redis_client, clock):
    letter = DeadLetter("i:1", GUILD, "broken", int(clock().timestamp() * 1000))
    await redis_client.xadd(keys.dead(-1), {"d": encode(letter)})
    for _ in range(2):
        assert await chores.archive_dead(pool, redis_client, (0, -1)) == 1
    assert len(await pool.fetch_rows("select id from dead_jobs")) == 1
    await leaving.remove_archived(pool, clock() + timedelta(days=1))
    assert await pool.fetch_rows("select id from dead_jobs") == []


async def test_old_dead_letters_move_to_the_bucket_and_come_back_from_nowhere(pool, redis_client, bucket, clock):
    def letter(n, guild=GUILD, days=0):
        return DeadLetter(f"i:{n}", guild, "broken", int((clock() - timedelta(days=days)).timestamp() * 1000))

    old = [letter(1, days=40), letter(2, days=35), letter(3, 8 << 22, days=31)]
    for stream, each in zip((0, -1, 0, 0), (*old, letter(4)), strict=True):
        await redis_client.xadd(keys.dead(stream), {"d": encode(each)})
    await chores.archive_dead(pool, redis_client, (0, -1))
    before = clock() - timedelta(days=30)
    async with Store(bucket) as store:
        assert await chores.move_dead(pool, redis_client, store, (0, -1), before) == 3
        written = []
        for guild in (GUILD, 8 << 22):
            (key,) = await store.list_keys(DEAD_LETTERS, guild)
            written.append([decode_dead(line) for line in (await store.get(key, most=10**6)).splitlines()])
        assert written == [old[:2], old[2:]]
        await chores.archive_dead(pool, redis_client, (0, -1))
        assert [row["id"] for row in await pool.fetch_rows("select id from dead_jobs")] == ["i:4"]
        assert [len(await fetch_dead(redis_client, stream)) for stream in (0, -1)] == [1, 0]
        assert await chores.move_dead(pool, redis_client, store, (0, -1), before) == 0


async def test_dead_letters_stay_while_the_bucket_is_away(pool, redis_client, moto, clock):
    await redis_client.xadd(keys.dead(0), {"d": encode(DeadLetter("i:1", GUILD, "broken", 1))})
    await chores.archive_dead(pool, redis_client, (0,))
    async with Store("no-such-bucket") as store:
        with pytest.raises(StorageAway):
            await chores.move_dead(pool, redis_client, store, (0,), clock())
    assert len(await fetch_dead(redis_client, 0)) == 1
    assert len(await pool.fetch_rows("select id from dead_jobs")) == 1


async def test_what_a_guild_that_left_has_in_the_bucket_goes_with_it(pool, redis_client, cache, bucket, clock):
    await redis_client.zadd(keys.DEPARTED, {str(GUILD): int((clock() - timedelta(days=31)).timestamp() * 1000)})
    async with Store(bucket) as store:
        await store.put(key_of(EXPORTS, GUILD, "x"), b"{}")
        assert await chores.forget_departed(pool, redis_client, cache, clock(), store) == (GUILD,)
        assert await store.list_keys(EXPORTS, GUILD) == []


async def test_of_several_workers_one_has_the_turn(redis_client):
    done = []

    async def work():
        done.append(1)

    once = Round("work", 60.0, work)
    assert [await do_round(redis_client, owner, once) for owner in ("a", "b", "a")] == [True, False, False]
    assert len(done) == 1


async def test_a_round_that_fails_ends_nothing(redis_client):
    async def work():
        raise ZeroDivisionError

    assert not await do_round(redis_client, "a", Round("breaks", 60.0, work, shared=True))

"""Keeping house: what is archived, what is deleted, and when."""

from datetime import timedelta

from tonearm.jobs.job import DeadLetter, encode
from tonearm.music.guild_settings import GuildSettings
from tonearm.postgres import grants, leaving
from tonearm.postgres.guild_settings import fetch_guild_settings, save_guild_settings
from tonearm.redis import keys
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

"""A worker's stream: errands done once in effect, in order, whoever dies in between; answers on the usual way."""

import asyncio
import contextlib

import msgspec
import pytest

from tests.support.discord_api import DiscordApi, Interaction, deferred
from tests.support.interactions.signed import snowflake
from tests.support.metrics import counts
from tonearm.discord.rest import RestClient
from tonearm.errors import Refused
from tonearm.jobs.errand import ChangeSettings, ErrandJob, SetAlwaysOn, ShowPlan, StartTrial
from tonearm.jobs.job import Reply, decode_answer
from tonearm.postgres import grants
from tonearm.postgres.guild_settings import fetch_guild_settings
from tonearm.premium.plans import Shelf
from tonearm.redis import answers, keys, lease
from tonearm.redis.client import connect
from tonearm.redis.dead import fetch_dead
from tonearm.redis.handover import hand_over
from tonearm.worker.desk import Desk
from tonearm.worker.errands import Office

GUILD = 7 << 22
STREAM = keys.stream_of(GUILD)


def job(action, number=1, user=3, guild=GUILD):
    return ErrandJob(f"i:{number}", guild, user, 9, action, 20_000, Reply(1, "token", "reply:here", private=True))


class World:
    """What a desk needs, and what is heard of it."""

    def __init__(self, redis, intake, rest, office):
        self.redis, self.intake, self.rest, self.office = redis, intake, rest, office
        self.pubsub = redis.pubsub()

    @contextlib.asynccontextmanager
    async def desk(self, doer=None, owner="one", **options):
        desk = Desk(
            STREAM, owner, redis=self.redis, intake=self.intake, rest=self.rest, doer=doer or self.office, **options
        )
        task = asyncio.create_task(desk.run())
        try:
            async with asyncio.timeout(10):
                await desk.holding.wait()
            yield desk
        finally:
            if not task.done():
                desk.stop()
                async with asyncio.timeout(10):
                    await asyncio.gather(task, return_exceptions=True)

    async def listen(self):
        await self.pubsub.subscribe("reply:here")
        await self.pubsub.get_message(timeout=2)

    async def hand(self, job):
        return await hand_over(self.redis, job, shard_count=1, window_ms=800)

    async def heard(self):
        message = await self.pubsub.get_message(timeout=10)
        name, _, raw = message["data"].partition(b" ")
        return name.decode(), decode_answer(raw)


@pytest.fixture
async def world(redis_url, redis_client, pool, cache, clock):
    async with (
        connect(redis_url, timeout=2) as redis,
        connect(redis_url, timeout=4) as intake,
        RestClient("http://127.0.0.1:1", bot_token="t") as rest,
    ):
        world = World(redis, intake, rest, Office(pool, cache, shelf=Shelf(), clock=clock))
        await world.listen()
        yield world
        await world.pubsub.aclose()


async def test_without_a_worker_nothing_is_handed_over(world):
    with pytest.raises(Refused, match="Nobody is there"):
        await hand_over(world.redis, job(ShowPlan()), shard_count=1, window_ms=800)


async def test_a_trial_begins_once_and_the_answer_is_published(world, pool):
    async with world.desk():
        with counts("tonearm_subscription_events_total", kind="start_trial", outcome="changed"):
            await world.hand(job(StartTrial()))
            name, answer = await world.heard()
        assert name == "i:1"
        assert answer.private
        assert "Premium (trial)" in msgspec.json.encode(answer.message).decode()
        assert (await world.hand(job(StartTrial()))).again
    assert len(await grants.fetch_events(pool, GUILD)) == 1
    assert await world.redis.xlen(keys.jobs(STREAM)) == 0


async def test_who_died_between_database_and_answer_leaves_it_to_the_next(world, pool):
    done = asyncio.Event()

    class Dying:
        async def do(self, errand):
            await world.office.do(errand)
            done.set()
            await asyncio.Event().wait()

    dying = Desk(STREAM, "one", redis=world.redis, intake=world.intake, rest=world.rest, doer=Dying())
    task = asyncio.create_task(dying.run())
    async with asyncio.timeout(10):
        await dying.holding.wait()
    await world.hand(job(StartTrial()))
    async with asyncio.timeout(10):
        await done.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await world.redis.delete(keys.lease(STREAM))  # it runs out
    async with world.desk(owner="two"):
        name, answer = await world.heard()
    assert name == "i:1"
    assert "Premium (trial)" in msgspec.json.encode(answer.message).decode()
    assert len(await grants.fetch_events(pool, GUILD)) == 1


async def test_a_frozen_worker_commits_nothing_and_the_next_one_does_it_once(world, pool):
    begun, go = asyncio.Event(), asyncio.Event()

    class Slow:
        async def do(self, errand):
            begun.set()
            await go.wait()
            return await world.office.do(errand)

    async with world.desk(Slow()) as frozen:
        await world.hand(job(StartTrial()))
        await begun.wait()
        await world.redis.delete(keys.lease(STREAM))  # it runs out, and somebody else comes
        frozen._may_hold = lambda _: False
        async with world.desk(owner="two"):
            assert (await world.heard())[0] == "i:1"
            go.set()
            async with asyncio.timeout(10):
                await asyncio.gather(*frozen._tails.values(), return_exceptions=True)
        await world.redis.publish("reply:here", "i:end {}")
        message = await world.pubsub.get_message(timeout=10)
        assert message["data"] == b"i:end {}", "the frozen one answered too"
    assert len(await grants.fetch_events(pool, GUILD)) == 1


async def test_a_lost_connection_costs_no_lease(world, redis_client):
    async with world.desk():
        async with asyncio.timeout(5):
            while not (readers := [c for c in await redis_client.client_list() if c["cmd"] == "xreadgroup"]):  # noqa: ASYNC110
                await asyncio.sleep(0)
        await redis_client.client_kill_filter(_id=readers[0]["id"])
        await world.hand(job(ShowPlan()))
        async with asyncio.timeout(lease.LEASE_MS / 1000 / 2):
            assert (await world.heard())[0] == "i:1"


async def test_errands_of_a_guild_are_done_in_order(world, pool):
    async with world.desk():
        for number in range(1, 9):
            await world.hand(job(ChangeSettings(default_volume=number), number))
        names = [(await world.heard())[0] for _ in range(8)]
    assert names == [f"i:{number}" for number in range(1, 9)]
    assert (await fetch_guild_settings(pool, GUILD)).default_volume == 8


async def test_a_refusal_names_the_plan_and_changes_nothing(world, pool):
    async with world.desk():
        await world.hand(job(ChangeSettings(default_volume=150, idle_seconds=60)))
        _, answer = await world.heard()
    assert answer.private
    assert "**Premium**" in msgspec.json.encode(answer.message).decode()
    assert (await fetch_guild_settings(pool, GUILD)).idle_seconds == 900


async def test_24_7_is_the_setting_and_told_to_all(world, pool):
    async with world.desk():
        await world.hand(job(SetAlwaysOn(True)))
        _, refusal = await world.heard()
        await world.hand(job(StartTrial(), 2))
        await world.heard()
        await world.hand(job(SetAlwaysOn(True), 3))
        _, answer = await world.heard()
        assert (await fetch_guild_settings(pool, GUILD)).always_on
        await world.hand(job(ChangeSettings(always_on=False), 4))
        await world.heard()
    assert refusal.private
    assert "does not include 24/7" in msgspec.json.encode(refusal.message).decode()
    assert (answer.private, answer.lasting) == (False, True)
    assert "24/7 is on" in msgspec.json.encode(answer.message).decode()
    assert not (await fetch_guild_settings(pool, GUILD)).always_on


async def test_what_breaks_is_answered_kept_and_stands_in_nobodys_way(world):
    class Broken:
        async def do(self, errand):
            if errand.id == "i:1":
                raise ZeroDivisionError
            return await world.office.do(errand)

    async with world.desk(Broken()):
        await world.hand(job(ShowPlan()))
        assert "Something broke" in msgspec.json.encode((await world.heard())[1].message).decode()
        await world.redis.xadd(keys.jobs(STREAM), {"j": b'{"id":"i:3","guild":4'})
        await world.hand(job(ShowPlan(), 2))
        assert (await world.heard())[0] == "i:2"
    letters = [kept.letter for kept in await fetch_dead(world.redis, STREAM)]
    assert "ZeroDivisionError" in [letter.reason for letter in letters]
    assert len(letters) == 2
    assert b"token" not in msgspec.json.encode(letters)


async def test_a_database_that_is_away_is_a_sentence(world):
    class Away:
        async def do(self, errand):
            raise ConnectionRefusedError

    async with world.desk(Away()):
        await world.hand(job(ShowPlan()))
        _, answer = await world.heard()
    assert "my books" in msgspec.json.encode(answer.message).decode()


async def test_an_answer_after_a_deferral_is_edited_in(redis_url, pool, cache, clock, redis_client):
    go = asyncio.Event()

    class Late(Office):
        async def do(self, errand):
            await go.wait()
            return await super().do(errand)

    id = snowflake()
    async with DiscordApi() as api, RestClient(api.url, bot_token="t") as rest:
        api.interactions["token"] = Interaction(deferred(private=True))
        async with connect(redis_url, timeout=2) as redis, connect(redis_url, timeout=4) as intake:
            world = World(redis, intake, rest, Late(pool, cache, shelf=Shelf(), clock=clock))
            async with world.desk():
                await world.hand(job(ShowPlan(), id))
                assert await answers.claim(redis, STREAM, f"i:{id}") is None
                go.set()
                await api.received(1)
    assert api.calls() == ["PATCH @original"]
    assert api.complaints == []


async def test_an_answer_is_not_tried_again_once_the_lease_has_run_out(
    redis_url, pool, cache, clock, redis_client, monkeypatch
):
    go, attempt = asyncio.Event(), RestClient._attempt
    attempts = []

    class Late(Office):
        async def do(self, errand):
            await go.wait()
            return await super().do(errand)

    async def attempt_and_lose_the_lease(self, call, left):
        attempts.append(desk.holding.is_set())
        desk._until = 0.0
        return await attempt(self, call, left)

    monkeypatch.setattr(RestClient, "_attempt", attempt_and_lose_the_lease)
    id = snowflake()
    async with DiscordApi() as api, RestClient(api.url, bot_token="t") as rest:
        api.interactions["token"] = Interaction(deferred(private=True))
        api.faults.append(api.status(503))
        async with connect(redis_url, timeout=2) as redis, connect(redis_url, timeout=4) as intake:
            world = World(redis, intake, rest, Late(pool, cache, shelf=Shelf(), clock=clock))
            async with world.desk() as desk:
                await world.hand(job(ShowPlan(), id))
                assert await answers.claim(redis, STREAM, f"i:{id}") is None
                go.set()
                async with asyncio.timeout(10):
                    while desk.holding.is_set():  # noqa: ASYNC110 - it tells nobody when it lets the stream go
                        await asyncio.sleep(0.01)
                assert attempts == [True]

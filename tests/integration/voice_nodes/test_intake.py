"""Reading a shard's stream on a real Valkey: what was left behind first, then what comes, whatever happens to Redis."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
import redis.asyncio

from playground.stores.valkey import Valkey
from tests.support.voice_nodes import SHARD, Called, hand_over, make_job, running
from tonearm.jobs.job import encode
from tonearm.music.actions import Stop
from tonearm.redis import keys, lease
from tonearm.redis.client import connect
from voice_nodes import intake as module
from voice_nodes.intake import Intake, Received

Redis = redis.asyncio.Redis
STREAM = keys.jobs(SHARD)


class Inbox:
    """What was delivered."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[Received] = asyncio.Queue()
        self.deliver = self._queue.put_nowait

    async def next(self, number: int) -> list[Received]:
        async with asyncio.timeout(10):
            return [await self._queue.get() for _ in range(number)]


@pytest.fixture
def inbox() -> Inbox:
    return Inbox()


@pytest.fixture(params=[2, 3], ids=["resp2", "resp3"])
async def client(redis_url: str, request: pytest.FixtureRequest) -> AsyncIterator[Redis[Any]]:
    async with connect(f"{redis_url}?protocol={request.param}", timeout=5) as client:
        await lease.take(client, SHARD, "me", life_ms=600_000)
        yield client


def read(client: Redis[Any], inbox: Inbox, owner: str = "me") -> contextlib.AbstractAsyncContextManager[Any]:
    return running(Intake(client, SHARD, owner, inbox.deliver).run())


async def test_jobs_come_in_order_with_their_time_and_what_was_seen(client: Redis[Any], inbox: Inbox) -> None:
    await client.hset(keys.player(SHARD, make_job("", Stop()).guild), "play", "p1")
    async with read(client, inbox):
        for number in range(3):
            await hand_over(client, make_job(f"i:{number}", Stop()))
        received = await inbox.next(3)
    assert [each.job.id for each in received] == ["i:0", "i:1", "i:2"]
    assert {each.seen_play for each in received} == {"p1"}
    for each in received:
        assert each.asked_ms == int(each.entry.split("-")[0])


async def test_what_an_owner_left_behind_comes_first_and_in_order(
    client: Redis[Any], inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BATCH", 2)
    await client.xgroup_create(STREAM, keys.JOB_GROUP, id="0", mkstream=True)
    for number in range(7):
        await hand_over(client, make_job(f"i:{number}", Stop()))
    await client.xreadgroup(keys.JOB_GROUP, "one", {STREAM: ">"}, count=3)
    await client.xreadgroup(keys.JOB_GROUP, "two", {STREAM: ">"}, count=2)
    async with read(client, inbox):
        received = await inbox.next(7)
    assert [each.job.id for each in received] == [f"i:{number}" for number in range(7)]
    pending = await client.xpending_range(STREAM, keys.JOB_GROUP, "-", "+", 10)
    assert {each["consumer"] for each in pending} == {b"me"}


async def test_what_can_not_be_read_stops_nothing(client: Redis[Any], inbox: Inbox) -> None:
    broken = [{"j": b"{"}, {"j": b'{"id": 1}'}, {"j": b"\xff"}, {"x": b"no job"}]
    await client.xgroup_create(STREAM, keys.JOB_GROUP, id="0", mkstream=True)
    for fields in broken[:2]:
        await client.xadd(STREAM, fields)  # type: ignore[arg-type]
    await client.xreadgroup(keys.JOB_GROUP, "dead", {STREAM: ">"})
    for fields in broken[2:]:
        await client.xadd(STREAM, fields)  # type: ignore[arg-type]
    await hand_over(client, make_job("i:1", Stop()))
    async with read(client, inbox):
        while (await inbox.next(1))[0].job.id != "i:1":
            pass


async def test_the_group_is_made_again_after_a_loss_of_data(client: Redis[Any], inbox: Inbox) -> None:
    async with read(client, inbox):
        await hand_over(client, make_job("i:1", Stop()))
        await inbox.next(1)
        await client.flushall()
        await lease.take(client, SHARD, "me")
        await hand_over(client, make_job("i:2", Stop()))
        (received,) = await inbox.next(1)
    assert received.job.id == "i:2"


async def test_redis_away_and_back(inbox: Inbox, monkeypatch: pytest.MonkeyPatch) -> None:
    async with (
        Valkey(aof=True, appendfsync="always") as server,
        connect(server.url, timeout=5) as client,
    ):
        await lease.take(client, SHARD, "me", life_ms=600_000)
        ensure = Called(Intake._ensure_group)

        async def spy(self: Intake) -> None:
            await ensure(self)

        monkeypatch.setattr(Intake, "_ensure_group", spy)
        async with read(client, inbox):
            await hand_over(client, make_job("i:1", Stop()))
            await inbox.next(1)
            await server.kill()
            assert any(isinstance(each, Exception) for each in await ensure.times(2))
            await server.start()
            await client.xadd(STREAM, {"j": encode(make_job("i:2", Stop()))})
            received = await inbox.next(2)
    # The first was never acknowledged, so it comes again, before the second.
    assert [each.job.id for each in received] == ["i:1", "i:2"]


async def test_a_cancellation_is_never_lost(client: Redis[Any], inbox: Inbox) -> None:
    """As the next read is sent, just after a job was delivered, ``asyncio.wait_for`` would lose it."""
    for number in range(20):
        task = asyncio.create_task(Intake(client, SHARD, "me", inbox.deliver).run())
        await hand_over(client, make_job(f"i:{number}", Stop()))
        while (await inbox.next(1))[0].job.id != f"i:{number}":
            pass
        task.cancel()
        done, _ = await asyncio.wait({task}, timeout=1)
        assert done


async def test_who_does_not_own_the_shard_is_given_nothing(client: Redis[Any], inbox: Inbox) -> None:
    owned = [0.05, 0.05, 0.0, 0.0]  # taking over, reading, and then no more
    looks = asyncio.Queue[float]()

    def remaining() -> float:
        looks.put_nowait(now := owned.pop(0) if len(owned) > 1 else owned[0])
        return now

    stale = Intake(client, SHARD, "stale", lambda _: pytest.fail("it is another's"), remaining=remaining)
    async with running(stale.run()), asyncio.timeout(10):
        while await looks.get():  # its last question has been answered when it looks again
            pass
        await hand_over(client, make_job("i:1", Stop()))
        await looks.get()
        async with read(client, inbox, "next"):
            assert [each.job.id for each in await inbox.next(1)] == ["i:1"]
        owned.append(1.0)


async def test_who_does_not_own_the_shard_takes_nothing_over(client: Redis[Any]) -> None:
    await client.xgroup_create(STREAM, keys.JOB_GROUP, id="0", mkstream=True)
    await hand_over(client, make_job("i:1", Stop()))
    await client.xreadgroup(keys.JOB_GROUP, "next", {STREAM: ">"})
    looks = asyncio.Queue[None]()

    def remaining() -> float:
        looks.put_nowait(None)
        return 0.0

    stale = Intake(client, SHARD, "stale", lambda _: pytest.fail("it is another's"), remaining=remaining)
    async with running(stale.run()), asyncio.timeout(10):
        for _ in range(2):
            await looks.get()
    (pending,) = await client.xpending_range(STREAM, keys.JOB_GROUP, "-", "+", 10)
    assert pending["consumer"] == b"next"

"""When an answer is delivered, by whom and how often, whatever is away, hangs or ends meanwhile."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest
import redis.asyncio
from aiohttp import web

from tests.support.outbox.world import SHARD, World, next_of, running, shows
from tests.support.voice_nodes import Tenured
from tonearm import outbox as outboxes
from tonearm.errors import DiscordAway, LeaseLost
from tonearm.redis import answers, guilds, keys, lease
from tonearm.redis.answers import Owed


async def test_a_deferred_answer_is_delivered_at_once_when_told(world: World) -> None:
    owed = await world.owe()
    outbox = world.outbox(poll=30)
    async with running(outbox.run()):
        outbox.notify(owed.job)
        assert await next_of(world.confirmed) == owed.job
    assert shows(world.seen(owed).original)


async def test_what_nobody_confirmed_is_delivered_when_it_is_due_and_not_before(world: World) -> None:
    owed = await world.owe(is_deferred=False)
    outbox = world.outbox()
    assert [found async for found in outbox._find()] == []
    due = await world.redis.zscore(keys.outbox(SHARD), owed.job)
    world.clock.ahead_ms = int(due or 0) - int(time.time() * 1000) + 50
    assert 0 < world.clock.ahead_ms <= 500 + guilds.UNCONFIRMED_MS + 50
    async with running(outbox.run()):
        assert await next_of(world.confirmed) == owed.job
    assert shows(world.seen(owed).original)


async def test_what_was_confirmed_is_left_alone(world: World) -> None:
    owed, other = await world.owe(is_deferred=False), await world.owe()
    await answers.confirm_response(world.redis, SHARD, owed.job)
    world.clock.ahead_ms = 10_000
    outbox = world.outbox()
    async with running(outbox.run()):
        outbox.notify(owed.job)
        assert await next_of(world.confirmed) == other.job
    assert [request.path.split("/")[3] for request in world.api.requests] == [other.reply.token]


async def test_a_claimed_answer_that_was_not_written_is_delivered(world: World) -> None:
    owed = await world.owe(is_deferred=False)
    assert await answers.claim(world.redis, SHARD, owed.job) is not None
    world.clock.ahead_ms = 10_000
    async with running(world.outbox().run()):
        assert await next_of(world.confirmed) == owed.job


async def test_an_answer_outlives_the_time_discord_is_away(world: World) -> None:
    owed = await world.owe()
    world.api.faults.extend([world.api.status(502)] * 2)
    outbox = world.outbox()
    with pytest.raises(DiscordAway):
        await outbox.deliver(owed)
    assert await world.is_owed(owed)
    world.api.faults.extend([world.api.status(502)] * 2)
    await outbox._attend(owed)
    due = await world.redis.zscore(keys.outbox(SHARD), owed.job)
    assert due == pytest.approx(world.clock() + outboxes.BACKOFF_MS[0], abs=900)
    world.clock.ahead_ms = outboxes.BACKOFF_MS[0] + 100
    async with running(outbox.run()):
        assert await next_of(world.confirmed) == owed.job
    assert shows(world.seen(owed).original)


async def test_a_postponed_answer_is_kept_longer_than_its_record_would_live(world: World) -> None:
    owed = await world.owe()
    life = await world.redis.pttl(keys.record(SHARD, owed.job))
    await answers.postpone(world.redis, SHARD, owed.job, world.clock() + life + 1_000, world.token)
    assert await world.redis.pttl(keys.record(SHARD, owed.job)) > life + 30_000
    await answers.postpone(world.redis, SHARD, owed.job, world.clock(), world.token)
    assert await world.redis.pttl(keys.record(SHARD, owed.job)) > life + 30_000


async def test_redis_being_away_stops_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    owed = await world.owe()
    fetch, confirm = answers.fetch_one_owed, answers.confirm
    failures = [redis.ConnectionError("away"), TimeoutError(), OSError("away")]

    def failing_first(call: Callable[..., Any], errors: list[Exception]) -> Callable[..., Any]:
        async def fail_or_call(*args: Any) -> Any:
            if errors:
                raise errors.pop()
            return await call(*args)

        return fail_or_call

    to_fail = [*failures], [*failures]
    monkeypatch.setattr(answers, "fetch_one_owed", failing_first(fetch, to_fail[0]))
    monkeypatch.setattr(answers, "confirm", failing_first(confirm, to_fail[1]))
    outbox = world.outbox()
    async with running(outbox.run()):
        outbox.notify(owed.job)
        assert await next_of(world.confirmed) == owed.job
    assert to_fail == ([], [])
    assert world.api.calls() == ["PATCH @original"]  # confirming again is not delivering again


async def test_a_mistake_in_one_answer_stops_no_other(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    bad, good = await world.owe(), await world.owe()
    body = outboxes._body

    def fail_once(owed: Owed) -> Any:
        if owed.job == bad.job:
            raise ValueError("a mistake")
        return body(owed)

    monkeypatch.setattr(outboxes, "_body", fail_once)
    outbox = world.outbox()
    async with running(outbox.run()) as task:
        outbox.notify(bad.job)
        outbox.notify(good.job)
        assert await next_of(world.confirmed) == good.job
        assert not task.done()
    assert await world.is_owed(bad)


async def test_a_few_that_hang_do_not_hold_up_the_others(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outboxes, "MOST_AT_ONCE", 4)
    stuck = [await world.owe(unknown=10**6) for _ in range(3)]
    others = [await world.owe() for _ in range(8)]
    world.clock.ahead_ms = 5_000
    async with running(world.outbox(patience=(30.0,)).run()):
        arrived = {await next_of(world.confirmed) for _ in others}
    assert arrived == {owed.job for owed in others}
    assert all([await world.is_owed(owed) for owed in stuck])


async def test_there_are_never_too_many_at_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outboxes, "MOST_AT_ONCE", 3)
    everything = [await world.owe() for _ in range(9)]
    most = under_way = 0
    full = asyncio.Event()
    edit = world.client.edit_original

    async def edit_and_count(*args: Any, **options: Any) -> Any:
        nonlocal most, under_way
        under_way += 1
        most = max(most, under_way)
        if under_way == 3:
            full.set()
        try:
            await full.wait()
            return await edit(*args, **options)
        finally:
            under_way -= 1

    monkeypatch.setattr(world.client, "edit_original", edit_and_count)
    outbox = world.outbox()
    for owed in everything[:5]:
        outbox.notify(owed.job)
    world.clock.ahead_ms = 5_000
    async with running(outbox.run()):
        assert {await next_of(world.confirmed) for _ in everything} == {owed.job for owed in everything}
    assert most == 3


async def test_what_is_told_of_and_due_at_once_is_delivered_once(world: World) -> None:
    everything = [await world.owe(answer_private=True) for _ in range(40)]
    world.clock.ahead_ms = 5_000
    outbox = world.outbox(poll=0.001)
    async with running(outbox.run()):
        for owed in everything * 2:
            outbox.notify(owed.job)
        assert {await next_of(world.confirmed) for _ in everything} == {owed.job for owed in everything}
    assert {len(world.seen(owed).follow_ups) for owed in everything} == {1}


async def test_two_nodes_at_once_show_it_once(world: World) -> None:
    owed = await world.owe()
    one, other = world.outbox(), world.outbox()
    await asyncio.gather(one.deliver(owed), other.deliver(owed))
    assert shows(world.seen(owed).original)
    assert world.seen(owed).follow_ups == []
    assert world.api.posted == {}


async def test_a_node_that_dies_in_the_middle_leaves_it_to_the_next(world: World) -> None:
    owed = await world.owe()
    world.api.faults.append(world.api.hang)
    first = world.outbox()
    async with running(first.run()):
        first.notify(owed.job)
        await world.api.received(1)
    assert await world.is_owed(owed)
    world.clock.ahead_ms = outboxes.IN_HAND_MS + 1_000
    async with running(world.outbox().run()):
        assert await next_of(world.confirmed) == owed.job
    assert shows(world.seen(owed).original)


async def test_a_node_that_leaves_in_the_middle_hands_it_on_at_once(world: World) -> None:
    owed = await world.owe()
    world.clock.ahead_ms = 5_000
    world.api.faults.append(world.api.hang)
    leaving = world.outbox()
    async with running(leaving.run()):
        await world.api.received(1)
        assert await world.redis.zscore(keys.outbox(SHARD), owed.job) > world.clock()
    async with running(world.outbox().run()):
        assert await next_of(world.confirmed) == owed.job
    assert leaving._in_hand == set()


async def test_without_the_lease_discord_is_not_touched(world: World) -> None:
    owed = await world.owe()

    async def lost() -> None:
        raise LeaseLost("another's")

    outbox = world.outbox(until_held=lost)
    outbox.notify(owed.job)
    with pytest.raises(BaseExceptionGroup) as caught:
        async with asyncio.timeout(10):
            await outbox.run()
    assert caught.group_contains(LeaseLost)
    assert world.api.requests == []
    assert await world.is_owed(owed)


async def test_a_lease_that_ran_out_is_waited_for(world: World) -> None:
    owed = await world.owe()
    held, waits = asyncio.Event(), asyncio.Event()

    async def until_held() -> None:
        waits.set()
        await held.wait()

    outbox = world.outbox(until_held=until_held)
    outbox.notify(owed.job)
    async with running(outbox.run()):
        await asyncio.wait_for(waits.wait(), 5)
        assert world.api.requests == []
        held.set()
        assert await next_of(world.confirmed) == owed.job
    assert shows(world.seen(owed).original)


class RunningOut(Tenured):
    """A lease that runs out while Discord asks the outbox to wait before its follow-up."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.stopped = asyncio.Event()
        """Set when a call was stopped by it."""
        self._world = world
        world.client = world.client.checked(self.check)
        world.api.faults.extend([self._let_pass, self._ask_to_wait])

    def check(self) -> None:
        try:
            super().check()
        except LeaseLost:
            self.stopped.set()
            raise

    async def _let_pass(self, _request: web.Request) -> None:
        """It is the deletion of the original."""

    async def _ask_to_wait(self, request: web.Request) -> web.StreamResponse | None:
        self.run_out()
        return await self._world.api.status(429, {"retry_after": 0.05})(request)


async def test_an_answer_is_followed_up_once_when_the_lease_ran_out_before_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outboxes, "BACKOFF_MS", (10,))
    owed = await world.owe(answer_private=True)
    held = RunningOut(world)
    outbox = world.outbox(until_held=held.until_held)
    outbox.notify(owed.job)
    async with running(outbox.run()):
        await asyncio.wait_for(held.stopped.wait(), 5)
        assert len(world.api.requests) == 2
        assert await world.is_owed(owed)
        await held.settle()
        assert await next_of(world.confirmed) == owed.job
    assert len(world.seen(owed).follow_ups) == 1


async def test_an_answer_is_left_to_the_next_when_the_lease_was_lost_before_its_follow_up(world: World) -> None:
    owed = await world.owe(answer_private=True)
    held = RunningOut(world)
    outbox = world.outbox(until_held=held.until_held)
    outbox.notify(owed.job)
    async with running(outbox.run()) as task:
        await asyncio.wait_for(held.stopped.wait(), 5)
        await held.settle(gone=True)
        with pytest.raises(BaseExceptionGroup) as caught:
            await asyncio.wait_for(task, 5)
    assert caught.group_contains(LeaseLost)
    assert world.seen(owed).follow_ups == []
    assert await world.is_owed(owed)


async def test_what_arrived_while_the_lease_was_taken_again_is_not_sent_twice(world: World) -> None:
    owed = await world.owe(answer_private=True)
    await world.redis.delete(keys.lease(SHARD))
    token = await lease.retake(world.redis, SHARD, "me", world.token)
    assert token is not None
    waits = 0

    async def until_held() -> None:
        nonlocal waits
        if world.seen(owed).follow_ups:
            waits += 1
            if waits == 2:  # The first time it is not known yet.
                world.token = token

    assert await world.outbox(until_held=until_held).deliver(owed) == "followed_up"
    assert not await world.is_owed(owed)
    assert len(world.seen(owed).follow_ups) == 1


async def test_the_end_of_the_task_ends_all_its_deliveries(world: World) -> None:
    owed = await world.owe(unknown=10**6)
    outbox = world.outbox(patience=(30.0,))
    before = asyncio.all_tasks()
    async with running(outbox.run()):
        outbox.notify(owed.job)
        await world.api.received(1)
        assert len(asyncio.all_tasks() - before) >= 2
    assert {task for task in asyncio.all_tasks() - before if "answer" in task.get_name()} == set()

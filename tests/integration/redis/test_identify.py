"""Who may identify when: on a real Valkey, with Discord's seconds shortened to milliseconds."""

from __future__ import annotations

import asyncio
import itertools
import math
import random
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.support.voice_nodes import metric
from tonearm.errors import DiscordAway, LeaseLost
from tonearm.redis import identify, keys
from tonearm.redis.client import Client, connect, now_ms
from voice_nodes import identifying
from voice_nodes.identifying import Turns

DISTANCE_MS = 110
"""Of which 100 ms are Discord's 5 s."""
DISCORD = 0.100


@pytest.fixture
async def client(redis_url: str) -> AsyncIterator[Client]:
    """As the voice node has it."""
    async with connect(redis_url, timeout=2.0) as client:
        yield client


class Rest:
    """Answers Get Gateway Bot."""

    def __init__(self, *, concurrency: int = 1, remaining: int = 1000, reset_after: int = 1_000) -> None:
        self.limit = {"max_concurrency": concurrency, "remaining": remaining, "reset_after": reset_after}
        self.asked = 0
        self.fails: list[Exception] = []

    async def fetch_gateway_bot(self) -> dict[str, Any]:
        self.asked += 1
        if self.fails:
            raise self.fails.pop()
        return {"session_start_limit": self.limit}


def owned() -> None:
    """The lease is there."""


def turns(client: Client, rest: Rest, shard: int = 0, *, check: Any = owned, **options: Any) -> Turns:
    return Turns(client, rest, shard, check=check, **options)  # type: ignore[arg-type]


async def turn(client: Client, rest: Rest, shard: int, check: Any = owned) -> float:
    """The moment at which ``shard`` identifies."""
    await turns(client, rest, shard, check=check, distance_ms=DISTANCE_MS).take()
    return time.monotonic()


@pytest.mark.parametrize("seed", range(2))
async def test_no_two_of_a_bucket_are_nearer_than_discord_allows(client: Client, redis_url: str, seed: int) -> None:
    chance = random.Random(seed)
    concurrency = chance.choice([1, 2, 3])
    sent: dict[int, list[float]] = {bucket: [] for bucket in range(concurrency)}

    async def process(shards: list[int]) -> None:
        rest = Rest(concurrency=concurrency)
        async with connect(redis_url, timeout=2.0) as own:
            for shard in shards:
                await asyncio.sleep(chance.uniform(0, 0.15))
                waiting = asyncio.create_task(turn(own, rest, shard))
                if chance.random() < 0.2:  # it dies, perhaps after its turn was granted
                    await asyncio.wait([waiting], timeout=chance.uniform(0, 0.2))
                    waiting.cancel()
                    await asyncio.wait([waiting])
                if not waiting.cancelled():
                    sent[shard % concurrency].append(await waiting)

    shards = list(range(18))
    chance.shuffle(shards)
    async with asyncio.timeout(30), asyncio.TaskGroup() as processes:
        for number in range(6):
            processes.create_task(process(shards[number::6]))
    for moments in sent.values():
        moments.sort()
        distances = [later - earlier for earlier, later in itertools.pairwise(moments)]
        assert distances
        assert min(distances) >= DISCORD


async def test_a_turn_that_is_not_used_costs_only_itself(client: Client) -> None:
    assert await identify.ask(client, 0, distance_ms=DISTANCE_MS) == 0
    waits = [await identify.ask(client, 0, distance_ms=DISTANCE_MS) for _ in range(20)]
    assert 0 < max(waits) <= DISTANCE_MS / 1000
    assert await identify.ask(client, 1, distance_ms=DISTANCE_MS) == 0


async def test_a_clock_that_went_back_does_not_block_a_bucket(client: Client) -> None:
    await client.set(keys.identify(0), await now_ms(client) + 10**9)
    assert await identify.ask(client, 0, distance_ms=DISTANCE_MS) == DISTANCE_MS / 1000


async def test_a_grant_that_came_late_is_not_used(client: Client) -> None:
    """As if the process had stood still between the grant and the sending."""
    readings = itertools.chain([0.0, 1.0], itertools.repeat(1.0))
    began = time.monotonic()
    await turns(client, Rest(), distance_ms=DISTANCE_MS, clock=lambda: next(readings)).take()
    assert time.monotonic() - began >= DISCORD


async def test_discord_is_asked_once_for_all_processes_and_starts_are_counted(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    rests = [Rest(concurrency=8, remaining=900) for _ in range(3)]
    for shard, rest in enumerate(rests):
        await turns(client, rest, shard).take()
    assert [rest.asked for rest in rests] == [1, 0, 0]
    limits = await identify.fetch_limits(client)
    assert limits is not None
    assert (limits.max_concurrency, limits.remaining) == (8, 897)
    assert metric("tonearm_gateway_session_starts_left") == 898
    monkeypatch.setattr(identifying.time, "time", lambda: limits.reset_ms / 1000)
    assert math.isnan(metric("tonearm_gateway_session_starts_left")), "another day has begun"
    identifying._told.clear()
    assert math.isnan(metric("tonearm_gateway_session_starts_left")), "nobody has asked"
    assert 50_000 < await client.pttl(keys.GATEWAY) <= identify.KEPT_MS


async def test_with_few_starts_left_nobody_identifies_before_the_reset(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    rest = Rest(remaining=49, reset_after=86_400_000)
    slept: list[float] = []

    async def reset(seconds: float) -> None:
        slept.append(seconds)
        rest.limit = rest.limit | {"remaining": 1000}
        await client.delete(keys.GATEWAY)

    await turns(client, rest, sleep=reset).come_near()
    assert slept == [identifying.LOOK_AGAIN]
    assert "Only 49 session starts are left" in caplog.text
    assert rest.asked == 2


async def test_the_last_spared_start_is_not_used(client: Client) -> None:
    await turns(client, Rest(remaining=50)).take()
    waiting = asyncio.create_task(turn(client, Rest(), 0))
    try:
        done, _ = await asyncio.wait([waiting], timeout=0.3)
        assert not done
    finally:
        waiting.cancel()
        await asyncio.wait([waiting])


async def test_discord_being_away_is_waited_for(client: Client) -> None:
    rest = Rest()
    rest.fails = [DiscordAway("no answer")]
    await turn(client, rest, 0)
    assert rest.asked == 2


async def test_a_turn_that_is_far_away_is_not_waited_for_with_a_connection_in_hand(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """discord.py gives up a connection that takes 60 s to identify, and sixteen shards of one bucket take 88 s."""
    monkeypatch.setattr(identifying, "PATIENCE", 0.2)
    assert await identify.ask(client, 0, distance_ms=1_000) == 0
    waiting = turns(client, Rest(), distance_ms=1_000)
    with pytest.raises(DiscordAway):
        await waiting.take()
    began = time.monotonic()
    await waiting.come_near()
    assert time.monotonic() - began > 0.5
    await waiting.take()


async def test_coming_near_takes_no_turn(client: Client) -> None:
    await turns(client, Rest()).come_near()
    assert await identify.ask(client, 0) == 0


async def test_who_lost_the_lease_meanwhile_does_not_identify(client: Client) -> None:
    def lost() -> None:
        raise LeaseLost("another's")

    with pytest.raises(LeaseLost):
        await turn(client, Rest(), 0, lost)

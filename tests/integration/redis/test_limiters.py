"""Each of our limiters, on a real Valkey: what it refuses is counted under its own name."""

import pytest

from interactions.api import limits
from tests.support.interactions.stub_node import StubNode
from tests.support.metrics import counts
from tonearm.errors import Problem, Refused
from tonearm.jobs.job import Job, Reply
from tonearm.music.actions import Pause
from tonearm.redis import handover
from tonearm.redis.handover import Limit, hand_over

LIMITED = "tonearm_limited_total"
FREE = Limit(interval_ms=1, burst=1_000)
ONE = Limit(interval_ms=60_000, burst=1)


async def give(redis, number, *, guild_limit=FREE, user_limit=FREE):
    job = Job(f"i:{number}", 5 << 22, 7, 9, Pause(), 20_000, Reply(1, "token", "reply:here"))
    await hand_over(redis, job, shard_count=1, window_ms=0, guild_limit=guild_limit, user_limit=user_limit)


@pytest.mark.parametrize(
    ("limiter", "rates", "most_waiting", "most_in_stream"),
    [
        ("user", {"user_limit": ONE}, 20, 5_000),
        ("guild", {"guild_limit": ONE}, 20, 5_000),
        ("waiting", {}, 1, 5_000),
        ("busy", {}, 20, 1),
    ],
)
async def test_what_is_refused_at_the_hand_over(
    redis_client, monkeypatch, limiter, rates, most_waiting, most_in_stream
):
    monkeypatch.setattr(handover, "MAX_WAITING", most_waiting)
    monkeypatch.setattr(handover, "MAX_STREAM", most_in_stream)
    await StubNode(redis_client).own()
    with counts(LIMITED, 0, limiter=limiter):
        await give(redis_client, 1, **rates)
    with counts(LIMITED, limiter=limiter), pytest.raises(Refused):
        await give(redis_client, 2, **rates)


async def test_what_a_key_asks_too_often(redis_client):
    with counts(LIMITED, 0, limiter="api_key"):
        await limits.count(redis_client, "key", per_minute=1)
    with counts(LIMITED, limiter="api_key"), pytest.raises(Problem):
        await limits.count(redis_client, "key", per_minute=1)

"""How long the answer of a job is waited for, in all."""

import asyncio
from typing import cast

import pytest

from interactions.answering import ANSWER_UNTIL_MS, WAIT_UNTIL_MS, Answering
from interactions.memory import Memory
from interactions.replies import ReplyPath
from tonearm.errors import RedisAway
from tonearm.jobs.job import Job, Reply
from tonearm.music.actions import Stop
from tonearm.redis.handover import HandedOver

JOB = Job("i:1", 2, 3, 4, Stop(), 60_000, Reply(5, "token", "reply:here"))


class Slow:
    """Redis, and the way of the answers: no answer comes, and that is known so many seconds after the window's end."""

    to, listening = "reply:here", True

    def __init__(self, late_s: float) -> None:
        self._late_s = late_s
        self.within_s: list[float] = []

    async def hand_over(self, _job: Job, _window_ms: int) -> HandedOver:
        return HandedOver()

    async def claim(self, _job: Job, within_s: float) -> None:
        self.within_s.append(within_s)
        raise RedisAway("no reply in time")

    def expect(self, _job: Job) -> "Slow":
        return self

    async def until(self, end: float) -> None:
        await asyncio.sleep(end - asyncio.get_running_loop().time() + self._late_s)

    def forget(self) -> None:
        pass


@pytest.mark.parametrize("late_s", [0.0, 0.2])
async def test_a_wait_that_hung_leaves_less_time_for_the_last_question(late_s: float) -> None:
    slow = Slow(late_s)
    answered = await Answering(cast(Memory, slow), cast(ReplyPath, slow), 800).answer(JOB, WAIT_UNTIL_MS - 50)
    assert answered.outcome == "deferred"
    (within_s,) = slow.within_s
    assert within_s <= (ANSWER_UNTIL_MS - WAIT_UNTIL_MS) / 1000 - late_s + 0.001

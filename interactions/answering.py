"""From a job to the response of its interaction: hand over, wait, claim, defer.

Redis holds the answer until it is known to have arrived, so nothing here has to succeed: a lost message, a failed claim
or a killed process cost a deferral, and the voice node edits the answer in.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec

from interactions.discord import respond
from interactions.memory import Memory
from tonearm.errors import RedisAway
from tonearm.jobs.errand import AnyJob
from tonearm.jobs.job import decode_answer
from tonearm.redis.client import HOT_TIMEOUT

if TYPE_CHECKING:
    from interactions.replies import ReplyPath

WAIT_UNTIL_MS = 2_200
"""Age of an interaction (by its id) until which its answer is waited for. Discord's token is void at 3,000."""

ANSWER_UNTIL_MS = 2_450
"""Age at which the last question to Redis is given up."""

VOID_AFTER_MS = 2_800
"""Age from which nothing is done any more: an answer would come too late."""


class Answered(msgspec.Struct, frozen=True):
    """What to respond. ``confirm``: once it is written, nothing is owed any more.

    ``outcome`` is ``inline``, ``deferred`` or ``seen`` (another delivery of an interaction that is known).
    """

    body: bytes
    outcome: str
    confirm: bool = False


class Answering:
    """Waits for the answers of jobs, at most ``inline_reply_ms``; 0 never waits."""

    def __init__(self, memory: Memory, replies: ReplyPath, inline_reply_ms: int) -> None:
        self._memory = memory
        self._replies = replies
        self._inline_reply_ms = inline_reply_ms

    async def answer(self, job: AnyJob, age_ms: int) -> Answered:
        """Hand ``job`` over and wait for its answer; ``age_ms`` is how old its interaction is.

        Raises:
            Refused: a limit is reached, or nobody would do it. Nothing was done.
            RedisAway: Redis doesn't answer. When it hung, the job may have been taken: then its answer takes the
                place of the sentence.
        """
        assert job.reply is not None
        window_ms = min(self._inline_reply_ms, WAIT_UNTIL_MS - age_ms)
        if window_ms <= 0 or not self._replies.listening:
            handed = await self._memory.hand_over(job, 0)
            return self._answered(job, handed.answer, again=handed.again, deferred=handed.deferred)
        clock = asyncio.get_running_loop().time
        begun = clock()
        expected = self._replies.expect(job)
        try:
            handed = await self._memory.hand_over(job, window_ms)
            answer = handed.answer
            if answer is None and not handed.deferred:
                answer = await expected.until(begun + window_ms / 1000)
                if answer is None:
                    answer = await self._claim(job, age_ms + (clock() - begun) * 1000)
        finally:
            expected.forget()
        return self._answered(job, answer, again=handed.again, deferred=handed.deferred)

    async def _claim(self, job: AnyJob, age_ms: float) -> bytes | None:
        """The answer, if it came without our hearing of it. When Redis can't say: the voice node edits it in."""
        try:
            return await self._memory.claim(job, min(HOT_TIMEOUT, (ANSWER_UNTIL_MS - age_ms) / 1000))
        except RedisAway:
            return None

    def _answered(self, job: AnyJob, answer: bytes | None, *, again: bool, deferred: bool) -> Answered:
        assert job.reply is not None
        component = job.reply.component
        if answer is None:
            body = respond.deferral(private=job.reply.private, component=component)
            return Answered(body, "seen" if again else "deferred")
        # Only the delivery that handed the job over may settle it, and Redis lets it only where no other came: that one
        # may have been deferred, or answered with a sentence because Redis broke off, and Discord may have taken it.
        body = respond.answer(decode_answer(answer), component=component)
        return Answered(body, "seen" if again else "inline", confirm=not (again or deferred))

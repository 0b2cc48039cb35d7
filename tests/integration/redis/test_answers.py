"""An answer's way back, in each order in which its steps can fall. Nothing here is a matter of time.

The steps of the HTTP side are called one by one, so each order is made, not waited for.
"""

import pytest

from tests.support.interactions.stub_node import StubNode, answer
from tonearm.errors import LeaseLost
from tonearm.jobs.job import Job, Reply, decode_answer
from tonearm.music.actions import Pause
from tonearm.redis import answers, keys, lease
from tonearm.redis.client import now_ms
from tonearm.redis.guilds import UNCONFIRMED_MS
from tonearm.redis.handover import hand_over

GUILD = 5 << 22
JOB = Job("i:1", GUILD, 7, 9, Pause(), 20_000, Reply(1, "token", "reply:here"))
WINDOW = 800


class Steps:
    """The HTTP side's steps, and what they lead to."""

    def __init__(self, redis):
        self.redis = redis
        self.node = StubNode(redis)
        self.pubsub = redis.pubsub()

    async def begin(self, window_ms=WINDOW):
        await self.node.own()
        await self.pubsub.subscribe("reply:here")
        await self.pubsub.get_message(timeout=2)
        await self.deliver(window_ms)
        entry, job = await self.node.take()
        return entry, job

    async def deliver(self, window_ms=WINDOW):
        return await hand_over(self.redis, JOB, shard_count=1, window_ms=window_ms)

    async def published(self):
        """What was published, before a marker of our own: from the same master, lest it overtake."""
        await self.redis.eval("redis.call('PUBLISH', 'reply:here', 'end')", 1, keys.lease(0))
        found = []
        while True:
            message = await self.pubsub.get_message(timeout=2)
            if message["data"] == b"end":
                return found
            found.append(message["data"])

    async def claim(self):
        return await answers.claim(self.redis, 0, JOB.id)

    async def confirm(self):
        await answers.confirm_response(self.redis, 0, JOB.id)

    async def owed(self, after_ms=0):
        return await answers.fetch_owed(self.redis, 0, await now_ms(self.redis) + after_ms)

    async def owed_ever(self):
        return await self.owed(10**9)


@pytest.fixture
async def steps(redis_client):
    steps = Steps(redis_client)
    yield steps
    await steps.pubsub.aclose()


async def test_before_the_end_of_the_window_it_is_published_and_then_confirmed(steps):
    entry, job = await steps.begin()
    assert not (await steps.node.commit(entry, job, answer("heard"))).deferred
    (message,) = await steps.published()
    name, _, said = message.partition(b" ")
    assert name == b"i:1"
    assert decode_answer(said) == answer("heard")
    await steps.confirm()
    assert await steps.owed_ever() == []


async def test_when_the_publication_was_lost_it_is_claimed_at_the_end_of_the_window(steps):
    entry, job = await steps.begin()
    await steps.node.commit(entry, job, answer("claimed"))
    assert decode_answer(await steps.claim()) == answer("claimed")
    await steps.confirm()
    assert await steps.owed_ever() == []


async def test_after_the_deferral_it_is_owed_to_the_owner_at_once(steps):
    entry, job = await steps.begin()
    assert await steps.claim() is None
    assert (await steps.node.commit(entry, job, answer("late"))).deferred
    assert await steps.published() == []
    owed = await answers.fetch_one_owed(steps.redis, 0, JOB.id)
    assert (owed.answer, owed.deferred, owed.reply.token) == (answer("late"), True, "token")
    # The owner edits at once; if it dies first, another finds it after the grace.
    (found,) = await steps.owed(UNCONFIRMED_MS + 1_000)
    assert found == owed
    await answers.confirm(steps.redis, 0, JOB.id, steps.node.token)
    assert await steps.owed_ever() == []


async def test_deferred_from_the_start_is_the_same(steps):
    entry, job = await steps.begin(window_ms=0)
    assert (await steps.node.commit(entry, job, answer())).deferred
    assert await steps.published() == []


async def test_when_the_http_side_died_before_its_response_it_is_owed_a_second_after_the_window(steps):
    entry, job = await steps.begin()
    await steps.node.commit(entry, job, answer("orphan"))
    assert await steps.claim() is not None  # and then it died
    by = int(await steps.redis.hget(keys.record(0, JOB.id), "by"))
    assert await answers.fetch_owed(steps.redis, 0, by + UNCONFIRMED_MS - 1) == []
    (owed,) = await answers.fetch_owed(steps.redis, 0, by + UNCONFIRMED_MS)
    assert (owed.answer, owed.deferred) == (answer("orphan"), False)


async def test_when_the_claim_fails_before_the_answer_it_is_still_owed(steps):
    entry, job = await steps.begin()
    # The claim never arrived, and the interaction was answered by a deferral.
    assert not (await steps.node.commit(entry, job, answer())).deferred
    (owed,) = await steps.owed_ever()
    assert owed.answer == answer()


async def test_when_the_answer_to_a_claim_is_lost_it_is_still_owed(steps):
    entry, job = await steps.begin()
    await steps.node.commit(entry, job, answer())
    await steps.claim()  # arrived, but nobody heard what it said
    (owed,) = await steps.owed_ever()
    assert owed.answer == answer()


async def test_a_claim_for_a_job_that_nobody_knows_leaves_nothing(steps):
    assert await steps.claim() is None
    assert await steps.redis.keys() == []


async def test_confirming_what_is_not_done_changes_nothing(steps):
    entry, job = await steps.begin()
    await steps.confirm()
    await steps.node.commit(entry, job, answer())
    assert len(await steps.owed_ever()) == 1


# The same with a second delivery of the interaction.


async def test_a_second_delivery_within_the_window_hears_the_same(steps):
    entry, job = await steps.begin()
    handed = await steps.deliver()
    assert (handed.again, handed.answer, handed.deferred) == (True, None, False)
    await steps.node.commit(entry, job, answer("both"))
    assert len(await steps.published()) == 1


async def test_a_second_delivery_after_a_lost_publication_brings_the_answer(steps):
    entry, job = await steps.begin()
    await steps.node.commit(entry, job, answer("there"))
    handed = await steps.deliver()
    assert decode_answer(handed.answer) == answer("there")
    assert not handed.deferred


async def test_a_second_delivery_after_the_deferral_is_deferred_too(steps):
    entry, job = await steps.begin()
    await steps.claim()
    assert (await steps.deliver()).deferred
    await steps.node.commit(entry, job, answer())
    handed = await steps.deliver()
    assert handed.deferred
    assert handed.answer is not None


async def test_where_one_delivery_was_deferred_the_response_of_another_does_not_settle_it(steps):
    entry, job = await steps.begin()
    await steps.deliver()
    await steps.claim()  # of the one delivery: deferred
    await steps.node.commit(entry, job, answer())
    assert await steps.claim() is not None  # of the other, at the end of its own window: inline
    await steps.confirm()
    (owed,) = await steps.owed_ever()
    assert owed.deferred
    await answers.confirm(steps.redis, 0, JOB.id, steps.node.token)
    assert await steps.owed_ever() == []


@pytest.mark.parametrize("window_ms", [0, WINDOW])
async def test_where_an_interaction_came_twice_no_response_settles_it(steps, window_ms):
    entry, job = await steps.begin()
    # Answered by a deferral, without a word to Redis: nobody listens there, or its claim fails.
    await steps.deliver(window_ms)
    await steps.node.commit(entry, job, answer())
    assert len(await steps.published()) == 1
    await steps.confirm()  # of the first, which showed the answer
    (owed,) = await steps.owed_ever()
    assert owed.answer == answer()
    await answers.confirm(steps.redis, 0, JOB.id, steps.node.token)
    assert await steps.owed_ever() == []


async def test_a_second_delivery_that_may_not_have_heard_the_answer_leaves_it_owed(steps):
    entry, job = await steps.begin()
    await steps.node.commit(entry, job, answer())
    await steps.deliver()  # what Redis said to it was lost, so it was answered with a sentence
    await steps.confirm()
    assert len(await steps.owed_ever()) == 1


async def test_a_second_delivery_after_a_failed_claim_finds_the_answer(steps):
    entry, job = await steps.begin()
    await steps.node.commit(entry, job, answer("kept"))
    handed = await steps.deliver()
    assert decode_answer(handed.answer) == answer("kept")
    # The first was answered by a deferral that Redis does not know of; the edit of the second's answer is harmless.
    assert len(await steps.owed_ever()) == 1


async def test_who_lost_the_shard_settles_nothing(steps):
    entry, job = await steps.begin(window_ms=0)
    await steps.node.commit(entry, job, answer())
    before = await steps.owed_ever(), await steps.redis.zrange(keys.outbox(0), 0, -1, withscores=True)
    stale = steps.node.token
    await lease.release(steps.redis, 0, stale)
    assert await lease.take(steps.redis, 0, "another")
    with pytest.raises(LeaseLost):
        await answers.confirm(steps.redis, 0, JOB.id, stale)
    with pytest.raises(LeaseLost):
        await answers.postpone(steps.redis, 0, JOB.id, 10**13, stale)
    assert before == (await steps.owed_ever(), await steps.redis.zrange(keys.outbox(0), 0, -1, withscores=True))

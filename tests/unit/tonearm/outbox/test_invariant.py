"""An answer leaves the outbox only once it can be read: every order of deliveries, failures and takeovers of one job.

The HTTP side's waiting, the scripts on a real Valkey and the outbox are the product's own. What is around them stops
at each call, and goes on, fails before it or fails after it as the machine says. What the model leaves out:

- a delivery whose hand-over never reached Redis: nobody can know of it, so Discord does not take it here;
- Discord not knowing an interaction yet: the outbox has patience for longer than a first answer may take.
"""

import asyncio

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from tests.support.outbox.one_job import AFTER, BEFORE, GO, Actor, World
from tonearm.redis import keys
from tonearm.redis.client import connect

DELIVERIES = 3
FAULTS = 3
AHEAD_MS = 120_000
"""Until when the clock is moved; a token lives longer."""


class Interleavings(RuleBasedStateMachine):
    """What people read in the end is the answer."""

    url = ""

    @initialize(answer_private=st.booleans(), reply_private=st.booleans(), last_first=st.booleans())
    def open(self, answer_private: bool, reply_private: bool, last_first: bool) -> None:
        self.last_first = last_first
        self.faults = 0
        self.runner = asyncio.Runner()
        self.redis = connect(self.url, timeout=30)
        self.world = World(self.redis, answer_private=answer_private, reply_private=reply_private)
        self.runner.run(self._open())

    @precondition(lambda self: len(self.world.deliveries) < DELIVERIES)
    @rule(listening=st.booleans(), steps=st.integers(0, 3))
    def deliver(self, listening: bool, steps: int) -> None:
        self.runner.run(self.world.deliver(listening=listening))
        self._go(self.world.actors[-1], steps)

    @precondition(lambda self: not self.world.committed)
    @rule(lost=st.booleans())
    def commit(self, lost: bool) -> None:
        self.runner.run(self.world.commit(lost=lost))

    @precondition(lambda self: self.world.committed and self.world.ahead_ms < AHEAD_MS)
    @rule(ms=st.sampled_from([0, 4_500, 27_500]))
    def look(self, ms: int) -> None:
        assert self.world.owner is not None
        self.world.ahead_ms += ms
        self.runner.run(self.world.begin(self.world.owner.look))

    @precondition(lambda self: self.world.committed)
    @rule()
    def take_over(self) -> None:
        self.runner.run(self.world.take_over())

    @precondition(lambda self: self.world.working)
    @rule(which=st.integers(0, 7), steps=st.integers(1, 3))
    def go(self, which: int, steps: int) -> None:
        self._go(self._one(which), steps)

    @precondition(lambda self: self.world.working and self.faults < FAULTS)
    @rule(which=st.integers(0, 7), outcome=st.sampled_from([BEFORE, AFTER]))
    def fail(self, which: int, outcome: str) -> None:
        self.faults += 1
        self.runner.run(self._one(which).step(outcome))

    @precondition(lambda self: self.world.working and self.faults < FAULTS)
    @rule(which=st.integers(0, 7))
    def die(self, which: int) -> None:
        self.faults += 1
        self.runner.run(self._one(which).die())

    def _go(self, actor: Actor, steps: int) -> None:
        for _ in range(steps):
            if actor.at_work:
                self.runner.run(actor.step(GO))

    def _one(self, which: int) -> Actor:
        working = self.world.working
        return working[which % len(working)]

    async def _open(self) -> None:
        await self.redis.flushall()
        await self.world.take_over()

    async def _close(self) -> None:
        for actor in self.world.working:
            await actor.die()
        await self.redis.aclose()

    async def _owed(self) -> int:
        return int(await self.redis.zcard(keys.outbox(0)))

    def teardown(self) -> None:
        world = self.world
        try:
            self.runner.run(world.finish(last_first=self.last_first))
            if world.committed and world.discord.taken:
                assert world.discord.readable
                assert not self.runner.run(self._owed())
        finally:
            self.runner.run(self._close())
            self.runner.close()


@pytest.mark.timeout(240)  # a failure is made as short as it can be, which takes its time
def test_an_answer_leaves_only_once_it_can_be_read(redis_url: str) -> None:
    class OnThisValkey(Interleavings):
        url = redis_url

    run_state_machine_as_test(
        OnThisValkey,
        settings=settings(
            max_examples=150, stateful_step_count=12, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )

"""This node among the others: says that it is there, and takes the shards that are its share.

:mod:`voice_nodes.spreading` decides; here it is carried out. Everything can be lost: a message costs a second, a node
its lease's life, and Redis being away only means that nothing changes hands.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Callable

from tonearm import __version__
from tonearm.backoff import Backoff
from tonearm.redis import keys, lease, members
from tonearm.redis.client import FAILURES, Client, now_ms
from tonearm.redis.hearing import listen
from tonearm.redis.members import Member
from tonearm.telemetry import HANDOVERS, LOG, MEMBERS, context
from voice_nodes.lease import Lease
from voice_nodes.spreading import Spreading

POLL = 1.0
"""Seconds between two signs of life, each of which is a look at the others too."""

EXPIRY_MARGIN = 0.01
"""Seconds after the end of a lease at which it is tried."""

SILENT = 5.0
"""Seconds without an answer of Redis after which this node does not count as standing by."""

PATIENCE = 3.0
"""Seconds for which nothing is taken after Redis was away for so long that leases ran out: whoever had them goes on
with what it has, and so comes first."""

LEAVE_TIMEOUT = 1.0
"""Seconds that saying good-bye may take."""


class Membership:
    """The leases of this node.

    ``settle`` is for how many seconds the same nodes must have been there before one gives shards away, ``grace`` how
    long a free shard is left to those below their share.
    """

    def __init__(
        self,
        client: Client,
        name: str,
        shard_count: int,
        *,
        settle: float = 30.0,
        grace: float = 2.0,
        poll: float = POLL,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._name = name
        self._spreading = Spreading(name, shard_count, settle=settle, grace=grace)
        self._poll = poll
        self._clock = clock
        self._since_ms = 0
        self._leaving = False
        self._held: set[int] = set()
        self._waiting: dict[int, asyncio.Future[Lease]] = {}
        self._freed: set[int] = set()
        self._answered_at: float | None = None
        self._patient_until = float("-inf")
        self._wake = asyncio.Event()
        self._looked = asyncio.Condition()
        self._taking = asyncio.Lock()

    @property
    def held(self) -> frozenset[int]:
        """The shards whose lease this node holds."""
        return frozenset(self._held)

    def standing_by(self) -> bool:
        """Whether this node is known to the others, hears them, and has all that is its share for now."""
        if self._answered_at is None or self._clock() - self._answered_at > SILENT:
            return False
        return len(self._held) >= self._spreading.share(self._held) or not self._spreading.unclaimed(self._held)

    async def wait_look(self) -> None:
        """Return after the next look at the others."""
        async with self._looked:
            await self._looked.wait()

    async def acquire(self, shard: int) -> Lease:
        """Wait until this node should have ``shard`` and has its lease. It may be cancelled: a lease that comes
        nevertheless is given back."""
        future = asyncio.get_running_loop().create_future()
        self._waiting[shard] = future
        self._wake.set()
        try:
            taken: Lease = await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():
                self._held.discard(shard)
                await future.result().release()
            raise
        finally:
            self._waiting.pop(shard, None)
        return taken

    def dropped(self, shard: int) -> None:
        """The lease of ``shard`` is no longer ours: given back, or lost."""
        self._held.discard(shard)
        self._wake.set()

    async def leave(self) -> None:
        """Take no more, and tell the others that they may take ours one by one, as they become free."""
        async with self._taking:
            self._leaving = True
        await self._say(lambda: members.beat(self._client, self._about(), tell=True))

    async def go(self) -> None:
        """This node has gone. Nothing may be asked of it afterwards."""
        await self._say(lambda: members.forget(self._client, self._name))

    async def run(self, give: Callable[[int], None]) -> None:
        """Until cancelled. ``give`` is told to let go of a shard that another node should have."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._listen_forever())
            tasks.create_task(self._look_forever(give))

    # Looking.

    async def _look_forever(self, give: Callable[[int], None]) -> None:
        backoff = Backoff()
        while True:
            pause = self._poll
            try:
                for shard in self._take_freed():
                    await self._consider(shard)
                pause = await self._look(give)
                backoff.reset()
            except FAILURES as error:
                LOG.warning("The other voice nodes are not known: %r", error)
                await backoff.wait()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._wake.wait()
            self._wake.clear()

    def _take_freed(self) -> list[int]:
        freed, self._freed = list(self._freed), set()
        for shard in freed:
            self._spreading.freed(shard, self._clock())
        return freed

    async def _look(self, give: Callable[[int], None]) -> float:
        """Say that we are there, see who else is, and do what follows; returns the seconds until the next look."""
        if not self._since_ms:
            self._since_ms = await now_ms(self._client)
        seen = await members.beat(self._client, self._about())
        self._spreading.observe(seen, self._clock())
        unclaimed = self._spreading.unclaimed(self._held)
        remaining = await lease.fetch_remaining(self._client, unclaimed)
        self._note_answer()
        free = [shard for shard in unclaimed if shard not in remaining]
        self._spreading.observe_free(free, self._clock())
        random.shuffle(free)  # so that several nodes do not try the same ones in the same order
        for shard in free:
            await self._consider(shard)
        surplus = self._spreading.to_give(self._held, self._clock())
        if surplus is not None:
            LOG.info("A shard goes to another voice node", extra=context(shard=surplus))
            HANDOVERS.inc()
            give(surplus)
        leaving = sum(member.leaving for member in self._spreading.members)
        MEMBERS.labels("leaving").set(leaving)
        MEMBERS.labels("staying").set(len(self._spreading.members) - leaving)
        async with self._looked:
            self._looked.notify_all()
        ends = min(remaining.values(), default=float("inf")) / 1000 + EXPIRY_MARGIN
        return min(self._poll, ends, max(EXPIRY_MARGIN, self._spreading.next_to_take(self._clock())))

    def _note_answer(self) -> None:
        now = self._clock()
        if self._answered_at is not None and now - self._answered_at > SILENT:
            self._patient_until = now + PATIENCE
        self._answered_at = now

    async def _consider(self, shard: int) -> None:
        """Take ``shard`` if that is for this node to do."""
        future = self._waiting.get(shard)
        if future is None or future.done() or shard in self._held:
            return
        now = self._clock()
        if now < self._patient_until or not self._spreading.may_take(shard, self._held, now):
            return
        async with self._taking:
            taken = None if self._leaving else await Lease.attempt(self._client, shard, self._name)
        if taken is None:
            return
        if future.done():
            await taken.release()
            return
        self._held.add(shard)
        self._spreading.taken(shard, self._clock())
        self._wake.set()
        future.set_result(taken)

    def _about(self) -> Member:
        return Member(self._name, self._since_ms, tuple(sorted(self._held)), self._leaving, __version__)

    async def _say(self, call: Callable[[], object]) -> None:
        try:
            async with asyncio.timeout(LEAVE_TIMEOUT):
                await call()  # type: ignore[misc]
        except FAILURES as error:
            LOG.info("The other voice nodes were not told: %r", error)

    # Listening. What is not heard costs a second.

    async def _listen_forever(self) -> None:
        backoff = Backoff()
        while True:
            try:
                await self._listen(backoff)
            except FAILURES as error:
                LOG.warning("The other voice nodes are not heard: %r", error)
            await backoff.wait()

    async def _listen(self, backoff: Backoff) -> None:
        def begin() -> None:
            backoff.reset()
            self._wake.set()

        await listen(self._client, keys.LEASES, keys.NODES, on_begin=begin, on_message=self._hear)

    def _hear(self, channel: bytes, message: bytes) -> None:
        if channel == keys.LEASES.encode():
            self._freed.add(int(message))
        self._wake.set()

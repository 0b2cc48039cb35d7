"""Redis, as the HTTP side uses it: each step tried once and bounded in time, so that a sentence is still in time."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from types import TracebackType
from typing import cast

import msgspec

from tonearm.errors import RedisAway, Refused, SettingsError, TonearmError
from tonearm.jobs.errand import AnyJob
from tonearm.music.player import Player
from tonearm.music.track import Entry
from tonearm.redis import answers, guilds, keys
from tonearm.redis import client as redis_client
from tonearm.redis.client import FAILURES, HOT_TIMEOUT, Client
from tonearm.redis.handover import HandedOver, hand_over, slot_of
from tonearm.sentences import Sentence
from tonearm.telemetry import HANDOVER_SECONDS, traces
from tonearm.telemetry.traces import Kind

LOG = logging.getLogger("tonearm.interactions")


OFFICE_AGAIN = (0.1, 0.2, 0.3, 0.2)
"""Seconds between the attempts to find a worker: one that leaves gives its streams back, and the next, which hears of
it, takes them within a quarter of a second. Between voice nodes there is no such gap, as one stands by."""

MEET_AGAIN = 0.05
"""Seconds between two attempts to meet Redis for the first time."""


class Seen(msgspec.Struct, frozen=True):
    """A guild at ``now_ms`` of Redis' clock: ``length`` tracks wait, ``entries`` are some of them."""

    player: Player
    length: int
    entries: list[Entry]
    now_ms: int


class Memory:
    """Redis behind the HTTP side.

    ``on_fatal`` is told when this process can't go on: its shard count is not that of the others.
    """

    def __init__(self, redis: Client, shard_count: int, on_fatal: Callable[[TonearmError], None]) -> None:
        self._redis = redis
        self._shard_count = shard_count
        self._on_fatal = on_fatal
        self._shard_count_is_right = False

    async def hand_over(self, job: AnyJob, window_ms: int) -> HandedOver:
        """See :func:`tonearm.redis.handover.hand_over`.

        Raises:
            Refused: a limit is reached, or nobody would do it. Nothing was done.
            RedisAway: Redis is down, hanging or refusing. When it hung, the job may have been taken: then its answer
                takes the place of the sentence.
        """
        for pause in OFFICE_AGAIN:
            try:
                return await self._hand_over(job, window_ms)
            except Refused as refusal:
                if refusal.sentence is not Sentence.NO_WORKER:
                    raise
            await asyncio.sleep(pause)
        return await self._hand_over(job, window_ms)

    async def _hand_over(self, job: AnyJob, window_ms: int) -> HandedOver:
        started = time.perf_counter()
        async with _Bounded():
            if not self._shard_count_is_right:
                await self._check_shard_count()
            try:
                handed = await hand_over(self._redis, job, shard_count=self._shard_count, window_ms=window_ms)
            except Refused as refusal:
                if refusal.sentence is Sentence.NO_PLAYER:  # or the number of shards is another one by now
                    self._shard_count_is_right = False
                raise
        HANDOVER_SECONDS.observe(time.perf_counter() - started)
        return handed

    async def claim(self, job: AnyJob, within_s: float) -> bytes | None:
        """See :func:`tonearm.redis.answers.claim`.

        Raises:
            RedisAway: Redis doesn't answer within ``within_s``.
        """
        async with _Bounded(within_s):
            return await answers.claim(self._redis, slot_of(job, self._shard_count), job.id)

    async def confirm(self, job: AnyJob) -> None:
        """See :func:`tonearm.redis.answers.confirm_response`.

        Raises:
            RedisAway: Redis doesn't answer; the answer will be edited in once more, which changes nothing.
        """
        async with _Bounded():
            await answers.confirm_response(self._redis, slot_of(job, self._shard_count), job.id)

    async def fetch_queue(self, guild: int, *, first: int = 0, most: int = 1) -> Seen:
        """The guild's player, and ``most`` of the waiting tracks from ``first`` (0 = the next one) on.

        Raises:
            RedisAway: Redis doesn't answer.
        """
        async with _Bounded():
            if not self._shard_count_is_right:
                await self._check_shard_count()
            shard = self._shard(guild)
            player, length, entries = await guilds.fetch_queue(self._redis, shard, guild, first=first, most=most)
            return Seen(player, length, entries, await redis_client.now_ms(self._redis, keys.player(shard, guild)))

    async def meet(self, within_s: float) -> None:
        """Wait until Redis answers for the first time, for so long at most: a process that takes a click before is
        taken for one whose memory is away, and a pod's network may open only some moments after the pod began."""
        try:
            async with asyncio.timeout(within_s):
                while not await self._met():  # noqa: ASYNC110 - a store tells nobody that it answers
                    await asyncio.sleep(MEET_AGAIN)
        except TimeoutError:
            LOG.warning("Redis does not answer yet: clicks are answered with a sentence until it does")

    async def _met(self) -> bool:
        try:
            await self.check_shard_count()
        except RedisAway:
            return False
        except Refused:
            LOG.debug("Redis answers, and the shard count is another one: who has to know it was told")
        return True

    async def check_shard_count(self) -> None:
        """Tell ``on_fatal`` when the shard count is another than that which the voice nodes wrote down.

        Raises:
            RedisAway: Redis doesn't answer.
            Refused: it is another one.
        """
        async with _Bounded():
            await self._check_shard_count()

    async def _check_shard_count(self) -> None:
        written = cast("bytes | None", await self._redis.get(keys.SHARD_COUNT))
        if written is None:  # no voice node has ever run
            return
        if int(written) != self._shard_count:
            self._on_fatal(
                SettingsError(
                    f"TONEARM_SHARD_COUNT is {self._shard_count} here, but Redis was set up with {int(written)}. "
                    "Set it to the same number in every process."
                )
            )
            raise Refused(Sentence.NO_PLAYER)
        self._shard_count_is_right = True

    def _shard(self, guild: int) -> int:
        return keys.shard_of(guild, self._shard_count)


class TracedMemory(Memory):
    """The same where traces are kept: a job carries its own away with it, and so does its answer."""

    async def hand_over(self, job: AnyJob, window_ms: int) -> HandedOver:
        """See :meth:`Memory.hand_over`."""
        with traces.span("hand over", Kind.PRODUCER, begins=True, job=job.id, guild=job.guild) as span:
            trace = traces.traceparent() or job.trace
            reply = msgspec.structs.replace(job.reply, trace=trace) if job.reply is not None else None
            handed = await super().hand_over(msgspec.structs.replace(job, trace=trace, reply=reply), window_ms)
            span.note(again=handed.again)
            return handed


class _Bounded:
    """Gives up after ``seconds``, and says of every failure of Redis that it is away."""

    def __init__(self, seconds: float = HOT_TIMEOUT) -> None:
        self._timeout = asyncio.timeout(seconds)

    async def __aenter__(self) -> None:
        await self._timeout.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self._timeout.__aexit__(kind, error, trace)
        except TimeoutError as late:
            raise RedisAway("no reply in time") from late
        if isinstance(error, FAILURES):
            raise RedisAway(repr(error)) from error

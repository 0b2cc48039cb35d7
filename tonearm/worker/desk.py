"""One of the workers' streams: its lease, its reader, the errands of its guilds in order, and its outbox.

Exactly once in effect: an errand is done in a database transaction that records it, then committed to Redis with its
answer and acknowledgement in one step that presents the fencing token. Who dies in between leaves it to the next
owner, who finds it recorded and commits the same answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from typing import Any, Protocol, cast

import msgspec

from tonearm.backoff import Backoff
from tonearm.discord import cards
from tonearm.discord.components import private
from tonearm.discord.rest import RestClient
from tonearm.errors import Away, DatabaseAway, LeaseLost, Refused, UserError
from tonearm.jobs.doing import doing
from tonearm.jobs.errand import ErrandJob, decode_errand
from tonearm.jobs.job import Answer, DeadLetter, Reply
from tonearm.music.player import Player
from tonearm.outbox import Outbox
from tonearm.postgres.pool import FAILURES as DATABASE_FAILURES
from tonearm.redis import guilds, keys, lease
from tonearm.redis.client import FAILURES, Client, is_for_good, now_ms
from tonearm.redis.guilds import GuildView
from tonearm.sentences import Sentence
from tonearm.telemetry import JOB_SECONDS, JOBS, LOG, context

BLOCK_MS = 1_000
"""How long a read waits; the client that reads must allow for more."""

BATCH = 50
RENEW_EVERY = 2.0
"""Seconds between two renewals of a lease."""

MARGIN = 1.0
"""Seconds before the end of its lease from which an owner does nothing any more."""

TAKE_EVERY = 0.5
"""Seconds between two attempts to take a stream that is another's, where it was not heard that it is free."""

AGAIN_MOST = 1.0
"""Seconds between two attempts at most while Redis is away: soon enough to keep the lease that it still knows."""

WITHIN = 3.0
"""Seconds that an errand may take in all, with its repetitions."""

AGAIN_AFTER = (0.1, 0.4, 1.0)
"""Seconds between the attempts of an errand that the database failed."""

MOST_AT_ONCE = 8
"""Errands in hand; those of one guild are done one after another."""


class Doer(Protocol):
    """Who does errands."""

    async def do(self, job: ErrandJob) -> Answer:
        """Do it once in effect, and say what its person is to see."""
        ...


class _Wreck(msgspec.Struct, frozen=True):
    id: str
    guild: int
    reply: Reply | None = None


_decode_wreck = msgspec.json.Decoder(_Wreck).decode


class Desk:
    """The stream ``number`` (below zero), as long as this worker owns it. :meth:`run` is its one task.

    ``may_hold`` tells whether this worker may take, or keep, one more stream than it has (or this one).
    """

    def __init__(
        self,
        number: int,
        owner: str,
        *,
        redis: Client,
        intake: Client,
        rest: RestClient,
        doer: Doer,
        may_hold: Callable[[int], bool] = lambda _: True,
    ) -> None:
        self.number = number
        self.holding = asyncio.Event()
        """Set while the stream is this worker's."""
        self._owner = owner
        self._redis = redis
        self._intake = intake
        self._doer = doer
        self._may_hold = may_hold
        self._stop = asyncio.Event()
        self._wake = asyncio.Event()
        self._token = ""
        self._until = 0.0
        self._clock_ms = 0.0
        self._hands = asyncio.Semaphore(MOST_AT_ONCE)
        self._tails: dict[int, asyncio.Task[None]] = {}
        self._outbox = Outbox(
            redis,
            rest.checked(self._require_held),
            number,
            token=lambda: self._token,
            clock=self._now_ms,
            until_held=self._until_held,
        )

    def stop(self) -> None:
        """Finish what is in hand, give the stream back, and end."""
        self._stop.set()
        self._wake.set()

    def look(self) -> None:
        """The stream may be free, or may be held now: see at once."""
        self._wake.set()

    async def run(self) -> None:
        """Own the stream whenever nobody else does, until :meth:`stop`."""
        backoff = Backoff(most=AGAIN_MOST)
        while not self._stop.is_set():
            try:
                if not self._may_hold(self.number) or not await self._take():
                    await self._pause(TAKE_EVERY)
                    continue
                self.holding.set()
                await self._serve()
                backoff.reset()
            except* LeaseLost:
                LOG.warning("A stream of errands has another owner", extra=context(stream=self.number))
            except* FAILURES as group:
                LOG.warning("Redis does not answer: %r", group.exceptions[0], extra=context(stream=self.number))
            finally:
                self.holding.clear()
            if not self._stop.is_set():
                await backoff.wait()

    # The lease.

    async def _take(self) -> bool:
        asked = time.monotonic()
        token = self._token or None
        if token is None or not await lease.renew(self._redis, self.number, token):
            token = await lease.take(self._redis, self.number, self._owner)
        if token is None:
            return False
        self._token, self._until = token, asked + lease.LEASE_MS / 1000 - MARGIN
        await self._read_clock()
        return True

    async def _read_clock(self) -> None:
        self._clock_ms = await now_ms(self._redis, keys.lease(self.number)) - time.monotonic() * 1000

    def _now_ms(self) -> int:
        return int(time.monotonic() * 1000 + self._clock_ms)

    def _require_held(self) -> None:
        if time.monotonic() >= self._until:
            raise LeaseLost(f"the lease of {self.number} ran out")

    async def _until_held(self) -> None:
        """A stream whose lease ran out is not waited for: another worker has it in a moment."""
        self._require_held()

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(RENEW_EVERY)
            asked = time.monotonic()
            try:
                if not await lease.renew(self._redis, self.number, self._token):
                    raise LeaseLost(f"the stream {self.number} has another owner")
                self._until = asked + lease.LEASE_MS / 1000 - MARGIN
                await self._read_clock()
            except FAILURES:
                self._require_held()

    # The stream.

    async def _serve(self) -> None:
        """Read and do until a stop, or until another worker should have the stream.

        Raises:
            ExceptionGroup: of LeaseLost or Redis' errors.
        """
        async with asyncio.TaskGroup() as helpers:
            kept = [helpers.create_task(self._keep()), helpers.create_task(self._outbox.run())]
            try:
                async with asyncio.TaskGroup() as work:
                    await self._read_all(work)
            finally:
                for task in kept:
                    task.cancel()
        await lease.release(self._redis, self.number, self._token)

    async def _read_all(self, work: asyncio.TaskGroup) -> None:
        stream = keys.jobs(self.number)
        await self._ensure_group(stream)
        start = "0-0"
        while True:
            self._require_held()
            answer = await cast(
                "Awaitable[Any]",
                self._intake.xautoclaim(
                    stream, keys.JOB_GROUP, self._owner, min_idle_time=0, start_id=start, count=BATCH
                ),
            )
            start = answer[0].decode()
            for entry, fields in answer[1]:
                self._accept(work, entry.decode(), fields)
            if start == "0-0":
                break
        while not self._stop.is_set() and self._may_hold(self.number):
            self._require_held()
            answer = await cast(
                "Awaitable[Any]",
                self._intake.xreadgroup(keys.JOB_GROUP, self._owner, {stream: ">"}, count=BATCH, block=BLOCK_MS),
            )
            for entry, fields in _entries(answer):
                self._accept(work, entry.decode(), fields)

    async def _ensure_group(self, stream: str) -> None:
        try:
            await self._redis.xgroup_create(stream, keys.JOB_GROUP, id="0", mkstream=True)
        except FAILURES as error:
            if "BUSYGROUP" not in str(error):
                raise

    def _accept(self, work: asyncio.TaskGroup, entry: str, fields: dict[bytes, bytes]) -> None:
        try:
            job = decode_errand(fields[b"j"])
        except (KeyError, msgspec.DecodeError) as error:
            wreck = _salvage(entry, fields)
            work.create_task(self._give_up_unread(wreck, entry, f"can't be read: {error}"))
            return
        before = self._tails.get(job.guild)
        task = work.create_task(self._attend(job, entry, before), name=f"errand {job.id}")
        self._tails[job.guild] = task
        task.add_done_callback(lambda done: self._forget_tail(job.guild, done))

    def _forget_tail(self, guild: int, done: asyncio.Task[None]) -> None:
        if self._tails.get(guild) is done:
            del self._tails[guild]

    async def _attend(self, job: ErrandJob, entry: str, before: asyncio.Task[None] | None) -> None:
        if before is not None and not before.done():
            await asyncio.wait([before])
        async with self._hands:
            self._require_held()
            with doing(job) as span:
                span.note(outcome=await self._finish(job, entry))

    async def _finish(self, job: ErrandJob, entry: str) -> str:
        """Do it and commit it; returns the outcome."""
        asked_ms = int(entry.partition("-")[0])
        outcome, answer, reason = await self._decide(job, asked_ms)
        kind = str(type(job.action).__struct_config__.tag)
        letter = None
        if reason:
            LOG.error("An errand is given up: %s", reason, extra=context(job=job.id))
            kept = msgspec.structs.replace(job, reply=None)
            letter = DeadLetter(job.id, job.guild, reason, self._now_ms(), errand=msgspec.to_builtins(kept))
        await self._commit(job.id, job.guild, entry, answer, job.reply, letter)
        JOBS.labels(kind, outcome).inc()
        JOB_SECONDS.labels(kind).observe(max(0, self._now_ms() - asked_ms) / 1000)
        return outcome

    async def _decide(self, job: ErrandJob, asked_ms: int) -> tuple[str, Answer, str]:
        """The outcome, the answer, and why it is given up, if it is."""
        late = self._now_ms() - asked_ms
        if late > job.valid_ms:
            return "late", _told(Refused(Sentence.TOO_LATE, seconds=late // 1000)), ""
        try:
            return "done", await self._do(job), ""
        except Refused as refusal:
            return "refused", _told(refusal), ""
        except Away as away:
            LOG.warning("An errand can't be done: %s", away.detail, extra=context(job=job.id))
            return "away", _told(away), ""
        except DATABASE_FAILURES as error:
            return "dead", _told(DatabaseAway()), f"PostgreSQL is away: {type(error).__name__}"
        except Exception as error:
            LOG.exception("An errand failed", extra=context(job=job.id))
            return "dead", _sentence(Sentence.INTERNAL.format(id=job.id)), type(error).__name__

    async def _do(self, job: ErrandJob) -> Answer:
        async with asyncio.timeout(WITHIN):
            for wait in (*AGAIN_AFTER, None):
                try:
                    return await self._doer.do(job)
                except DATABASE_FAILURES:
                    if wait is None:
                        raise
                await asyncio.sleep(wait)
        raise AssertionError("the last attempt has no wait")

    async def _give_up_unread(self, wreck: _Wreck, entry: str, reason: str) -> None:
        LOG.error("An errand %s", reason, extra=context(job=wreck.id))
        letter = DeadLetter(wreck.id, wreck.guild, reason, self._now_ms())
        answer = _sentence(Sentence.INTERNAL.format(id=wreck.id))
        await self._commit(wreck.id, wreck.guild, entry, answer, wreck.reply, letter)
        JOBS.labels("unknown", "dead").inc()

    async def _commit(
        self, id: str, guild: int, entry: str, answer: Answer, reply: Reply | None, letter: DeadLetter | None
    ) -> None:
        backoff = Backoff()
        while True:
            self._require_held()
            try:
                committed = await guilds.commit(
                    self._redis,
                    shard=self.number,
                    guild=guild,
                    token=self._token,
                    id=id,
                    now_ms=self._now_ms(),
                    before=GuildView(Player()),
                    stream_entry=entry,
                    answer=answer,
                    reply=reply,
                    dead=letter,
                )
                break
            except FAILURES as error:
                if is_for_good(error):
                    raise
                LOG.warning("Redis does not answer: %r", error, extra=context(job=id))
            await backoff.wait()
        if committed.deferred:
            self._outbox.notify(id)

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        self._wake.clear()


def _told(error: UserError) -> Answer:
    return _sentence(str(error))


def _sentence(text: str) -> Answer:
    return Answer(msgspec.Raw(msgspec.json.encode(private(cards.sentence(text)))), private=True)


def _salvage(entry: str, fields: dict[bytes, bytes]) -> _Wreck:
    try:
        return _decode_wreck(fields[b"j"])
    except (KeyError, msgspec.DecodeError):
        return _Wreck(f"x:{entry}", 0)


def _entries(answer: Any) -> list[tuple[bytes, dict[bytes, bytes]]]:
    """XREADGROUP answers a list of pairs in RESP2 and a map of lists in RESP3."""
    if not answer:
        return []
    if isinstance(answer, dict):
        return [each for found in answer.values() for entries in found for each in entries]
    return [each for _, entries in answer for each in entries]

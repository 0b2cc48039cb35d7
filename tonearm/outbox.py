"""An outbox: answers that are not known to have arrived are brought to Discord.

The promise: the original message ends up showing the job's answer, and no second message appears. An answer leaves
the outbox when Discord took it, or when it can't reach anybody any more; that is counted, by the way it took.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

import msgspec

from tonearm.discord.components import EPHEMERAL, private
from tonearm.discord.rest import UNKNOWN_MESSAGE, RestClient, nonce_for
from tonearm.discord.snowflake import made_ms
from tonearm.errors import DiscordAway, DiscordError, LeaseLost
from tonearm.jobs.job import Reply
from tonearm.redis import answers
from tonearm.redis.answers import Owed
from tonearm.redis.client import FAILURES, Client
from tonearm.telemetry import ANSWERS, ANSWERS_LOST, context, traces
from tonearm.telemetry.traces import Kind

log = logging.getLogger(__name__)

TOKEN_LIFE_MS = 15 * 60 * 1000
"""How long an interaction's token lives (Discord's documentation, *Receiving and Responding*)."""

GIVEN_UP_MS = 20 * 60 * 1000
"""When a lasting answer is no longer posted: what it tells of is old by then."""

PATIENCE = (0.25, 0.5, 1.0, 2.0, 4.0)
"""Seconds between attempts while Discord does not know an interaction that was deferred a moment ago
(discord-api-docs #7220)."""

POLL = 0.5
"""Seconds between two looks at what is due."""

MOST_AT_ONCE = 50
"""Answers on their way at the same time."""

BACKOFF_MS = (1_000, 2_000, 5_000, 10_000, 30_000)
"""How long an answer is left alone when Discord did not answer: longer each time."""

MOST_REMEMBERED = 10_000
"""Answers whose failures are counted."""

IN_HAND_MS = 20_000
"""How long an answer in hand is not offered again; after that its node must have died."""

HAND_ON_SECONDS = 0.4
"""How long leaving may take to offer again at once what was in hand."""

ARRIVED = frozenset({"edited", "followed_up", "posted"})
"""Ways on which an answer left the outbox and can be read; the others are told as warnings."""

UNSEEN = frozenset({"lost", "refused"})
"""Those on which nobody ever saw it; one that was deleted was seen."""

T = TypeVar("T")


async def _at_once() -> None:
    """There is no lease."""


class _Dead(Exception):
    """The interaction can't be answered any more. ``deleted``: because somebody removed the message."""

    def __init__(self, *, deleted: bool = False) -> None:
        super().__init__()
        self.deleted = deleted


class Outbox:
    """Delivers what is owed by one shard, or one of the workers' streams. :meth:`run` does the work, as a task of its
    owner.

    ``token`` gives the shard's fencing token, ``clock`` Redis' time in ms. ``until_held`` is awaited before every call
    of Discord and every write; it raises :class:`~tonearm.errors.LeaseLost` when the shard is another's. A call can
    wait for long before it is sent, so ``rest`` has to look at the lease, too, before each attempt
    (:meth:`~tonearm.discord.rest.RestClient.checked`).
    """

    def __init__(
        self,
        redis: Client,
        rest: RestClient,
        shard: int,
        *,
        token: Callable[[], str],
        clock: Callable[[], int],
        until_held: Callable[[], Awaitable[None]] = _at_once,
        patience: tuple[float, ...] = PATIENCE,
        poll: float = POLL,
    ) -> None:
        self._redis = redis
        self._rest = rest
        self._shard = shard
        self._token = token
        self._clock = clock
        self._until_held = until_held
        self._patience = patience
        self._poll = poll
        self._noted: deque[str] = deque()
        self._wake = asyncio.Event()
        self._in_hand: set[str] = set()
        self._failures: dict[str, int] = {}

    def notify(self, job: str) -> None:
        """The answer of ``job`` was committed after its interaction had been deferred: deliver it at once."""
        self._noted.append(job)
        self._wake.set()

    async def run(self) -> None:
        """Deliver until cancelled. Redis or Discord being away delays answers and stops nothing.

        Raises:
            ExceptionGroup: of :class:`~tonearm.errors.LeaseLost`.
        """
        try:
            async with asyncio.TaskGroup() as group:
                while True:
                    await self._until_held()
                    try:
                        async for owed in self._find():
                            self._in_hand.add(owed.job)
                            group.create_task(self._attend(owed), name=f"answer {owed.job}")
                    except FAILURES as error:
                        reason = type(error).__name__
                        log.warning("the outbox can't be read: %s", reason, extra=context(shard=self._shard))
                    await self._pause()
        finally:
            await self._hand_on()

    async def _hand_on(self) -> None:
        """What was in hand is due at once, for whoever has the shard next."""
        left, self._in_hand = self._in_hand, set()
        with contextlib.suppress(LeaseLost, *FAILURES):
            async with asyncio.timeout(HAND_ON_SECONDS):
                for job in left:
                    await answers.postpone(self._redis, self._shard, job, self._clock(), self._token())

    async def deliver(self, owed: Owed) -> str:
        """Bring one answer to Discord and confirm it; returns the way it took.

        Raises:
            DiscordAway: Discord doesn't answer; the answer is still owed.
            LeaseLost: the shard is another's, who delivers it; or the lease ran out before Discord was asked, and the
                answer is still owed.
            RedisError: it arrived, but Redis has been away too long to hear of it; it will be delivered once more.
        """
        with traces.span("answer", Kind.CLIENT, parent=owed.reply.trace, job=owed.job) as span:
            way = await self._bring(owed)
            span.note(way=way)
            await self._confirm(owed)
        ANSWERS.labels(way).inc()
        if way in UNSEEN:
            ANSWERS_LOST.inc()
        level = logging.INFO if way in ARRIVED else logging.WARNING
        log.log(level, "An answer left the outbox", extra=context(job=owed.job, way=way))
        self._failures.pop(owed.job, None)
        return way

    # Finding.

    async def _find(self) -> AsyncIterator[Owed]:
        """What is to be delivered now: first what was noted, then what is due, as far as there are hands."""
        while self._noted and self._room:
            # Looked at before Redis is asked: what is done by then must not be done again from what it said earlier.
            if self._noted[0] in self._in_hand:
                self._noted.popleft()
                continue
            owed = await answers.fetch_one_owed(self._redis, self._shard, self._noted[0])
            self._noted.popleft()
            if owed is not None:
                yield owed
        if not self._room:
            return
        now, busy = self._clock(), frozenset(self._in_hand)
        # Those in hand are asked for too, lest they stand in the way of the others.
        for owed in await answers.fetch_owed(self._redis, self._shard, now, most=MOST_AT_ONCE + len(busy)):
            if owed.job not in busy and self._room:
                await answers.postpone(self._redis, self._shard, owed.job, now + IN_HAND_MS, self._token())
                yield owed

    @property
    def _room(self) -> int:
        return MOST_AT_ONCE - len(self._in_hand)

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(self._poll):
                await self._wake.wait()
        except TimeoutError:
            pass
        self._wake.clear()

    async def _attend(self, owed: Owed) -> None:
        try:
            await self.deliver(owed)
        except LeaseLost as lost:
            await self._until_held()
            await self._postpone(owed, str(lost))
        except DiscordAway as error:
            await self._postpone(owed, error.detail)
        except FAILURES as error:
            await self._postpone(owed, type(error).__name__)
        except Exception as error:
            log.exception("an answer can't be delivered", extra=context(job=owed.job))
            await self._postpone(owed, type(error).__name__)
        self._in_hand.discard(owed.job)

    async def _postpone(self, owed: Owed, reason: str) -> None:
        if len(self._failures) >= MOST_REMEMBERED:
            self._failures.clear()
        failures = self._failures[owed.job] = self._failures.get(owed.job, 0) + 1
        wait = BACKOFF_MS[min(failures, len(BACKOFF_MS)) - 1]
        log.warning("an answer has to wait %d s: %s", wait // 1000, reason, extra=context(job=owed.job))
        await self._until_held()
        try:
            await answers.postpone(self._redis, self._shard, owed.job, self._clock() + wait, self._token())
        except FAILURES:
            log.warning("an answer can't be postponed", extra=context(job=owed.job))

    # Delivering.

    async def _confirm(self, owed: Owed) -> None:
        for wait in (*self._patience, None):
            await self._until_held()
            token = self._token()
            try:
                return await answers.confirm(self._redis, self._shard, owed.job, token)
            except LeaseLost:
                # Taken again since, it is still ours; and what has arrived is not to be sent once more.
                await self._until_held()
                if wait is None or self._token() == token:
                    raise
            except FAILURES:
                if wait is None:
                    raise
                await asyncio.sleep(wait)
        return None

    async def _bring(self, owed: Owed) -> str:
        message = _body(owed)
        try:
            try:
                if _age_ms(owed, self._clock()) >= TOKEN_LIFE_MS:
                    raise _Dead
                if owed.answer.private:
                    return await self._bring_private(owed, message)
                return await self._edit(owed, message)
            except _Dead as dead:
                return await self._without_token(owed, message, deleted=dead.deleted)
        except DiscordError as error:
            log.error("Discord refuses an answer: %s", error, extra=context(job=owed.job))
            return "refused"

    async def _edit(self, owed: Owed, message: dict[str, Any]) -> str:
        await self._patiently(lambda: self._rest.edit_original(owed.reply.application, owed.reply.token, message))
        return "edited"

    async def _bring_private(self, owed: Owed, message: dict[str, Any]) -> str:
        reply = owed.reply
        if owed.deferred:
            hidden = reply.private and not reply.component
        else:
            # It may have been written as a private message, or deferred by a process that could not say so.
            hidden = await self._is_hidden(reply)
        if hidden:
            return await self._edit(owed, message)
        if not reply.component:
            # First, and surely: until it is gone, a follow-up would be an edit of it, for everybody to see.
            try:
                await self._patiently(lambda: self._rest.delete_original(reply.application, reply.token))
            except _Dead as dead:
                if not dead.deleted:
                    raise
        await self._patiently(lambda: self._rest.follow_up(reply.application, reply.token, private(message)))
        return "followed_up"

    async def _is_hidden(self, reply: Reply) -> bool:
        """Whether only its caller sees the original. What is gone hides nothing: we may have deleted it, and died
        before the follow-up."""
        try:
            original = await self._patiently(lambda: self._rest.fetch_original(reply.application, reply.token))
        except _Dead as dead:
            if not dead.deleted:
                raise
            return False
        return bool(int(original.get("flags") or 0) & EPHEMERAL)

    async def _patiently(self, call: Callable[[], Awaitable[T]]) -> T:
        """What ``call`` returns; a 404 is met with patience.

        Raises:
            _Dead: Discord goes on not knowing the interaction, or refuses its token.
        """
        for wait in (*self._patience, None):
            await self._until_held()
            try:
                return await call()
            except DiscordError as error:
                if error.status == 404 and wait is not None:
                    await asyncio.sleep(wait)
                elif error.status == 404:
                    raise _Dead(deleted=error.code == UNKNOWN_MESSAGE) from None
                elif error.status == 401:
                    raise _Dead from None
                else:
                    raise
        raise AssertionError("the last attempt has no wait")

    async def _without_token(self, owed: Owed, message: dict[str, Any], *, deleted: bool) -> str:
        if deleted:
            return "deleted"
        answer, channel = owed.answer, owed.reply.text_channel
        if answer.private or not answer.lasting or not channel:
            return "lost"
        if _age_ms(owed, self._clock()) >= GIVEN_UP_MS:
            return "lost"
        await self._until_held()
        await self._rest.create_message(channel, message, nonce=nonce_for(owed.job))
        return "posted"


def _body(owed: Owed) -> dict[str, Any]:
    body: dict[str, Any] = msgspec.json.decode(owed.answer.message)
    flags = int(body.get("flags") or 0)
    return {**body, "flags": flags & ~EPHEMERAL}


def _age_ms(owed: Owed, now: int) -> int:
    kind, _, interaction = owed.job.partition(":")
    return now - made_ms(int(interaction)) if kind == "i" and interaction.isdecimal() else 0

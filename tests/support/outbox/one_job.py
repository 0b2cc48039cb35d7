"""One job, its deliveries and its owners, who stop at each call until a test says how it goes on."""

import asyncio
import contextlib
import itertools
import time
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import ContextVar
from typing import Any, TypeVar, cast

import msgspec

from interactions.answering import Answering
from interactions.discord import respond
from interactions.memory import Memory
from interactions.replies import ReplyPath
from tests.support.messages import words_of
from tonearm.discord.cards import sentence
from tonearm.discord.components import private
from tonearm.discord.rest import UNKNOWN_MESSAGE, RestClient
from tonearm.discord.snowflake import DISCORD_EPOCH_MS
from tonearm.errors import DiscordAway, DiscordError, LeaseLost, RedisAway
from tonearm.jobs.job import Answer, Job, Reply, encode
from tonearm.music.actions import Stop
from tonearm.music.player import Player
from tonearm.outbox import Outbox
from tonearm.redis import answers, guilds, handover, keys, lease
from tonearm.redis.client import FAILURES, Client
from tonearm.sentences import Sentence

ANSWER, AWAY = "This is the answer.", str(Sentence.MEMORY_AWAY)
GO, BEFORE, AFTER = "goes", "fails before", "fails after"
ROUNDS = 20
"""In which a last owner has to bring everything, when nothing fails any more."""

T = TypeVar("T")

guild_numbers = itertools.count(1)
now: ContextVar["Actor"] = ContextVar("now")


class Actor:
    """Somebody at work, who stops at each gate."""

    def __init__(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._work = work
        self._stopped = asyncio.Event()
        self._gate: asyncio.Future[str] | None = None
        self._task: asyncio.Task[None] | None = None

    async def begin(self) -> None:
        token = now.set(self)
        self._task = asyncio.create_task(self._work())
        now.reset(token)
        self._task.add_done_callback(lambda _: self._stopped.set())
        await self._until_stopped()

    async def stop_at_gate(self) -> str:
        self._gate = asyncio.get_running_loop().create_future()
        self._stopped.set()
        return await self._gate

    async def step(self, outcome: str) -> None:
        assert self._gate is not None
        self._stopped.clear()
        self._gate.set_result(outcome)
        await self._until_stopped()

    async def die(self) -> None:
        assert self._task is not None
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    @property
    def at_work(self) -> bool:
        return self._task is not None and not self._task.done()

    async def _until_stopped(self) -> None:
        async with asyncio.timeout(20):
            await self._stopped.wait()
        if self._task is not None and self._task.done():
            self._task.result()


async def at_gate(call: Callable[[], Awaitable[T]], failure: Exception) -> T:
    """``call``, or ``failure`` instead of it, or after it."""
    outcome = await now.get().stop_at_gate()
    if outcome == BEFORE:
        raise failure
    result = await call()
    if outcome == AFTER:
        raise failure
    return result


class Discord:
    """One interaction: the first response that comes is its original message."""

    def __init__(self) -> None:
        self.taken = False
        self.original: dict[str, Any] | None = None
        self.follow_ups: list[dict[str, Any]] = []

    def take(self, response: bytes) -> None:
        if not self.taken:
            self.taken = True
            self.original = {"flags": 0, **(msgspec.json.decode(response).get("data") or {})}

    @property
    def readable(self) -> bool:
        messages = [message for message in (self.original, *self.follow_ups) if message and "components" in message]
        return any(ANSWER in words_of(message) for message in messages)

    # As the REST client.

    async def edit_original(self, _application: int, _token: str, message: dict[str, Any]) -> None:
        await at_gate(lambda: self._edit(message), DiscordAway("edit"))

    async def fetch_original(self, _application: int, _token: str) -> dict[str, Any]:
        return await at_gate(self._fetch, DiscordAway("fetch"))

    async def delete_original(self, _application: int, _token: str) -> None:
        await at_gate(self._delete, DiscordAway("delete"))

    async def follow_up(self, _application: int, _token: str, message: dict[str, Any]) -> None:
        await at_gate(lambda: self._follow_up(message), DiscordAway("follow up"))

    async def _fetch(self) -> dict[str, Any]:
        if not self.taken:
            raise DiscordAway("not known yet")
        if self.original is None:
            raise DiscordError("any", 404, UNKNOWN_MESSAGE, "Unknown Message")
        return self.original

    async def _edit(self, message: dict[str, Any]) -> None:
        await self._fetch()
        assert self.original is not None
        self.original = {**message, "flags": self.original["flags"]}

    async def _delete(self) -> None:
        await self._fetch()
        self.original = None

    async def _follow_up(self, message: dict[str, Any]) -> None:
        self.follow_ups.append(message)


class Delivery:
    """A delivery of the interaction to an HTTP process: its Redis, and the way on which answers come to it."""

    to = "reply:here"

    def __init__(self, redis: Client, job: Job, discord: Discord, *, listening: bool) -> None:
        self.listening = listening
        self.message: bytes | None = None
        self._expecting = self._unknown = False
        self._redis, self._job, self._discord = redis, job, discord
        self._answering = Answering(cast(Memory, self), cast(ReplyPath, self), 800)

    async def run(self) -> None:
        confirm = False
        try:
            answered = await self._answering.answer(self._job, 0)
            response, confirm = answered.body, answered.confirm
        except RedisAway:
            response = respond.sentence(AWAY)
        if self._unknown:
            return
        await now.get().stop_at_gate()
        self._discord.take(response)
        if confirm:
            with contextlib.suppress(RedisAway):
                await at_gate(lambda: answers.confirm_response(self._redis, 0, self._job.id), RedisAway("confirm"))

    def publish(self, message: bytes) -> None:
        if self._expecting:
            self.message = message

    # As the memory.

    async def hand_over(self, job: Job, window_ms: int) -> handover.HandedOver:
        self._unknown = True
        limit = handover.Limit(1, 1_000)

        async def hand_over() -> handover.HandedOver:
            self._unknown = False
            return await handover.hand_over(
                self._redis, job, shard_count=1, window_ms=window_ms, guild_limit=limit, user_limit=limit
            )

        return await at_gate(hand_over, RedisAway("hand over"))

    async def claim(self, job: Job, _within_s: float) -> bytes | None:
        return await at_gate(lambda: answers.claim(self._redis, 0, job.id), RedisAway("claim"))

    # As the way of the answers, and what is expected there.

    def expect(self, _job: Job) -> "Delivery":
        self._expecting = True
        return self

    async def until(self, _end: float) -> bytes | None:
        return self.message if await now.get().stop_at_gate() == GO else None

    def forget(self) -> None:
        self._expecting = False


class GatedRedis:
    """The outbox's: stops before each write."""

    def __init__(self, redis: Client) -> None:
        self._redis = redis

    def __getattr__(self, name: str) -> Any:
        return getattr(self._redis, name)

    async def evalsha(self, *args: Any) -> Any:
        return await at_gate(lambda: self._redis.evalsha(*args), TimeoutError())

    async def eval(self, *args: Any) -> Any:
        return await self._redis.eval(*args)

    async def zrem(self, *args: Any) -> Any:
        return await at_gate(lambda: self._redis.zrem(*args), TimeoutError())


class Owner:
    """A voice node that has the shard, until another has."""

    def __init__(self, redis: Client, discord: Discord, token: str, clock: Callable[[], int]) -> None:
        self.token = token
        self.held = True
        self.outbox = Outbox(
            cast(Client, GatedRedis(redis)),
            cast(RestClient, discord),
            0,
            token=lambda: token,
            clock=clock,
            until_held=self._until_held,
            patience=(),
        )

    async def _until_held(self) -> None:
        await now.get().stop_at_gate()
        if not self.held:
            raise LeaseLost("another's")

    async def look(self) -> None:
        """One round of what the outbox does for as long as it runs."""
        with contextlib.suppress(LeaseLost, *FAILURES):
            async for owed in self.outbox._find():
                self.outbox._in_hand.add(owed.job)
                try:
                    await self.outbox._attend(owed)
                finally:
                    self.outbox._in_hand.clear()


class World:
    """One job in a shard of one, its deliveries and its owners."""

    def __init__(self, redis: Client, *, answer_private: bool, reply_private: bool) -> None:
        self.redis = redis
        self.discord = Discord()
        self.deliveries: list[Delivery] = []
        self.actors: list[Actor] = []
        self.owner: Owner | None = None
        self.committed = False
        self.ahead_ms = 0
        body = private(sentence(ANSWER)) if answer_private else sentence(ANSWER)
        self._answer = Answer(msgspec.Raw(msgspec.json.encode(body)), answer_private, False)
        self._began_ms = int(time.time() * 1000)
        made = (self._began_ms - DISCORD_EPOCH_MS) << 22
        self._guild = next(guild_numbers) << 22
        reply = Reply(5, "token", Delivery.to, reply_private)
        self._job = Job(f"i:{made + next(guild_numbers)}", self._guild, 7, 9, Stop(), 60_000, reply)

    def clock(self) -> int:
        """Stands still, so that what is due depends on nothing but the machine's rules."""
        return self._began_ms + self.ahead_ms

    @property
    def working(self) -> list[Actor]:
        return [actor for actor in self.actors if actor.at_work]

    async def take_over(self) -> None:
        if self.owner is not None:
            self.owner.held = False
        await self.redis.delete(keys.lease(0))
        token = await lease.take(self.redis, 0, "owner", life_ms=600_000)
        assert token is not None
        self.owner = Owner(self.redis, self.discord, token, self.clock)

    async def begin(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        actor = Actor(work)
        self.actors.append(actor)
        await actor.begin()

    async def deliver(self, *, listening: bool) -> None:
        delivery = Delivery(self.redis, self._job, self.discord, listening=listening)
        self.deliveries.append(delivery)
        await self.begin(delivery.run)

    async def commit(self, *, lost: bool) -> None:
        """``lost``: the owner does not hear of it, and commits once more."""
        found = await self.redis.xrange(keys.jobs(0))
        if not found or self.owner is None:
            return
        for _ in range(2 if lost else 1):
            done = await guilds.commit(
                self.redis,
                shard=0,
                guild=self._guild,
                token=self.owner.token,
                id=self._job.id,
                now_ms=self.clock(),
                before=guilds.GuildView(Player()),
                stream_entry=cast(bytes, found[0][0]).decode(),
                answer=self._answer,
                reply=self._job.reply,
            )
            if not done.again and not done.deferred:
                for delivery in self.deliveries:
                    delivery.publish(encode(self._answer))
        self.committed = True
        if done.deferred:
            self.owner.outbox.notify(self._job.id)

    async def finish(self, *, last_first: bool) -> None:
        """Nothing fails any more, and there is time."""
        for actor in self.working[:: -1 if last_first else 1]:
            await self._run(actor)
        if not self.committed:
            await self.commit(lost=False)
        if not self.discord.taken:
            return
        await self.take_over()
        assert self.owner is not None
        for _ in range(ROUNDS):
            self.ahead_ms += 30_000
            await self.begin(self.owner.look)
            await self._run(self.actors[-1])
            if not await self.redis.zcard(keys.outbox(0)):
                return

    async def _run(self, actor: Actor) -> None:
        while actor.at_work:
            await actor.step(GO)

"""A shard whose answers are owed, on a real Valkey, and a Discord that they go to."""

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator, Coroutine
from typing import Any

import msgspec
import redis.asyncio
from prometheus_client import REGISTRY

from tests.support.discord_api import DiscordApi, Interaction, Json, deferred
from tests.support.messages import words_of
from tonearm.discord.cards import sentence
from tonearm.discord.components import private
from tonearm.discord.rest import RestClient
from tonearm.discord.snowflake import DISCORD_EPOCH_MS
from tonearm.jobs.job import Answer, Job, Reply
from tonearm.music.actions import Stop
from tonearm.music.player import Player
from tonearm.outbox import Outbox
from tonearm.redis import answers, guilds, handover, keys
from tonearm.redis.answers import Owed

SHARD, GUILD, USER, CHANNEL = 0, 1 << 22, 7, 77
WORDS = "This is the answer."
MINUTE = 60_000

Redis = redis.asyncio.Redis
numbers = itertools.count(1)


class Clock:
    """Redis' time, and what is added to it."""

    def __init__(self) -> None:
        self.ahead_ms = 0

    def __call__(self) -> int:
        return int(time.time() * 1000) + self.ahead_ms


class World:
    """A shard with jobs whose answers are owed."""

    def __init__(self, redis: "Redis[Any]", api: DiscordApi, client: RestClient, token: str) -> None:
        self.redis, self.api, self.client, self.token = redis, api, client, token
        self.clock = Clock()
        self.confirmed: asyncio.Queue[str] = asyncio.Queue()

    def outbox(self, **options: Any) -> Outbox:
        options = {"patience": (0.01, 0.01, 0.01), "poll": 0.01, **options}
        return Outbox(self.redis, self.client, SHARD, token=lambda: self.token, clock=self.clock, **options)

    async def owe(
        self,
        *,
        answer_private: bool = False,
        lasting: bool = True,
        reply_private: bool = False,
        component: bool = False,
        is_deferred: bool = True,
        channel: int | None = CHANNEL,
        original: Json | None = None,
        unknown: int = 0,
        dead: bool = False,
    ) -> Owed:
        """A job that was handed over and done, and whose answer nobody confirmed."""
        number = next(numbers)
        job_id = f"i:{((self.clock() - DISCORD_EPOCH_MS) << 22) + number}"
        reply = Reply(5, f"token{number}", "reply:x", reply_private, component)
        job = Job(job_id, GUILD, number, CHANNEL, Stop(), 60_000, reply)
        limit = handover.Limit(1, 10_000)
        await handover.hand_over(
            self.redis, job, shard_count=1, window_ms=0 if is_deferred else 500, guild_limit=limit, user_limit=limit
        )
        ((entry, _),) = await self.redis.xrange(keys.jobs(SHARD))
        body = private(sentence(WORDS)) if answer_private else sentence(WORDS)
        committed = await guilds.commit(
            self.redis,
            shard=SHARD,
            guild=GUILD,
            token=self.token,
            id=job_id,
            now_ms=self.clock(),
            before=guilds.GuildView(Player(text_channel=channel)),
            stream_entry=entry.decode(),
            answer=Answer(msgspec.Raw(msgspec.json.encode(body)), answer_private, lasting),
            reply=reply,
        )
        assert committed.deferred == is_deferred
        if original is None:
            original = deferred(private=reply_private)
            if component:
                original = {"id": "1", "flags": 0, "components": [{"type": 10, "content": "The player."}]}
        self.api.interactions[reply.token] = Interaction(original, unknown=unknown, dead=dead)
        owed = await answers.fetch_one_owed(self.redis, SHARD, job_id)
        assert owed is not None
        return owed

    def seen(self, owed: Owed) -> Interaction:
        return self.api.interactions[owed.reply.token]

    async def is_owed(self, owed: Owed) -> bool:
        return await answers.fetch_one_owed(self.redis, SHARD, owed.job) is not None


@contextlib.asynccontextmanager
async def running(work: Coroutine[Any, Any, None]) -> AsyncIterator["asyncio.Task[None]"]:
    task = asyncio.create_task(work)
    try:
        yield task
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError, BaseExceptionGroup):
            await task


async def next_of(queue: "asyncio.Queue[str]") -> str:
    async with asyncio.timeout(10):
        return await queue.get()


def shows(message: Json | None) -> bool:
    return message is not None and "components" in message and WORDS in words_of(message)


def counted(way: str) -> float:
    return REGISTRY.get_sample_value("tonearm_answers_total", {"way": way}) or 0.0

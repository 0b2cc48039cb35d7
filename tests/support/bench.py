"""A guild's actors on a real Valkey, with a world that fails as a test says."""

from __future__ import annotations

import asyncio
import time
import warnings
from typing import Any, cast

import msgspec

from tests.support.voice_nodes import GUILD, SHARD, VOICE, hand_over, make_job
from tonearm.jobs.job import Job, Reply
from tonearm.music.actions import Play
from tonearm.music.track import Loaded, Track
from tonearm.redis import answers, dead, keys
from tonearm.redis.client import Client
from voice_nodes.intake import Intake
from voice_nodes.lease import Lease

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # discord.py imports audioop
    from voice_nodes.actor import GuildActor


REPLY = Reply(1, "a secret token", "reply:here")
FOUND = Loaded((Track("abc", "A song"),))


class World:
    """Discord and Lavalink as an actor asks them; ``errors`` are raised by the next look-ups, one each."""

    def __init__(self) -> None:
        self.errors: list[Exception] = []
        self.asked: list[tuple[str, float]] = []

    async def fetch_caller_channel(self, guild: int, user: int, *, here: int | None = None) -> int:
        return VOICE

    def is_alone(self, guild: int, channel: int) -> bool:
        return False

    def require_entry(self, guild: int, channel: int) -> None:
        pass

    async def fetch_tracks(self, query: str, guild: int) -> Loaded:
        self.asked.append((query, time.monotonic()))
        if self.errors:
            raise self.errors.pop(0)
        return FOUND

    async def require_alive(self, guild: int) -> None:
        self.asked.append(("alive", time.monotonic()))
        if self.errors:
            raise self.errors.pop(0)

    # As converger and announcer.

    async def run(self) -> None:
        await asyncio.Event().wait()

    def show(self, _: object) -> None:
        pass

    def begins(self, play: str) -> None:
        pass


class Bench:
    """A node's way of a job, from the stream to the commit."""

    def __init__(self, redis: Client, world: World) -> None:
        self.redis = redis
        self.world = world
        self.deferred: list[str] = []
        self.actors: dict[int, GuildActor] = {}
        self.lease: Lease = cast(Any, None)

    def actor(self, guild: int) -> GuildActor:
        world: Any = self.world
        made = GuildActor(
            guild,
            shard=SHARD,
            redis=self.redis,
            lease=self.lease,
            gateway=world,
            sound=world,
            announcer=world,
            on_deferred=self.deferred.append,
            on_end=lambda: None,
        )
        made.converger = world
        return made

    async def work(self, owner: str = "me") -> None:
        """Be the shard's owner until cancelled."""
        async with asyncio.TaskGroup() as tasks:

            def deliver(received: Any) -> None:
                guild = received.job.guild
                if guild not in self.actors:
                    self.actors[guild] = self.actor(guild)
                    tasks.create_task(self.actors[guild].run())
                self.actors[guild].submit(received)

            await Intake(self.redis, SHARD, owner, deliver).run()

    async def give(self, *jobs: Job) -> None:
        for job in jobs:
            await hand_over(self.redis, job)

    async def done(self, timeout: float = 10) -> None:
        """All that was handed over is out of the stream."""
        async with asyncio.timeout(timeout):
            while await self.redis.xlen(keys.jobs(SHARD)):
                await self.redis.xread({keys.jobs(99): "$"}, block=10)  # a pause on the server's clock

    async def letters(self) -> list[tuple[str, str]]:
        return [(kept.letter.id, kept.letter.reason) for kept in await dead.fetch_dead(self.redis, SHARD)]

    async def told(self, job: str) -> str:
        owed = await answers.fetch_one_owed(self.redis, SHARD, job)
        assert owed is not None
        assert owed.reply == REPLY
        assert owed.answer.private
        return msgspec.json.encode(msgspec.json.decode(owed.answer.message)).decode()

    async def logged(self) -> list[str]:
        entries = await self.redis.lrange(keys.log(SHARD, GUILD), 0, -1)
        return [msgspec.json.decode(entry)["id"] for entry in entries]


def play(name: str, *, reply: Reply | None = None, valid_ms: int = 60_000) -> Job:
    return make_job(name, Play(f"query of {name}"), reply=reply, valid_ms=valid_ms)

"""A guild of its own on a Valkey, whose steps a test commits."""

import itertools
from typing import Any

import msgspec
import redis.asyncio

from tests.support.scenes import entry
from tonearm.discord.cards import sentence
from tonearm.jobs.job import Answer, Job, Reply
from tonearm.music.actions import Pause
from tonearm.music.change import Change, QueueChange
from tonearm.music.player import Player
from tonearm.music.track import Entry
from tonearm.redis import guilds, keys
from tonearm.redis.guilds import Committed, GuildView
from tonearm.redis.handover import hand_over

SHARD, NOW = 0, 1_700_000_000_000
REPLY = Reply(5, "token", "reply:here")
ANSWER = Answer(msgspec.Raw(msgspec.json.encode(sentence("Done."))))

Redis = redis.asyncio.Redis
guild_numbers = itertools.count(1)


class Store:
    """A guild of its own on an empty Valkey, and the lease of its shard."""

    def __init__(self, client: "Redis[Any]", token: str) -> None:
        self.client, self.token = client, token
        self.steps = itertools.count(1)
        self.guild = 0
        self.new_guild()

    def new_guild(self) -> None:
        self.guild = next(guild_numbers) << 22
        self.view = GuildView(Player())

    async def commit(self, change: Change | None = None, **options: Any) -> Committed:
        known = {
            "shard": SHARD,
            "guild": self.guild,
            "token": self.token,
            "id": f"e:{next(self.steps)}",
            "now_ms": NOW,
            "before": self.view,
            "change": change,
        }
        committed = await guilds.commit(self.client, **{**known, **options})
        self.view = committed.view
        return committed

    async def queue(self, queue: QueueChange, **options: Any) -> Committed:
        return await self.commit(Change(self.view.player, "queue", queue=queue), **options)

    async def everything(self) -> dict[bytes, bytes]:
        """All that is stored, byte by byte; but the limits, which run out by themselves."""
        found = [key for key in await self.client.keys("*") if b":limit" not in key]
        return {key: await self.client.dump(key) for key in found}

    async def hand_over(self, job: str, window_ms: int = 500) -> str:
        """The stream entry of a job that was handed over and read."""
        await hand_over(
            self.client, Job(job, self.guild, 7, 9, Pause(), 20_000, REPLY), shard_count=1, window_ms=window_ms
        )
        return await self.read()

    async def read(self) -> str:
        stream = keys.jobs(SHARD)
        groups = await self.client.xinfo_groups(stream)
        if not groups:
            await self.client.xgroup_create(stream, keys.JOB_GROUP, "0")
        ((_, ((entry, _),)),) = await self.client.xreadgroup(keys.JOB_GROUP, "me", {stream: ">"}, count=1)
        return entry.decode()


def named(*names: str) -> tuple[Entry, ...]:
    return tuple(entry(name) for name in names)

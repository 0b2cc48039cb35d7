"""Somebody who owns a shard and does jobs, as far as the HTTP side can see."""

import asyncio
import json

import msgspec

from tonearm.jobs.job import Answer, Job, decode_job
from tonearm.redis import guilds, keys, lease
from tonearm.redis.guilds import Committed, GuildView


def answer(text: str = "done", *, private: bool = False, lasting: bool = False) -> Answer:
    """A rendered answer."""
    message = {
        "flags": 1 << 15 | (64 if private else 0),
        "components": [{"type": 10, "content": text}],
        "allowed_mentions": {"parse": []},
    }
    return Answer(msgspec.Raw(json.dumps(message).encode()), private, lasting)


class StubNode:
    """Owns shard 0 of 1."""

    def __init__(self, redis) -> None:
        self.redis = redis
        self.token = ""

    async def own(self, shard_count: int = 1, *, life_ms: int = 60_000) -> None:
        """Take the shard."""
        self.token = await lease.take(self.redis, 0, "stub", life_ms=life_ms)
        await self.redis.xgroup_create(keys.jobs(0), keys.JOB_GROUP, "0", mkstream=True)
        await self.redis.set(keys.SHARD_COUNT, shard_count)

    async def take(self) -> tuple[str, Job]:
        """The next job, when it comes."""
        found = await self.redis.xreadgroup(keys.JOB_GROUP, "stub", {keys.jobs(0): ">"}, count=1, block=4_000)
        assert found, "no job came"
        streams = found.items() if isinstance(found, dict) else found
        ((_, entries),) = streams
        while len(entries) == 1 and isinstance(entries[0], list):
            (entries,) = entries
        ((entry, fields),) = entries
        return entry.decode(), decode_job(fields[b"j"])

    async def commit(self, entry: str, job: Job, said: Answer | None, *, change=None, before=None) -> Committed:
        """Finish a job."""
        return await guilds.commit(
            self.redis,
            shard=0,
            guild=job.guild,
            token=self.token,
            id=job.id,
            now_ms=0,
            before=before or await guilds.fetch_view(self.redis, 0, job.guild),
            change=change,
            stream_entry=entry,
            user=job.user,
            answer=said,
            reply=job.reply,
        )

    async def do_one(self, said: Answer | None = None) -> Job:
        """Take the next job and finish it."""
        entry, job = await self.take()
        await self.commit(entry, job, said or answer())
        return job

    async def do_all(self) -> None:
        """Until cancelled."""
        while True:
            await self.do_one()

    async def put(self, guild: int, change) -> GuildView:
        """A change without a job."""
        done = await guilds.commit(
            self.redis,
            shard=0,
            guild=guild,
            token=self.token,
            id=f"e:{asyncio.get_running_loop().time()}",
            now_ms=0,
            before=GuildView(change.player),
            change=change,
        )
        return done.view

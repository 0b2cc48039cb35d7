"""Reads a shard's job stream: first what an owner before left behind, in order, then what comes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, cast

import msgspec

from tonearm.jobs.job import Job, decode_job
from tonearm.redis import keys
from tonearm.redis.client import FAILURES, Client
from tonearm.telemetry import LOG, context
from voice_nodes.backoff import Backoff

BLOCK_MS = 2_000
BATCH = 100


class Received(msgspec.Struct, frozen=True):
    """A job as it was taken from the stream. ``asked_ms`` is when it was handed over."""

    job: Job
    entry: str
    asked_ms: int
    seen_play: str | None


class Intake:
    """The one reader of a shard's stream."""

    def __init__(self, client: Client, shard: int, owner: str, deliver: Callable[[Received], None]) -> None:
        self._client = client
        self._stream = keys.jobs(shard)
        self._shard = shard
        self._owner = owner
        self._deliver = deliver

    async def run(self) -> None:
        """Read until cancelled. Waits while Redis is away."""
        backoff = Backoff()
        caught_up = False
        while True:
            try:
                if not caught_up:
                    await self._ensure_group()
                    await self._take_over()
                    caught_up = True
                await self._read()
                backoff.reset()
            except FAILURES as error:
                LOG.warning("The job stream can't be read: %r", error, extra=context(shard=self._shard))
                # A store that lost its data has lost the group as well.
                caught_up = False
                await backoff.wait()

    async def _ensure_group(self) -> None:
        try:
            await self._client.xgroup_create(self._stream, keys.JOB_GROUP, id="0", mkstream=True)
        except FAILURES as error:
            if "BUSYGROUP" not in str(error):
                raise

    async def _take_over(self) -> None:
        start = "0-0"
        while True:
            answer = await cast(
                "Awaitable[Any]",
                self._client.xautoclaim(
                    self._stream, keys.JOB_GROUP, self._owner, min_idle_time=0, start_id=start, count=BATCH
                ),
            )
            start = answer[0].decode()
            for entry, fields in answer[1]:
                await self._pass_on(entry, fields)
            if start == "0-0":
                return

    async def _read(self) -> None:
        answer = await cast(
            "Awaitable[Any]",
            self._client.xreadgroup(keys.JOB_GROUP, self._owner, {self._stream: ">"}, count=BATCH, block=BLOCK_MS),
        )
        for batch in _batches(answer):
            for entry, fields in batch:
                await self._pass_on(entry, fields)

    async def _pass_on(self, entry: bytes, fields: dict[bytes, bytes]) -> None:
        name = entry.decode()
        try:
            job = decode_job(fields[b"j"])
        except (KeyError, msgspec.DecodeError) as error:
            LOG.error("A job can't be read and is dropped: %s", error, extra=context(shard=self._shard, entry=name))
            await self._client.xack(self._stream, keys.JOB_GROUP, name)
            await self._client.xdel(self._stream, name)
            return
        play = fields.get(b"p", b"").decode() or None
        self._deliver(Received(job, name, int(name.partition("-")[0]), play))


def _batches(answer: Any) -> list[list[tuple[bytes, dict[bytes, bytes]]]]:
    """XREADGROUP answers a list of pairs in RESP2 and a map in RESP3."""
    if not answer:
        return []
    if isinstance(answer, dict):
        return [entries for found in answer.values() for entries in found]
    return [entries for _, entries in answer]

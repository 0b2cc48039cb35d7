"""Reads a shard's job stream: first what an owner before left behind, in order, then what comes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, cast

import msgspec

from tonearm.backoff import Backoff
from tonearm.jobs.job import Job, Reply, decode_job
from tonearm.music.actions import Stop
from tonearm.redis import keys
from tonearm.redis.client import FAILURES, Client
from tonearm.telemetry import LOG, context

BLOCK_MS = 2_000
BATCH = 100
NOT_OURS = 0.1
"""Seconds between two looks whether a lease that ran out is there again."""


class Received(msgspec.Struct, frozen=True):
    """A job as it was taken from the stream. ``asked_ms`` is when it was handed over.

    ``again`` tells that somebody had it in hand before. ``unreadable`` says why it can't be read; ``job`` then holds
    no more than could be made out, and is not to be done.
    """

    job: Job
    entry: str
    asked_ms: int
    seen_play: str | None
    again: bool = False
    unreadable: str = ""


class _Wreck(msgspec.Struct, frozen=True):
    """What must be known of a job to tell its person that it can't be done."""

    id: str
    guild: int
    reply: Reply | None = None


_decode_wreck = msgspec.json.Decoder(_Wreck).decode


class Intake:
    """The one reader of a shard's stream.

    ``remaining`` tells for how many seconds the shard is ours. Nothing is asked for that could be answered later: what
    is given to a reader that is not the owner any more is lost until the next owner.
    """

    def __init__(
        self,
        client: Client,
        shard: int,
        owner: str,
        deliver: Callable[[Received], None],
        *,
        remaining: Callable[[], float] = lambda: float("inf"),
    ) -> None:
        self._client = client
        self._stream = keys.jobs(shard)
        self._shard = shard
        self._owner = owner
        self._deliver = deliver
        self._remaining = remaining

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
            await self._time_left()
            answer = await cast(
                "Awaitable[Any]",
                self._client.xautoclaim(
                    self._stream, keys.JOB_GROUP, self._owner, min_idle_time=0, start_id=start, count=BATCH
                ),
            )
            start = answer[0].decode()
            for entry, fields in answer[1]:
                self._pass_on(entry, fields, again=True)
            if start == "0-0":
                return

    async def _time_left(self) -> int:
        """Wait until the shard is ours; for how many ms it may be asked for jobs then."""
        while (left := int(min(BLOCK_MS, self._remaining() * 1000))) <= 0:  # noqa: ASYNC110 - time passes by itself
            await asyncio.sleep(NOT_OURS)
        return left

    async def _read(self) -> None:
        block = await self._time_left()
        answer = await cast(
            "Awaitable[Any]",
            self._client.xreadgroup(keys.JOB_GROUP, self._owner, {self._stream: ">"}, count=BATCH, block=block),
        )
        for batch in _batches(answer):
            for entry, fields in batch:
                self._pass_on(entry, fields)

    def _pass_on(self, entry: bytes, fields: dict[bytes, bytes], *, again: bool = False) -> None:
        name = entry.decode()
        unreadable = ""
        try:
            job = decode_job(fields[b"j"])
        except (KeyError, msgspec.DecodeError) as error:
            LOG.error("A job can't be read: %s", error, extra=context(shard=self._shard, entry=name))
            unreadable = f"can't be read: {error}"
            wreck = _salvage(name, fields)
            job = Job(wreck.id, wreck.guild, 0, 0, Stop(), 0, wreck.reply)
        play = fields.get(b"p", b"").decode() or None
        self._deliver(Received(job, name, int(name.partition("-")[0]), play, again, unreadable))


def _salvage(entry: str, fields: dict[bytes, bytes]) -> _Wreck:
    try:
        return _decode_wreck(fields[b"j"])
    except (KeyError, msgspec.DecodeError):
        return _Wreck(f"x:{entry}", 0)


def _batches(answer: Any) -> list[list[tuple[bytes, dict[bytes, bytes]]]]:
    """XREADGROUP answers a list of pairs in RESP2 and a map in RESP3."""
    if not answer:
        return []
    if isinstance(answer, dict):
        return [entries for found in answer.values() for entries in found]
    return [entries for _, entries in answer]

"""What happens to a guild's player, as server-sent events (WHATWG HTML, *Server-sent events*).

The source is the guild's log in Redis, which has the last 1,000 steps: so a stream can go on from any of them, in
whatever process, and nothing that happened between two streams is lost.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime

import msgspec
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from interactions.api.operation import Call, operation
from interactions.api.parts import Parts, asking_redis
from tonearm.errors import Problem, RedisAway
from tonearm.postgres.api_keys import ApiKey
from tonearm.postgres.pool import FAILURES as DATABASE_FAILURES
from tonearm.redis import keys
from tonearm.redis.guilds import KEPT_LOG, LogEntry
from tonearm.redis.results import fetch_log
from tonearm.telemetry import API_STREAMS

POLL_S = 0.5
"""Seconds between two looks at the log."""

HEARTBEAT_S = 15.0
"""Seconds without an event after which a comment shows that the stream lives."""

MOST_STREAMS = 200
"""Streams of a process at the same time."""

MOST_OF_A_KEY = 20
"""Those of one key among them: nobody takes them all."""

UNREAD_S = 10.0
"""Seconds after its end that a stream has for what its listener has not read."""

RECENT = 50
"""Entries that one look usually reads."""


class PlayerEvent(msgspec.Struct, frozen=True):
    """Something that happened. ``type`` is the word of the guild's log; ``actor`` is who did it, if anybody did."""

    id: str
    guild_id: str
    type: str
    at: datetime
    actor: str | None
    play_id: str | None


class _Streams:
    """Which streams this process has."""

    def __init__(self) -> None:
        self._of_key: Counter[str] = Counter()

    def require_room(self, key: str) -> None:
        """One more is not too many.

        Raises:
            Problem: it is.
        """
        if self._of_key.total() < MOST_STREAMS and self._of_key[key] < MOST_OF_A_KEY:
            return
        raise Problem(
            "too-many-requests", "Too many streams are open here. Try again in a minute.", headers={"Retry-After": "60"}
        )

    @contextmanager
    def one_more(self, key: str) -> Iterator[None]:
        """Counts one while it is open."""
        self._of_key[key] += 1
        API_STREAMS.inc()
        try:
            yield
        finally:
            API_STREAMS.dec()
            self._of_key[key] -= 1
            if not self._of_key[key]:
                del self._of_key[key]


_streams = _Streams()


class EventStream(StreamingResponse):
    """Counts from its first byte to its end, however that comes; who asks with HEAD gets none.

    ``most_s``: it ends after so many seconds at the latest, also where nobody reads what is sent.
    """

    def __init__(self, key: str, body: AsyncIterator[bytes], most_s: float) -> None:
        super().__init__(body, headers={"Cache-Control": "no-store"}, media_type="text/event-stream")
        self._key = key
        self._most_s = most_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "HEAD":
            await Response(status_code=self.status_code, headers=self.headers)(scope, receive, send)
            return
        with _streams.one_more(self._key), suppress(TimeoutError):
            async with asyncio.timeout(self._most_s):
                await super().__call__(scope, receive, send)


@operation("GET", "/guilds/{guild_id}/events", scope="music:read", answer=PlayerEvent)
async def stream_events(call: Call) -> Response:
    """A stream of what happens from now on, or from after the event that Last-Event-ID names."""
    parts = call.parts
    if parts.stream_seconds <= 0:
        raise Problem("no-streams", "Nothing is streamed where this API runs. Ask for the player instead.")
    last = call.headers.get("last-event-id")
    entries = await _look(parts, call.guild, KEPT_LOG if last else 1)
    first: list[LogEntry] | None = []
    if last:
        first = _after(entries, last)
        if first is None:
            last = entries[-1].id if entries else ""
    elif entries:
        last = entries[-1].id
    _streams.require_room(call.owner.id)  # from here to the first byte nobody else has a turn
    body = _stream(parts, call.owner, call.guild, last or "", first)
    return EventStream(call.owner.id, body, parts.stream_seconds + UNREAD_S)


async def _stream(
    parts: Parts, key: ApiKey, guild: int, last: str, first: list[LogEntry] | None
) -> AsyncIterator[bytes]:
    """The bytes of a stream, as long as ``key`` opens it. ``first`` is what was missed; ``None`` where nobody knows
    how much."""
    loop = asyncio.get_running_loop()
    end = loop.time() + parts.stream_seconds
    try:
        yield b"retry: 2000\n\n"
        told = loop.time()
        fresh = first
        while True:
            if fresh is None:
                # What was missed is not in the log any more: whoever listens must look for themselves.
                yield b"event: reset\ndata: {}\n\n"
            for entry in fresh or ():
                yield _frame(guild, entry)
                last = entry.id
            now = loop.time()
            if fresh or fresh is None:
                told = now
            elif now - told >= HEARTBEAT_S:
                yield b": nothing new\n\n"
                told = now
            if now >= end:
                return
            await asyncio.sleep(min(POLL_S, max(0.0, end - now)))
            if await parts.keyring.find(key.hash) is None:
                return
            fresh, last = await _fresh(parts, guild, last)
    except (RedisAway, *DATABASE_FAILURES):
        return  # who listens comes back, and is told then


async def _fresh(parts: Parts, guild: int, last: str) -> tuple[list[LogEntry] | None, str]:
    """What came after ``last``, and after what to look next time."""
    entries = await _look(parts, guild, RECENT)
    found = _after(entries, last)
    if found is None and len(entries) == RECENT:
        entries = await _look(parts, guild, KEPT_LOG)
        found = _after(entries, last)
    if found is None:
        return None, entries[-1].id if entries else ""
    return found, last


def _after(entries: list[LogEntry], last: str) -> list[LogEntry] | None:
    """The entries after ``last`` (all, where nothing had happened by then); ``None`` if it is not among them."""
    if not last:
        return entries
    place = next((n for n in range(len(entries) - 1, -1, -1) if entries[n].id == last), None)
    return None if place is None else entries[place + 1 :]


async def _look(parts: Parts, guild: int, most: int) -> list[LogEntry]:
    async with asking_redis():
        shard = keys.shard_of(guild, parts.settings.shard_count)
        return await fetch_log(parts.redis, shard, guild, last=most)


def _frame(guild: int, entry: LogEntry) -> bytes:
    event = PlayerEvent(
        entry.id,
        str(guild),
        entry.what,
        datetime.fromtimestamp(entry.at_ms / 1000, UTC),
        str(entry.user) if entry.user else None,
        entry.play,
    )
    return b"id: " + entry.id.encode() + b"\nevent: player\ndata: " + msgspec.json.encode(event) + b"\n\n"

"""A guild's state in Redis: read by everybody, written by the owner of its shard alone, one commit a step."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, cast

import msgspec

from tonearm.errors import LeaseLost
from tonearm.jobs.job import Answer, DeadLetter, Reply, Result, encode
from tonearm.music.change import Change
from tonearm.music.player import Player
from tonearm.music.track import Entry
from tonearm.premium.plans import PLANS, Feature
from tonearm.redis import keys
from tonearm.redis.client import Client
from tonearm.redis.handover import KEPT_FOR_SCRIPTS_MS, RECORD_MS
from tonearm.redis.script import Script

KEPT_HISTORY = max(plan.limit(Feature.HISTORY_LENGTH) for plan in PLANS.values())
"""Tracks that are remembered where nobody knows the guild's plan: none is forgotten that it may allow."""

KEPT_LOG = 1_000
KEPT_DEAD = 1_000
UNCONFIRMED_MS = 1_000
"""How long after its window an answer that nobody confirmed is edited in."""

_commit = Script("commit")
_decode_player = msgspec.json.Decoder(Player).decode
_decode_entry = msgspec.json.Decoder(Entry).decode


class GuildView(msgspec.Struct, frozen=True):
    """A guild as Redis has it: the player, how many tracks wait, and the first of them."""

    player: Player
    queue_length: int = 0
    first: Entry | None = None


class LogEntry(msgspec.Struct, frozen=True, omit_defaults=True):
    """Who did what, when (ms)."""

    id: str
    what: str
    at_ms: int
    user: int | None = None
    play: str | None = None


class Committed(msgspec.Struct, frozen=True):
    """``again``: this was committed before, and nothing was done now. ``deferred``: the answer must be edited in."""

    view: GuildView
    again: bool = False
    deferred: bool = False


async def fetch_active(client: Client, shard: int) -> list[int]:
    """The guilds of a shard whose player should be in a voice channel.

    Raises:
        RedisError: Redis doesn't answer.
    """
    return sorted(int(guild) for guild in await cast("Awaitable[set[bytes]]", client.smembers(keys.active(shard))))


async def fetch_view(client: Client, shard: int, guild: int) -> GuildView:
    """The guild's player and the head of its queue.

    Raises:
        RedisError: Redis doesn't answer.
    """
    player, length, queue = await fetch_queue(client, shard, guild, most=1)
    return GuildView(player, length, queue[0] if queue else None)


async def fetch_queue(
    client: Client, shard: int, guild: int, *, first: int = 0, most: int = 10
) -> tuple[Player, int, list[Entry]]:
    """The player, the number of waiting tracks, and ``most`` of them from ``first`` (0 = the next one) on.

    Raises:
        RedisError: Redis doesn't answer.
    """
    pipe = client.pipeline(transaction=False)
    pipe.hget(keys.player(shard, guild), "state")
    pipe.zcard(keys.queue(shard, guild))
    pipe.zrange(keys.queue(shard, guild), first, first + most - 1)
    state, length, ids = await pipe.execute()
    entries: list[Any] = []
    if ids:
        entries = await cast("Awaitable[list[Any]]", client.hmget(keys.entries(shard, guild), ids))
    player = _decode_player(state) if state else Player()
    return player, int(length), [_decode_entry(entry) for entry in entries if entry]


async def commit(
    client: Client,
    *,
    shard: int,
    guild: int,
    token: str,
    id: str,
    now_ms: int,
    before: GuildView,
    change: Change | None = None,
    stream_entry: str = "",
    user: int | None = None,
    answer: Answer | None = None,
    reply: Reply | None = None,
    dead: DeadLetter | None = None,
    result: Result | None = None,
    result_to: str = "",
    kept_history: int = KEPT_HISTORY,
) -> Committed:
    """Write one step: the state, the queue, the history, the log, the answer and the acknowledgement, or nothing.

    Without ``change`` only the answer and the acknowledgement are written (a refusal). ``before`` is what the change
    was made from. ``dead`` tells of a job that is not done, and goes to the dead letters. ``result`` is kept for an
    hour and told where ``result_to`` says: no answer is owed to an interaction then. The history grows to
    ``kept_history`` tracks; one that is longer stays so, as a lesser plan takes nothing away.

    Raises:
        LeaseLost: ``token`` is not the shard's any more. Nothing was written.
        RedisError: Redis doesn't answer. It may have been written; committing the same id again is safe.
    """
    queue = change.queue if change else None
    prepend = queue.prepend if queue else ()
    append = queue.append if queue else ()
    player = change.player if change else before.player
    if reply and answer and answer.lasting and not reply.text_channel:
        reply = msgspec.structs.replace(reply, text_channel=player.text_channel or 0)
    entry = LogEntry(id, change.what, now_ms, user, player.last_play or None) if change and change.what else None
    args: list[str | bytes | int | float] = [
        token,
        id,
        stream_entry,
        encode(player) if change else b"",
        player.playing.play if player.playing else "",
        encode(entry) if entry else b"",
        encode(change.played) if change and change.played else b"",
        int(bool(queue and queue.clear)),
        int(bool(queue and queue.take_first)),
        len(prepend),
        len(append),
        encode(answer) if answer and reply else encode(result) if result else b"",
        encode(reply) if answer and reply else b"",
        reply.to if reply else result_to,
        KEPT_FOR_SCRIPTS_MS if result else RECORD_MS,
        kept_history,
        KEPT_LOG,
        UNCONFIRMED_MS,
        guild,
        int(player.voice_channel is not None),
        encode(dead) if dead else b"",
        KEPT_DEAD,
        int(bool(change and change.forget)),
    ]
    for added in (*prepend, *append):
        args += [added.id, encode(added)]
    status, *rest = await _commit(
        client,
        [
            keys.lease(shard),
            # Jobs have names of their own everywhere, events only within their guild.
            keys.record(shard, f"{guild}:{id}" if id.startswith("e:") else id),
            keys.jobs(shard),
            keys.waiting(shard, guild),
            keys.player(shard, guild),
            keys.queue(shard, guild),
            keys.entries(shard, guild),
            keys.history(shard, guild),
            keys.log(shard, guild),
            keys.outbox(shard),
            keys.active(shard),
            keys.dead(shard),
            keys.reply_list(shard, id),
        ],
        args,
    )
    if status == b"lost":
        raise LeaseLost(f"shard {shard} has another owner")
    if status == b"done":
        return Committed(await fetch_view(client, shard, guild), again=True)
    length, first, deferred = rest
    view = GuildView(player, int(length), _decode_entry(first) if first else None)
    return Committed(view, deferred=deferred == b"1")

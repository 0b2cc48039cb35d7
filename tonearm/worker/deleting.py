"""A deletion on request: first what plays is stopped, then nothing is kept, in each store in turn.

Done again it finds nothing more to do. What the guild was granted stays unless that is asked for too, and the task
itself, which is the proof. The decision record *A guild's data leaves, comes back and goes* says what else stays, and
why.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec

from tonearm.errors import Refused
from tonearm.guild_data.tasks import Deletion
from tonearm.jobs.job import Result
from tonearm.music.actions import Leave
from tonearm.music.saved import Forget
from tonearm.postgres import leaving
from tonearm.redis import guilds, keys
from tonearm.redis.asking import do_job
from tonearm.redis.dead import remove_dead_of
from tonearm.sentences import Sentence
from tonearm.worker.importing import JOB_SECONDS, player_job

if TYPE_CHECKING:
    from tonearm.worker.guild_tasks import Clerk

GOODBYE_SECONDS = 3.0
"""How long the player's message may take to tell that it is over."""

POLL_S = 0.1


async def delete_guild(clerk: Clerk, guild: int, task: str, work: Deletion, *, attempt: int) -> Deletion:
    """Delete what is kept of ``guild``; returns what was deleted. ``attempt`` counts from 1.

    Raises:
        Refused: no voice node is there, or it refuses. Some may be deleted; doing it again deletes the rest.
        FAILURES: PostgreSQL or Redis doesn't answer, or the player does not. The same.
        StorageAway: the store doesn't answer. The same.
    """
    shard = keys.shard_of(guild, clerk.shard_count)
    # Each attempt asks anew: what was played meanwhile is to go as well.
    await _do(clerk, guild, f"w:{task}:leave:{attempt}", Leave())
    await _wait_for_goodbye(clerk, shard, guild)
    forgotten = await _do(clerk, guild, f"w:{task}:forget:{attempt}", Forget())
    if forgotten.outcome != "done":
        raise Refused(Sentence.NO_PLAYER)
    for stream in (shard, keys.stream_of(guild)):
        await remove_dead_of(clerk.redis, stream, guild)
    if clerk.store is not None:
        await clerk.store.remove_guild(guild)
    went = await leaving.forget_on_request(
        clerk.pool, guild, task=task, with_subscription=work.with_subscription, now=clerk.clock()
    )
    await clerk.cache.forget(guild)
    return msgspec.structs.replace(work, with_subscription=went)


async def _do(clerk: Clerk, guild: int, id: str, action: Leave | Forget) -> Result:
    job = player_job(id, guild, action)
    return await do_job(clerk.redis, job, shard_count=clerk.shard_count, within=JOB_SECONDS)


async def _wait_for_goodbye(clerk: Clerk, shard: int, guild: int) -> None:
    """Until the message with the buttons tells of the end; where Discord does not take that, it stays as it is."""
    for _ in range(int(GOODBYE_SECONDS / POLL_S)):
        view = await guilds.fetch_view(clerk.redis, shard, guild)
        if view.player.message is None:
            return
        await asyncio.sleep(POLL_S)

"""An import: the settings, and the queue through the owner of the guild's player, who alone may write it.

What the plan does not allow is left out, and said. Grants, history and log are not restored: they tell of what was.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from tonearm.errors import Away, InvalidDocument, Refused
from tonearm.guild_data.document import MOST_BYTES, read_document
from tonearm.guild_data.tasks import Import
from tonearm.jobs.job import WHERE_IT_PLAYS, Job, Result
from tonearm.music.actions import AnyAction
from tonearm.music.guild_settings import GuildSettings
from tonearm.music.saved import AnySaved, Restore
from tonearm.music.track import Entry
from tonearm.postgres import guild_settings
from tonearm.postgres.grants import fetch_effective_plan
from tonearm.premium.gate import require_feature
from tonearm.premium.plans import Feature, Plan
from tonearm.redis.asking import do_job
from tonearm.sentences import Sentence

if TYPE_CHECKING:
    from tonearm.aws.store import Store
    from tonearm.worker.guild_tasks import Clerk

NOBODY = 0
"""Whose wish it is, where none of Discord's users asked."""

RESULTS = "reply:worker"
"""Where the ends of a worker's jobs are told; it reads them from their records."""

TRACKS_AT_ONCE = 200
"""So that each step of the player stays a short one."""

VALID_MS = 20_000
JOB_SECONDS = 15.0
"""How long one step is waited for."""

PASSING = frozenset({"not_done_in_time", *(each.default.name.lower() for each in Away.__subclasses__())})
"""Refusals that are over once something is there again."""


class _Told(msgspec.Struct, frozen=True):
    left_out: int = 0


async def restore(clerk: Clerk, store: Store, guild: int, task: str, work: Import, *, attempt: int) -> Import:
    """Restore it; returns what was. ``attempt`` counts from 1.

    Raises:
        InvalidDocument: it can't be. Nothing was restored.
        Refused: the player is away. Some may be restored; doing it again restores the rest.
        FAILURES: PostgreSQL or Redis doesn't answer, or the player does not. The same.
        StorageAway: the store doesn't answer. The same.
    """
    raw = await store.get(work.key, most=work.size or MOST_BYTES)
    if raw is None:
        raise InvalidDocument("There is no file: nothing was uploaded, or it was deleted meanwhile.")
    if work.size is not None and len(raw) != work.size:
        raise InvalidDocument(f"The file has not the {work.size} bytes that were announced.")
    document = read_document(raw)
    notes: list[str] = []
    await _restore_settings(clerk, guild, document.guild_settings(), notes)
    entries = document.entries(f"w:{task}")
    restored = await _restore_queue(clerk, guild, task, work, entries, notes, attempt)
    return msgspec.structs.replace(
        work,
        settings_restored=True,
        tracks_restored=restored,
        tracks_left_out=len(entries) - restored,
        notes=tuple(notes),
    )


async def _restore_settings(clerk: Clerk, guild: int, wanted: GuildSettings, notes: list[str]) -> None:
    access = await fetch_effective_plan(clerk.pool, guild, clerk.clock(), base=clerk.base)
    allowed = within_plan(wanted, access.plan, notes)
    if await guild_settings.fetch_guild_settings(clerk.pool, guild) != allowed:
        await guild_settings.save_guild_settings(clerk.pool, guild, allowed)
    await clerk.cache.forget(guild)


def within_plan(wanted: GuildSettings, plan: Plan, notes: list[str]) -> GuildSettings:
    """``wanted`` without what ``plan`` does not allow; ``notes`` gets a sentence for each."""
    default = GuildSettings()
    try:
        require_feature(plan, Feature.VOLUME, wanted.default_volume)
    except Refused as refusal:
        notes.append(str(refusal))
        wanted = msgspec.structs.replace(wanted, default_volume=default.default_volume)
    try:
        require_feature(plan, Feature.ALWAYS_ON, int(wanted.always_on))
    except Refused as refusal:
        notes.append(str(refusal))
        wanted = msgspec.structs.replace(wanted, always_on=default.always_on)
    return wanted


async def _restore_queue(
    clerk: Clerk, guild: int, task: str, work: Import, entries: list[Entry], notes: list[str], attempt: int
) -> int:
    """How many tracks are in the queue again, or play."""
    restored = 0
    for begin in range(0, len(entries), TRACKS_AT_ONCE):
        part = tuple(entries[begin : begin + TRACKS_AT_ONCE])
        job = player_job(f"w:{task}:{begin}", guild, Restore(part), work.voice_channel)
        result = await do_patiently(clerk, job, attempt)
        if result.outcome != "done":
            notes.append(_why(result))
            break
        restored += len(part) - msgspec.json.decode(result.told, type=_Told).left_out
    return restored


def player_job(id: str, guild: int, action: AnyAction | AnySaved, voice_channel: int | None = None) -> Job:
    """A job of a worker's, whose end it hears of."""
    where = voice_channel or WHERE_IT_PLAYS
    return Job(id, guild, NOBODY, 0, action, VALID_MS, result_to=RESULTS, voice_channel=where)


async def do_patiently(clerk: Clerk, job: Job, attempt: int) -> Result:
    """How ``job`` ended. A refusal because something is away stays its end for an hour, so it is asked again by another
    name, once more in each attempt: what an attempt before was told is known, and costs no time.

    Raises:
        Refused: what it needs is still away.
        FAILURES: Redis doesn't answer, or the player does not.
    """
    for number in range(attempt):
        named = msgspec.structs.replace(job, id=f"{job.id}:{number}")
        result = await do_job(clerk.redis, named, shard_count=clerk.shard_count, within=JOB_SECONDS)
        if result.code not in PASSING:
            return result
    raise Refused(Sentence.NO_PLAYER)


def _why(result: Result) -> str:
    return result.reason or "The player could not take the tracks, for a reason that was written down."

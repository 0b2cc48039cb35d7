"""What a person can wish for by command, wished for by a script: a job like any other, for the same voice node.

The answer is a job (202), or how it ended (200) where the script prefers to wait for that.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Annotated, Literal

import msgspec

from interactions.api.operation import Call, Handler, Operation, Reply, Snowflake, operation
from interactions.api.parts import asking_redis
from interactions.api.problems import BASE, not_found
from interactions.api.resources.player import TrackView, track_view
from tonearm.errors import Problem, Refused
from tonearm.jobs.job import CONTROL_VALID_MS, PLAY_VALID_MS, WHERE_IT_PLAYS, Job, Result, decode_result
from tonearm.music.actions import AnyAction, Pause, Play, Resume, Seek, SetVolume, Skip, Stop
from tonearm.music.change import Where
from tonearm.music.player import MAX_VOLUME
from tonearm.music.track import Track
from tonearm.redis import keys
from tonearm.redis.results import fetch_standing
from tonearm.sentences import Sentence

MOST_WAIT_S = 2.0
"""The longest that a request waits for its job."""

KEPT_FOR_THE_REST_S = 0.25
"""Seconds of a request that are left for keeping and giving its answer."""

MOST_TRACKS = 50
"""Tracks of a job that are told."""

MOST_MS = 2**53 - 1
"""The greatest whole number that every JSON parser reads exactly."""

_WAIT = re.compile(r"(?:^|,|;)\s*wait\s*=\s*\"?(\d{1,6})\"?\s*(?:$|,|;)", re.IGNORECASE)
_JOB = re.compile("[0-9a-f]{64}")


class MusicWish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where, and on whose behalf. Without ``voice_channel_id`` the bot's own channel is meant."""

    guild_id: Snowflake
    actor: Snowflake
    voice_channel_id: Snowflake | None = None


class PlayWish(MusicWish, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A link, or words to search for; at the queue's end, as its next track, or now."""

    query: Annotated[str, msgspec.Meta(min_length=1, max_length=500, pattern="\\S")]
    where: Literal["end", "next", "now"] = "end"


class SeekWish(MusicWish, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The position, in ms from the track's beginning."""

    position_ms: Annotated[int, msgspec.Meta(ge=0, le=MOST_MS)]


class VolumeWish(MusicWish, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The volume, in per cent of the track's own."""

    volume: Annotated[int, msgspec.Meta(ge=0, le=MAX_VOLUME)]


class JobView(msgspec.Struct, frozen=True):
    """A job. ``code`` and ``detail`` say why it was refused; ``tracks`` are those that it was about."""

    id: str
    guild_id: str
    status: Literal["queued", "done", "refused", "failed"]
    code: str | None = None
    detail: str | None = None
    tracks: list[TrackView] = []
    queue_position: int | None = None


class _Told(msgspec.Struct, frozen=True):
    """What a result tells, as far as it is shown."""

    track: Track | None = None
    tracks: tuple[Track, ...] = ()
    position: int | None = None


def _wish(path: str, body: type[MusicWish]) -> Callable[[Handler], Operation]:
    return operation("POST", path, scope="music:write", body=body, answer=JobView, statuses=(200, 202), is_job=True)


@_wish("/music/play", PlayWish)
async def play(call: Call) -> Reply:
    """Plays something."""
    wish: PlayWish = call.body
    return await _do(call, Play(wish.query.strip(), Where(wish.where)), PLAY_VALID_MS)


@_wish("/music/pause", MusicWish)
async def pause(call: Call) -> Reply:
    """Silence, at this position."""
    return await _do(call, Pause())


@_wish("/music/resume", MusicWish)
async def resume(call: Call) -> Reply:
    """Goes on from there."""
    return await _do(call, Resume())


@_wish("/music/skip", MusicWish)
async def skip(call: Call) -> Reply:
    """Ends the track that plays when this is asked."""
    return await _do(call, Skip())


@_wish("/music/stop", MusicWish)
async def stop(call: Call) -> Reply:
    """Silence, and an empty queue."""
    return await _do(call, Stop())


@_wish("/music/seek", SeekWish)
async def seek(call: Call) -> Reply:
    """Goes to a position of the track that plays."""
    return await _do(call, Seek(call.body.position_ms))


@_wish("/music/volume", VolumeWish)
async def volume(call: Call) -> Reply:
    """Sets the volume."""
    return await _do(call, SetVolume(call.body.volume))


@operation("GET", "/guilds/{guild_id}/jobs/{job_id}", scope="music:read", answer=JobView)
async def get_job(call: Call) -> Reply:
    """How a job stands; for an hour."""
    name = call.path["job_id"]
    if not _JOB.fullmatch(name):
        raise not_found("There is no such job.")
    shard = keys.shard_of(call.guild, call.parts.settings.shard_count)
    async with asking_redis():
        standing = await fetch_standing(call.parts.redis, shard, call.guild, f"a:{name}")
    if standing is None:
        raise not_found("There is no such job, or it ended more than an hour ago.")
    return Reply(_view(f"a:{name}", call.guild, standing.result))


async def _do(call: Call, action: AnyAction, valid_ms: int = CONTROL_VALID_MS) -> Reply:
    """Hands the job over, and waits for its end as far as the script prefers that."""
    wish: MusicWish = call.body
    seen = await call.parts.memory.fetch_queue(call.guild)
    channel = int(wish.voice_channel_id) if wish.voice_channel_id else seen.player.voice_channel
    if channel is None:
        raise Problem("not-connected", "The bot is in no voice channel. Name one as voice_channel_id.")
    job = Job(
        call.identity,
        call.guild,
        int(wish.actor),
        seen.player.text_channel or channel,
        action,
        valid_ms,
        result_to=call.parts.replies.to,
        voice_channel=int(wish.voice_channel_id) if wish.voice_channel_id else WHERE_IT_PLAYS,
    )
    preferred = _preferred_wait(call.headers.get("prefer", ""))
    result = await _hand_over(call, job, min(preferred, call.budget_s() - KEPT_FOR_THE_REST_S))
    location = f"{BASE}/guilds/{call.guild}/jobs/{job.id.removeprefix('a:')}"
    headers = {"Location": location}
    if preferred:
        headers["Preference-Applied"] = f"wait={preferred:g}"
    return Reply(_view(job.id, call.guild, result), 202 if result is None else 200, headers)


async def _hand_over(call: Call, job: Job, wait_s: float) -> Result | None:
    """How the job ended, if it did within ``wait_s``."""
    end = asyncio.get_running_loop().time() + wait_s
    expected = call.parts.replies.expect(job)
    try:
        handed = await call.parts.memory.hand_over(job, max(0, int(wait_s * 1000)))
        told = handed.answer
        if told is None and wait_s > 0:
            told = await expected.until(end)
        return decode_result(told) if told is not None else None
    except Refused as refusal:
        raise _refused(refusal) from None
    finally:
        expected.forget()


def _refused(refusal: Refused) -> Problem:
    if refusal.sentence in (Sentence.NO_PLAYER, Sentence.TOO_BUSY):
        return Problem("player-away", str(refusal), headers={"Retry-After": "10"})
    return Problem("too-many-requests", str(refusal), headers={"Retry-After": "2"})


def _preferred_wait(header: str) -> float:
    found = _WAIT.search(header)
    return min(float(found[1]), MOST_WAIT_S) if found else 0.0


def _view(job: str, guild: int, result: Result | None) -> JobView:
    name = job.removeprefix("a:")
    if result is None:
        return JobView(name, str(guild), "queued")
    if result.outcome != "done":
        failed = result.outcome == "failed"
        detail = (
            "It failed for a reason that was written down. The operator finds it by its id."
            if failed
            else result.reason
        )
        return JobView(name, str(guild), "failed" if failed else "refused", result.code or None, detail)
    told = msgspec.json.decode(result.told, type=_Told | None) or _Told()
    tracks = (told.track,) if told.track is not None else told.tracks
    return JobView(
        name,
        str(guild),
        "done",
        tracks=[track_view(track) for track in tracks[:MOST_TRACKS]],
        queue_position=told.position,
    )

"""What a person is answered once their job is decided. Pure."""

from __future__ import annotations

import msgspec

from tonearm.discord import cards
from tonearm.jobs.job import Answer, Job, Result
from tonearm.music.change import Change
from tonearm.music.timers import Timer
from tonearm.music.track import Track
from tonearm.redis.guilds import GuildView
from tonearm.sentences import Sentence

EPHEMERAL = 1 << 6


class Verdict(msgspec.Struct, frozen=True):
    """What becomes of a job. ``given_up`` says why it goes to the dead letters, ``reason`` is a refusal's sentence."""

    outcome: str
    answer: Answer | None = None
    change: Change | None = None
    given_up: str = ""
    reason: str = ""


def done(job: Job, change: Change, view: GuildView, now_ms: int) -> Answer | None:
    """What was done, for the person who asked, if it was one; ``view`` is the guild before it."""
    if job.reply is None:
        return None
    queue = change.queue
    length = (0 if queue.clear else view.queue_length) - int(queue.take_first)
    length += len(queue.prepend) + len(queue.append)
    if job.reply.component:
        body = cards.player_message(change.player, max(0, length), following=_following(change, view), now_ms=now_ms)
    else:
        assert change.outcome is not None
        body = cards.outcome(change.outcome, change.player, queue_length=max(0, length), now_ms=now_ms)
    return Answer(msgspec.Raw(msgspec.json.encode(body)), lasting=True)


def private(text: str) -> Answer:
    """A sentence for the caller alone."""
    body = cards.sentence(text)
    body["flags"] = body.get("flags", 0) | EPHEMERAL
    return Answer(msgspec.Raw(msgspec.json.encode(body)), private=True)


def result(change: Change | None, outcome: str, reason: str, *, given_up: bool) -> Result:
    """How a job ended, for the script that asked for it."""
    if given_up:
        return Result("failed")
    if change is None:
        return Result("refused", outcome, reason)
    return Result("done", told=msgspec.Raw(msgspec.json.encode(change.outcome)))


def left(timer: Timer, channel: int | None) -> str:
    """Why the bot left ``channel`` by itself."""
    return (Sentence.LEFT_ALONE if timer is Timer.ALONE else Sentence.LEFT_IDLE).format(channel=channel)


def _following(change: Change, view: GuildView) -> Track | None:
    """The track after the current one, as far as it is known before the commit."""
    queue = change.queue
    if queue.prepend:
        return queue.prepend[0].track
    if queue.clear or queue.take_first:
        return None
    return view.first.track if view.first else None

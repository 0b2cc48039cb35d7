"""Whether anything was lost, doubled or done out of order: a model of a guild that shares no code with the product.

It knows what the people did and saw, and what the guild's log, player and queue say in the end. From the log alone it
works out what queue and player should be.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

DONE, REFUSED, FAILED, SILENT = "done", "refused", "failed", "silent"
"""How a job ended for its person: with a message for everybody, a private refusal, Discord's "did not respond", or
"is thinking..." for good."""


@dataclass(frozen=True)
class Sent:
    """A job as its sender knows it. Times in ns; ``answered`` is when the first answer was read, ``ended`` the last.

    ``word`` names the sentence of a refusal; ``mended``: it was sent when all was mended.
    """

    id: str
    guild: int
    kind: str
    sent: int
    answered: int | None
    outcome: str
    text: str = ""
    title: str | None = None
    where: str | None = None
    percent: int | None = None
    word: str = ""
    ended: int | None = None
    mended: bool = False

    @property
    def accepted(self) -> bool:
        """It was answered, and not with a refusal."""
        return self.outcome in (DONE, SILENT)


@dataclass(frozen=True)
class Found:
    """A guild as the store has it in the end: log entries, player and ids in the queue, read in one step.

    ``dead`` are the ids of its dead letters, ``heard`` the titles of the tones that began, one for each beginning.
    """

    log: Sequence[dict[str, Any]]
    player: dict[str, Any]
    queue: Sequence[str]
    dead: Sequence[str] = ()
    heard: Sequence[str] = ()


BEFALLS = ("disconnected", "moved", "failed")
"""Entries that nobody asked for: out of the channel, moved to another, a track that could not be played."""
TAKEN_OUT, NOT_JOINED = "taken out", "not joined"
"""Out of the channel: by somebody else, or as the bot could not get in."""
JOIN = "e:join:"


class Befallen(NamedTuple):
    """One of them; ``at_ms`` is Redis' time."""

    what: str
    id: str
    at_ms: int


@dataclass
class Verdict:
    """What was wrong; empty lists are what is promised. ``jobs`` maps ids of jobs to the word for their trouble.

    ``befallen`` is wrong unless something explains it, which is not known here.
    """

    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    disordered: list[str] = field(default_factory=list)
    dead: list[str] = field(default_factory=list)
    silent: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    jobs: dict[str, str] = field(default_factory=dict)
    befallen: list[Befallen] = field(default_factory=list)

    @property
    def good(self) -> bool:
        """Nothing was."""
        return not (self.lost or self.doubled or self.disordered or self.dead or self.silent or self.wrong)

    def add(self, other: Verdict) -> None:
        """Take another guild's verdict in."""
        for name in ("lost", "doubled", "disordered", "dead", "silent", "wrong", "befallen"):
            getattr(self, name).extend(getattr(other, name))
        self.jobs.update(other.jobs)


def check(sent: Sequence[Sent], found: Found) -> Verdict:
    """Judge one guild."""
    verdict = Verdict()
    _count(sent, found, verdict)
    _order(sent, found, verdict)
    _Model(sent, found.log, verdict).replay(found)
    for title, times in Counter(found.heard).items():
        if times > 1:
            verdict.doubled.append(f"{title} began {times} times at the listener")
    return verdict


def _count(sent: Sequence[Sent], found: Found, verdict: Verdict) -> None:
    times = Counter(entry["id"] for entry in found.log)
    for job in sent:
        done = times[job.id]
        about = f"{job.kind} {job.id} ({job.outcome}: {job.text[:60]!r})"
        if done > 1:
            verdict.doubled.append(f"{about} is in the log {done} times")
            verdict.jobs[job.id] = "doubled"
        if job.id in found.dead:
            verdict.dead.append(about)
            verdict.jobs[job.id] = "dead"
        elif job.accepted and done == 0:
            verdict.lost.append(about)
            verdict.jobs[job.id] = "lost"
        if job.outcome == REFUSED and done:
            verdict.wrong.append(f"{about} was refused, and done")
        if job.outcome == SILENT:
            verdict.silent.append(about)
            verdict.jobs.setdefault(job.id, "silent")
    known = {job.id for job in sent}
    for id in times:
        if id.startswith(("i:", "a:")) and id not in known:
            verdict.wrong.append(f"{id} is in the log, but nobody sent it")


def _order(sent: Sequence[Sent], found: Found, verdict: Verdict) -> None:
    """If the answer to one had been read before another was sent, it comes first in the log."""
    place: dict[str, int] = {}
    for number, entry in enumerate(found.log):
        place.setdefault(entry["id"], number)
    logged = sorted((job for job in sent if job.id in place), key=lambda job: job.sent)
    answered = sorted((job for job in logged if job.answered is not None), key=lambda job: job.answered or 0)
    latest: Sent | None = None
    waiting = iter(answered)
    following = next(waiting, None)
    for job in logged:
        while following is not None and (following.answered or 0) < job.sent:
            if latest is None or place[following.id] > place[latest.id]:
                latest = following
            following = next(waiting, None)
        if latest is not None and latest.id != job.id and place[latest.id] > place[job.id]:
            verdict.disordered.append(f"{job.kind} {job.id} was done before {latest.kind} {latest.id}")
            verdict.jobs[job.id] = "out of order"


class _Model:
    """A guild's player and queue, as far as the log must tell: who plays, who waits, paused, how loud."""

    def __init__(self, sent: Iterable[Sent], log: Sequence[dict[str, Any]], verdict: Verdict) -> None:
        self._jobs = {job.id: job for job in sent}
        self._log = log
        self._verdict = verdict
        self.current: str | None = None
        self.play = ""
        self.queue: list[str] = []
        self.paused = False
        self.volume = 100
        self.played: set[str] = set()

    def replay(self, found: Found) -> None:
        """Go through the log, then compare."""
        for entry in self._log:
            self._step(entry)
        playing = found.player.get("playing")
        self._same("the playing track", self.current, playing and playing["entry"]["id"])
        self._same("the queue", self.queue, list(found.queue))
        self._same("paused", self.paused, bool(found.player.get("paused", False)))
        self._same("the volume", self.volume, found.player.get("volume", 100))

    def _same(self, what: str, expected: object, is_so: object) -> None:
        if expected != is_so:
            self._wrong(f"{what} should be {expected}, but is {is_so}")

    def _wrong(self, what: str) -> None:
        self._verdict.wrong.append(what)

    def _step(self, entry: dict[str, Any]) -> None:
        what, id = entry["what"], entry["id"]
        job = self._jobs.get(id)
        if what in BEFALLS:
            named = what if what != "disconnected" else NOT_JOINED if id.startswith(JOIN) else TAKEN_OUT
            self._verdict.befallen.append(Befallen(named, id, int(entry["at_ms"])))
        match what:
            case "play" | "queue":
                self._added(what, id, job, entry)
            case "skip" | "end" | "failed":
                self._over(what, id, entry)
            case "pause" | "resume":
                if self.current is None:
                    self._wrong(f"{what} {id}, but nothing played")
                self.paused = what == "pause"
            case "volume":
                if job is None or job.percent is None:
                    self._wrong(f"a volume that nobody asked for: {id}")
                else:
                    self.volume = job.percent
            case "disconnected":
                self.current, self.paused = None, False
            case "moved":
                pass
            case _:
                self._wrong(f"{what} {id} is nothing that anybody did")

    def _added(self, what: str, id: str, job: Sent | None, entry: dict[str, Any]) -> None:
        track = f"{id}:0"
        where = job.where if job is not None else None
        if job is None or job.kind != "play":
            self._wrong(f"{what} {id}, but nobody asked for it")
        if track == self.current or track in self.queue or track in self.played:
            self._verdict.doubled.append(f"{id} was added a second time")
            return
        if what == "play":
            if self.current is not None and where != "now":
                self._wrong(f"play {id} at once, though something played")
            self._start(track, entry)
        elif self.current is None:
            self._wrong(f"queue {id}, though nothing played")
            self.queue.append(track)
        elif where == "next":
            self.queue.insert(0, track)
        else:
            self.queue.append(track)

    def _over(self, what: str, id: str, entry: dict[str, Any]) -> None:
        if self.current is None:
            self._wrong(f"{what} {id}, but nothing played")
            return
        if id.startswith("e:") and id != f"e:{self.play}:over":
            self._wrong(f"{what} {id} speaks of another play than {self.play}")
        if self.queue:
            paused = self.paused and what != "skip"
            self._start(self.queue.pop(0), entry)
            self.paused = paused
        else:
            self.current, self.paused = None, False

    def _start(self, track: str, entry: dict[str, Any]) -> None:
        play = str(entry.get("play") or "")
        if (len(play), play) <= (len(self.play), self.play):
            self._wrong(f"{track} begins under the name {play!r}, which is not later than {self.play!r}")
        if track in self.played:
            self._verdict.doubled.append(f"{track} was started a second time")
        self.played.add(track)
        self.current, self.play, self.paused = track, play, False

"""How much of what was asked for was done, and whether a fault explains what was not, or what nobody asked for."""

from __future__ import annotations

from collections import Counter
from typing import Any

from tests.chaos.causes import BEFALLEN, CAUSES, HONEST, NOT_DELIVERED, explained
from tests.chaos.checker import DONE, FAILED, REFUSED, Sent
from tests.chaos.outcome import Outcome

LEAST_OF_KIND = 0.02
"""Of each kind that was sent, honest refusals too: it is not refused for ever."""
DISCORD_WAITS = 3.0
"""Seconds."""


class Shares:
    """``missed`` and ``void`` are sentences, ``lines`` the notes, ``figures`` each job that was not done, and why."""

    def __init__(self, outcome: Outcome) -> None:
        self.missed: list[str] = []
        self.void: list[str] = []
        self.lines: list[str] = []
        self.figures: list[dict[str, Any]] = []
        self._outcome = outcome
        self._words = Counter(word(job) for job in outcome.sent if word(job))
        self._judge_shares()
        for job in outcome.sent:
            if word(job) and not job.mended:
                self._judge(job)
        self._tell()
        self._judge_happened()

    def _judge_shares(self) -> None:
        sent, least = self._outcome.sent, self._outcome.least_done
        able = [job for job in sent if not _honest(job)]
        done = sum(job.outcome == DONE for job in able)
        if done < least * len(able):
            self.missed.append(f"only {done} of {len(able)} jobs were done, not {least:.0%}")
        shares = []
        for kind, times in sorted(Counter(job.kind for job in sent).items()):
            of_kind = sum(job.outcome == DONE for job in sent if job.kind == kind)
            shares.append(f"{kind} {of_kind / times:.0%}")
            if of_kind < LEAST_OF_KIND * times:
                self.missed.append(f"{kind}: only {of_kind} of {times} were done, not {LEAST_OF_KIND:.0%}")
        self.lines.append(
            f"done: {done} of {len(able)} ({done / max(1, len(able)):.0%}, at least {least:.0%}) beside "
            f"{len(sent) - len(able)} honest refusals; of all {', '.join(shares)} (each at least {LEAST_OF_KIND:.0%})"
        )

    def _judge(self, job: Sent) -> None:
        said, about = word(job), f"{job.kind} {job.id}"
        begin = job.sent / 1e9
        end = begin + DISCORD_WAITS if job.ended is None else job.ended / 1e9
        cause = CAUSES.get(said)
        good = _honest(job) or (cause is not None and explained(cause, begin, end, self._outcome.struck))
        self.figures.append({"job": job.id, "kind": job.kind, "at_s": round(begin, 2), "word": said, "good": good})
        if good:
            return
        if cause is None:
            self.missed.append(f"{about} was refused for no reason: {said} {job.text[:100]}")
            return
        told = f"{about}: {said}, with no fault that explains it: {job.text[:100]}"
        if any(stalled <= end and begin <= ended for stalled, ended in self._outcome.stalls):
            self.void.append(f"{told}; but the machine stood still")
        else:
            self.missed.append(told)

    def _judge_happened(self) -> None:
        happened = self._outcome.happened
        for each in happened:
            cause = BEFALLEN[each.what]
            if not explained(cause, each.at, each.at, self._outcome.struck, each.room):
                self.missed.append(f"{each.room}: {each.what} {each.id}, with no fault that explains it")
        for what, times in sorted(Counter(each.what for each in happened).items()):
            self.lines.append(f"{what}, though nobody asked for it: {times}; excused by {BEFALLEN[what].words} only")

    def _tell(self) -> None:
        whole = max(1, len(self._outcome.sent))
        said = [f"{times} {name} ({times / whole:.1%})" for name, times in sorted(self._words.items())]
        self.lines.append(f"not done: {', '.join(said) or 'none'}")
        causes = [f"{name} by {CAUSES[name].words}" for name in sorted(self._words) if name in CAUSES]
        if causes:
            self.lines.append(f"Excused from a fault's begin until so long after its end: {'; '.join(causes)}.")


def word(job: Sent) -> str:
    """The sentence of a refusal, or that nothing was delivered; empty otherwise."""
    if job.outcome == REFUSED:
        return job.word or "UNNAMED"
    return NOT_DELIVERED if job.outcome == FAILED else ""


def _honest(job: Sent) -> bool:
    return job.outcome == REFUSED and job.word in HONEST and job.kind != "play"

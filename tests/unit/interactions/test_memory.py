"""Handing over while a worker leaves and the next has not taken its streams yet."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from interactions import memory
from interactions.memory import OFFICE_AGAIN, Memory
from tonearm.errors import Refused
from tonearm.redis.handover import HandedOver
from tonearm.sentences import Sentence


class Office:
    """What each attempt meets: a sentence, or that the job is taken."""

    def __init__(self, *meets: Sentence | None) -> None:
        self._meets: Iterator[Sentence | None] = iter(meets)
        self.slept: list[float] = []

    async def attempt(self, *_: Any) -> HandedOver:
        met = next(self._meets)
        if met is not None:
            raise Refused(met)
        return HandedOver()

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


def memory_of(office: Office, monkeypatch: pytest.MonkeyPatch) -> Memory:
    kept = Memory(cast(Any, None), 1, lambda _: None)
    monkeypatch.setattr(kept, "_hand_over", office.attempt)
    monkeypatch.setattr(memory, "asyncio", SimpleNamespace(sleep=office.sleep))
    return kept


async def test_a_stream_that_was_given_back_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    office = Office(Sentence.NO_WORKER, Sentence.NO_WORKER, None)
    assert await memory_of(office, monkeypatch).hand_over(cast(Any, None), 800) == HandedOver()
    assert office.slept == list(OFFICE_AGAIN[:2])


async def test_not_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    office = Office(*[Sentence.NO_WORKER] * (len(OFFICE_AGAIN) + 1))
    with pytest.raises(Refused) as caught:
        await memory_of(office, monkeypatch).hand_over(cast(Any, None), 800)
    assert caught.value.sentence is Sentence.NO_WORKER
    assert sum(office.slept) < 1.0


async def test_other_refusals_are_final(monkeypatch: pytest.MonkeyPatch) -> None:
    office = Office(Sentence.NO_PLAYER)
    with pytest.raises(Refused):
        await memory_of(office, monkeypatch).hand_over(cast(Any, None), 800)
    assert office.slept == []

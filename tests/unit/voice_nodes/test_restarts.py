"""Tracks that can't be started at a position."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.voice_nodes import Clock
from voice_nodes import restarts as module
from voice_nodes.restarts import AT_ONCE, Restarts, start_and_seek
from voice_nodes.wishes import Wanted

MINUTE = 60_000


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def restarts(clock: Clock) -> Restarts:
    return Restarts(clock)


@pytest.mark.parametrize("order", [("excuses", "again"), ("again", "excuses")])
def test_a_failed_start_is_tried_again_once_and_its_error_told_to_nobody(
    restarts: Restarts, order: tuple[str, str]
) -> None:
    restarts.started("p", 10_000, MINUTE)
    assert [getattr(restarts, name)("p") for name in order] == [True, True]
    assert restarts.seeks("p")
    restarts.started("p", 0, MINUTE)
    assert not restarts.again("p")
    assert not restarts.excuses("p")


@pytest.mark.parametrize(
    ("position", "length", "wait", "play"),
    [
        (0, MINUTE, 0, "p"),  # It began at its beginning: it is broken.
        (MINUTE - 4000, MINUTE, 0, "p"),  # It may be over indeed.
        (10_000, MINUTE, AT_ONCE + 0.1, "p"),  # It has played.
        (10_000, MINUTE, 0, "another"),
    ],
)
def test_every_other_end_is_an_end(
    restarts: Restarts, clock: Clock, position: int, length: int, wait: float, play: str
) -> None:
    restarts.started("p", position, length)
    clock.now += wait
    assert not restarts.again(play)
    assert not restarts.excuses(play)
    assert not restarts.seeks(play)


def test_silence_and_streams(restarts: Restarts) -> None:
    restarts.started(None, 0, 0)
    assert not restarts.seeks(None)
    restarts.started("stream", 10_000, 0)
    assert restarts.again("stream")


@pytest.mark.parametrize("paused", [False, True])
async def test_it_is_started_silently_and_sought_once_it_plays(monkeypatch: pytest.MonkeyPatch, paused: bool) -> None:
    monkeypatch.setattr(module, "BEGIN_LOOK", 0)
    sent: list[dict[str, Any]] = []
    places = iter([0, 0, 20])

    async def patch(data: dict[str, Any]) -> None:
        sent.append(data)

    async def place() -> int:
        return next(places)

    await start_and_seek(Wanted("p", "e", 10_000, paused, 70), patch, place)
    track = {"encoded": "e", "userData": {"play": "p"}}
    assert sent[0] == {"paused": False, "volume": 0, "track": track}
    position = sent[1].pop("position")
    assert sent[1] == {"volume": 70, "paused": paused}
    assert 10_000 <= position < 11_000
    assert next(places, None) is None

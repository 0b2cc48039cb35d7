"""Waiting, and not without a word."""

import asyncio
import logging

import pytest

from voice_nodes import patience
from voice_nodes.patience import complaining


class Heard(logging.Handler):
    """Sets an event at the second complaint."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []
        self.twice = asyncio.Event()

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage())
        if len(self.said) == 2:
            self.twice.set()


async def test_what_does_not_come_is_complained_of_until_it_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "SAY_EVERY", 0.01)
    heard, event = Heard(), asyncio.Event()
    patience.LOG.addHandler(heard)
    try:
        async with asyncio.timeout(10):
            waiting = asyncio.create_task(complaining(event, "a session", 7))
            await heard.twice.wait()
            event.set()
            await waiting
    finally:
        patience.LOG.removeHandler(heard)
    assert set(heard.said) == {"Still waiting for a session"}


async def test_what_is_there_is_not_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    event = asyncio.Event()
    event.set()
    await complaining(event, "a session", 7)
    assert not caplog.records

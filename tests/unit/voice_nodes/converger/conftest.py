"""A converger that runs."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.support.converger import World
from tests.support.voice_nodes import running
from tonearm.backoff import Backoff
from voice_nodes import converger as module


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    monkeypatch.setattr(module, "Backoff", lambda: Backoff(0.001, 0.01))
    world = World()
    async with running(world.converger.run()) as world.running:
        yield world

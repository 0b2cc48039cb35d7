"""A Lavalink that answers and misbehaves as it is told, and is tried again at once."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.support.lavalink import Lavalink
from tonearm.backoff import Backoff
from voice_nodes import servers


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "Backoff", lambda: Backoff(0.001, 0.01))
    monkeypatch.setattr(servers.wavelink.backoff.Backoff, "calculate", lambda _: 0.01)


@pytest.fixture
async def server() -> AsyncIterator[Lavalink]:
    async with Lavalink().serving() as server:
        yield server

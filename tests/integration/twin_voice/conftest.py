"""A voice server of the twin for each test."""

from collections.abc import AsyncIterator

import pytest

from tests.support.twin.voice import Place, placed


@pytest.fixture
async def place() -> AsyncIterator[Place]:
    async with placed() as place:
        yield place

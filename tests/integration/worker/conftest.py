"""A database, a Valkey, a Discord, and a clock that is a parameter."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.support.twin import running_twin
from tonearm.cache import TermsCache
from tonearm.discord.rest import RestClient


class Clock:
    """Stands still until it is told to go on."""

    def __init__(self):
        self.now = datetime(2026, 11, 1, tzinfo=UTC)

    def __call__(self):
        return self.now

    def forward(self, **span):
        self.now += timedelta(**span)


@pytest.fixture
def clock():
    """It begins at 2026-11-01."""
    return Clock()


@pytest.fixture
def cache(redis_client, pool):
    """The cache of plans and settings, without a tier in the process."""
    return TermsCache(redis_client, pool, shard_count=1, local=False)


@pytest.fixture
async def twin():
    """A Discord: the twin itself, and a client of it."""
    async with running_twin() as (twin, client):
        yield twin, client


@pytest.fixture
async def rest(twin):
    """Discord's REST API, as our bot."""
    about = twin[0].about()
    async with RestClient(about["api_url"], bot_token=about["bot_token"]) as rest:
        yield rest

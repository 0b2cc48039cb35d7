"""A migrated database for each test."""

from collections.abc import AsyncIterator

import pytest

from playground.stores.postgres import Postgres
from tests.support.databases import Database, failing_database
from tonearm.postgres.migrate import migrate
from tonearm.postgres.pool import Pool


@pytest.fixture(scope="session")
async def migrated_template(postgres: Postgres) -> str:
    """The name of a database that has every migration, to be copied."""
    await migrate(await postgres.create_database(name="migrated_template"))
    return "migrated_template"


@pytest.fixture
async def database_url(postgres: Postgres, migrated_template: str) -> AsyncIterator[str]:
    """The URL of a migrated database of this test's own."""
    url = await postgres.create_database(migrated_template)
    yield url
    await postgres.drop_database(url)


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[Pool]:
    """Connections to it."""
    async with Pool(database_url, timeout=5) as pool:
        yield pool


@pytest.fixture(params=["frozen", "dead"])
async def database(request: pytest.FixtureRequest) -> AsyncIterator[Database]:
    """A database of this test's own that can be taken away, in each way."""
    async with failing_database(request.param) as database:
        yield database

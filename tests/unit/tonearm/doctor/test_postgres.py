"""What the doctor says of PostgreSQL."""

from __future__ import annotations

import asyncpg
import pytest

from tonearm.doctor import postgres
from tonearm.doctor.finding import Finding, Verdict
from tonearm.postgres.migrate import migrate, shipped
from tonearm.settings import PREFIX, load


async def look(url: str, **others: int) -> dict[str, Finding]:
    environ = {f"{PREFIX}{name.upper()}": str(value) for name, value in others.items()}
    found = await postgres.examine(load((), {f"{PREFIX}DATABASE_URL": url, **environ}))
    return {finding.what: finding for finding in found}


async def test_an_empty_database_lacks_the_tables(postgres_url: str) -> None:
    found = await look(postgres_url)
    assert found["PostgreSQL"].verdict is Verdict.OK
    assert found["PostgreSQL"].found.startswith("version ")
    assert found["Tables"].remedy == "Run `tonearm migrate`."
    assert found["Tables"].found.count(".sql") == len(shipped())


async def test_a_migrated_one_is_as_it_should_be(postgres_url: str) -> None:
    await migrate(postgres_url)
    assert (await look(postgres_url))["Tables"].verdict is Verdict.OK


async def test_one_that_is_behind_says_what_is_missing(postgres_url: str) -> None:
    await migrate(postgres_url, shipped()[:-1])
    tables = (await look(postgres_url))["Tables"]
    assert tables.verdict is Verdict.ERROR
    assert tables.found == f"lack {shipped()[-1].name}"


async def test_one_that_is_ahead_is_a_warning(postgres_url: str) -> None:
    await migrate(postgres_url)
    connection = await asyncpg.connect(postgres_url)
    try:
        await connection.execute("insert into tonearm_migrations (name, checksum) values ('9999-new.sql', 'x')")
    finally:
        await connection.close()
    tables = (await look(postgres_url))["Tables"]
    assert tables.verdict is Verdict.WARNING
    assert "9999-new.sql" in tables.found


@pytest.mark.parametrize(
    ("others", "verdict", "said"),
    [
        ({}, Verdict.OK, "200 are the most: enough for 8 processes with 11 each"),
        ({"database_max_connections": 200}, Verdict.OK, "8 processes with 20 each"),
        ({"database_max_connections": 201}, Verdict.ERROR, "and 201 are counted on"),
        ({"database_pool_size": 19, "database_processes": 10}, Verdict.OK, "10 processes with 19 each"),
        ({"database_pool_size": 20, "database_processes": 10}, Verdict.ERROR, "too few for 10 processes with 20 each"),
        ({"database_processes": 191}, Verdict.ERROR, "too few for 191 processes with 1 each"),
    ],
)
async def test_all_processes_together_stay_below_what_the_server_takes(
    postgres_url: str, others: dict[str, int], verdict: Verdict, said: str
) -> None:
    found = (await look(postgres_url, **others))["Connections"]
    assert (found.verdict, said in found.found) == (verdict, True), found
    assert bool(found.remedy) is (verdict is Verdict.ERROR)


async def test_one_that_is_away() -> None:
    found = await look("postgresql://user:secret@127.0.0.1:1/x")
    assert f"{PREFIX}DATABASE_URL" in found["PostgreSQL"].remedy
    assert "secret" not in found["PostgreSQL"].found

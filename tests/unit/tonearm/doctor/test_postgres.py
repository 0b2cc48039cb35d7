"""What the doctor says of PostgreSQL."""

from __future__ import annotations

import asyncio
from pathlib import Path

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


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://user:secret@127.0.0.1:1/x?sslmode=verify-full",  # asyncpg's ClientConfigurationError
        f"postgresql://user:secret@{'a' * 70}.example/x",  # a plain ValueError
        "postgresql://user:secret@127.0.0.1:1/x?target_session_attrs=nonsense",
    ],
)
async def test_an_address_that_can_not_be_used(url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))  # where there is no root.crt
    (finding,) = (await look(url)).values()
    assert finding.verdict is Verdict.ERROR
    assert f"{PREFIX}DATABASE_URL" in finding.remedy
    assert "secret" not in finding.found


async def test_a_question_that_is_refused_stops_no_other(postgres_url: str) -> None:
    connection = await asyncpg.connect(postgres_url)
    try:
        await connection.execute("create table tonearm_migrations (other text)")
    finally:
        await connection.close()
    found = await look(postgres_url)
    assert [finding.verdict for finding in found.values()] == [Verdict.OK, Verdict.ERROR, Verdict.OK]
    assert 'column "name" does not exist' in found["Tables"].found


async def test_a_question_that_is_not_answered_ends_in_time(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    await migrate(postgres_url)
    monkeypatch.setattr(postgres, "TIMEOUT", 0.5)
    holder = await asyncpg.connect(postgres_url)
    try:
        async with holder.transaction():
            await holder.execute("lock table tonearm_migrations in access exclusive mode")
            async with asyncio.timeout(20):
                found = await look(postgres_url)
    finally:
        await holder.close()
    assert [finding.verdict for finding in found.values()] == [Verdict.OK, Verdict.ERROR, Verdict.OK]

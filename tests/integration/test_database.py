"""PostgreSQL, real: the pool, the migrations, and what a guild has set."""

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import pytest

from tonearm.errors import SettingsError, StartFailed
from tonearm.music.guild_settings import GuildSettings
from tonearm.postgres import grants, leaving, trials
from tonearm.postgres import migrate as migrating
from tonearm.postgres.guild_settings import fetch_guild_settings, save_guild_settings
from tonearm.postgres.migrate import Migration, migrate, shipped, wait_until_migrated
from tonearm.postgres.pool import FAILURES, Pool

NUMBERS = Migration("0001_numbers.sql", "create table numbers (n int primary key); insert into numbers values (1);")
MORE = Migration("0002_more.sql", "insert into numbers values (2);")


@asynccontextmanager
async def gate(url: str) -> AsyncIterator[tuple[str, asyncio.Event]]:
    """A way to PostgreSQL that stops carrying anything when the event is cleared."""
    host, port = url.split("@")[1].split("/")[0].split(":")
    is_open = asyncio.Event()
    is_open.set()
    tasks: set[asyncio.Task[None]] = set()
    writers: list[asyncio.StreamWriter] = []

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            await is_open.wait()
            writer.write(data)

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection(host, int(port))
        writers.extend((writer, there_writer))
        for pair in ((reader, there_writer), (there_reader, writer)):
            tasks.add(asyncio.create_task(pump(*pair)))

    server = await asyncio.start_server(carry, "127.0.0.1", 0)
    here = server.sockets[0].getsockname()[1]
    try:
        yield url.replace(f"{host}:{port}", f"127.0.0.1:{here}"), is_open
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        for writer in writers:
            writer.transport.abort()
        await asyncio.gather(*tasks, *(writer.wait_closed() for writer in writers), return_exceptions=True)


async def rows(url: str, statement: str) -> list[tuple[object, ...]]:
    connection = await asyncpg.connect(url)
    try:
        return [tuple(row) for row in await connection.fetch(statement)]
    finally:
        await connection.close()


async def test_migrations_are_applied_once_and_in_order(postgres_url: str) -> None:
    assert await migrate(postgres_url, [NUMBERS]) == ["0001_numbers.sql"]
    assert await migrate(postgres_url, [NUMBERS, MORE]) == ["0002_more.sql"]
    assert await migrate(postgres_url, [NUMBERS, MORE]) == []
    assert await rows(postgres_url, "select n from numbers order by n") == [(1,), (2,)]


async def test_many_at_once_apply_each_file_once(postgres_url: str) -> None:
    slow = Migration("0003_slow.sql", "select pg_sleep(0.05); insert into numbers values (3);")
    applied = await asyncio.gather(*(migrate(postgres_url, [NUMBERS, MORE, slow]) for _ in range(8)))
    assert sorted(name for names in applied for name in names) == ["0001_numbers.sql", "0002_more.sql", "0003_slow.sql"]
    assert await rows(postgres_url, "select count(*) from numbers") == [(3,)]


async def test_many_processes_at_once_all_succeed(postgres_url: str) -> None:
    program = "import sys; from tonearm.postgres.migrate import main; sys.exit(main([]))"
    environ = {**os.environ, "TONEARM_DATABASE_URL": postgres_url}
    processes = [
        await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", program), env=environ, stdout=asyncio.subprocess.PIPE
        )
        for _ in range(3)
    ]
    said = [(await process.communicate())[0].decode() for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0]
    names = [migration.name for migration in shipped()]
    for name in names:
        assert sum(f"Applied {name}." in text for text in said) == 1
    assert sum("Nothing to do" in text for text in said) >= len(processes) - len(names)


async def test_a_changed_file_is_refused_and_nothing_is_done(postgres_url: str) -> None:
    await migrate(postgres_url, [NUMBERS])
    changed = NUMBERS._replace(sql=NUMBERS.sql + " insert into numbers values (9);")
    with pytest.raises(StartFailed, match=r"^0001_numbers\.sql was changed after it had been applied"):
        await migrate(postgres_url, [changed, MORE])
    assert await rows(postgres_url, "select n from numbers") == [(1,)]


async def test_line_ends_are_no_change(postgres_url: str) -> None:
    two_lines = NUMBERS._replace(sql=NUMBERS.sql.replace("; ", ";\n"))
    await migrate(postgres_url, [two_lines])
    assert await migrate(postgres_url, [two_lines._replace(sql=two_lines.sql.replace("\n", "\r\n"))]) == []


async def test_a_file_that_fails_leaves_nothing_of_itself(postgres_url: str) -> None:
    broken = Migration("0002_broken.sql", "insert into numbers values (2); select nonsense;")
    with pytest.raises(StartFailed, match=r"stopped at 0002_broken\.sql.*nonsense"):
        await migrate(postgres_url, [NUMBERS, broken])
    assert await rows(postgres_url, "select n from numbers") == [(1,)]
    assert await rows(postgres_url, "select name from tonearm_migrations") == [("0001_numbers.sql",)]


async def test_a_lock_that_is_held_too_long_is_a_sentence(postgres_url: str) -> None:
    holder = await asyncpg.connect(postgres_url)
    try:
        await holder.execute(f"select pg_advisory_lock({migrating.LOCK})")
        with pytest.raises(StartFailed, match="another process is migrating"):
            await migrate(postgres_url, [NUMBERS], turn_timeout=0.1)
    finally:
        await holder.close()
    assert await migrate(postgres_url, [NUMBERS]) == [NUMBERS.name]


async def test_a_process_can_wait_for_the_one_that_migrates(postgres_url: str) -> None:
    await migrate(postgres_url, [NUMBERS])
    waiting = asyncio.create_task(wait_until_migrated(postgres_url, 20, [NUMBERS, MORE], every=0.01))
    with pytest.raises(StartFailed, match=r"in vain\. The tables lack 0002_more\.sql"):
        await wait_until_migrated(postgres_url, 0.5, [NUMBERS, MORE], every=0.01)
    assert not waiting.done()
    await migrate(postgres_url, [NUMBERS, MORE])
    await waiting


async def test_waiting_for_a_database_that_is_not_there_ends_in_time() -> None:
    server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        with pytest.raises(StartFailed, match="PostgreSQL can't be used") as caught:
            await wait_until_migrated(f"postgresql://me:secret@127.0.0.1:{port}/x", 0.2, [NUMBERS], every=0.01)
    assert "secret" not in str(caught.value)


async def test_the_command_says_what_it_did(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TONEARM_DATABASE_URL", postgres_url)
    loop = asyncio.get_running_loop()
    assert await loop.run_in_executor(None, migrating.main, []) == 0
    assert capsys.readouterr().out == "".join(f"Applied {migration.name}.\n" for migration in shipped())
    assert await loop.run_in_executor(None, migrating.main, []) == 0
    assert capsys.readouterr().out.startswith("Nothing to do")
    assert await loop.run_in_executor(None, migrating.main, ["--wait", "5"]) == 0
    assert capsys.readouterr().out == "The database is up to date.\n"


def test_the_command_needs_an_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TONEARM_DATABASE_URL", raising=False)
    with pytest.raises(SettingsError, match="TONEARM_DATABASE_URL is missing"):
        migrating.main([])


async def test_a_database_that_refuses_is_a_sentence_without_the_password() -> None:
    server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        with pytest.raises(StartFailed, match="PostgreSQL can't be used") as caught:
            await migrate(f"postgresql://me:secret@127.0.0.1:{port}/x")
    with pytest.raises(StartFailed, match="PostgreSQL can't be used") as unreachable:
        await migrate(f"postgresql://me:secret@127.0.0.1:{port}/x")
    assert "secret" not in str(caught.value) + str(unreachable.value)


@pytest.mark.parametrize(
    ("rest", "said"),
    [
        ("@127.0.0.1:1/x?sslmode=verify-full", "root certificate file .* does not exist"),
        (f"@{'a' * 70}.example/x", "its address can't be understood"),
    ],
)
async def test_an_address_that_can_not_be_used_is_a_sentence_that_says_why(
    rest: str, said: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))  # where there is no root.crt
    url = f"postgresql://me:secret{rest}"
    with pytest.raises(StartFailed, match=rf"^PostgreSQL can't be used: {said}[^\n]*$") as caught:
        await migrate(url)
    assert "secret" not in str(caught.value)
    async with Pool(url) as pool:
        with pytest.raises(FAILURES, match=said):
            await pool.fetch_row("select 1")


async def test_a_database_that_hangs_is_an_error_in_time() -> None:
    release = asyncio.Event()

    async def hang(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await release.wait()
        writer.close()

    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    url = f"postgresql://me@127.0.0.1:{server.sockets[0].getsockname()[1]}/x"
    try:
        began = time.monotonic()
        with pytest.raises(StartFailed, match=r"did not answer within 0\.2 s"):
            await migrate(url, connect_timeout=0.2)
        async with Pool(url, timeout=0.2, connect_timeout=5) as pool:
            with pytest.raises(FAILURES):
                await pool.fetch_row("select 1")
        assert time.monotonic() - began < 2
    finally:
        release.set()
        server.close()


async def test_a_database_that_falls_silent_costs_one_timeout_and_is_used_again(postgres_url: str) -> None:
    async with gate(postgres_url) as (url, is_open), Pool(url, timeout=0.3, max_size=2) as pool:
        assert (await pool.fetch_row("select 1 as one"))["one"] == 1
        is_open.clear()
        began = time.monotonic()
        failures = await asyncio.gather(*(pool.fetch_row("select 1") for _ in range(6)), return_exceptions=True)
        assert all(isinstance(failure, FAILURES) for failure in failures)
        assert time.monotonic() - began < 1.5
        is_open.set()
        assert (await pool.fetch_row("select 1 as one", timeout=5))["one"] == 1


async def test_a_slow_statement_is_stopped_and_the_next_one_works(postgres_url: str) -> None:
    async with Pool(postgres_url, timeout=0.2, max_size=1) as pool:
        with pytest.raises(TimeoutError):
            await pool.fetch_row("select pg_sleep(30)")
        assert (await pool.fetch_row("select 1 as one", timeout=5))["one"] == 1


async def test_closing_does_not_wait_for_a_silent_database(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tonearm.postgres.pool.CLOSE_TIMEOUT", 0.2)
    began = time.monotonic()
    async with gate(postgres_url) as (url, is_open):
        async with Pool(url, timeout=5) as pool:
            await pool.fetch_row("select 1")
            is_open.clear()
        assert time.monotonic() - began < 3


async def test_settings_are_kept(postgres_url: str) -> None:
    await migrate(postgres_url)
    async with Pool(postgres_url, timeout=5) as pool:
        assert await fetch_guild_settings(pool, 2**63 - 1) == GuildSettings()
        await save_guild_settings(pool, 2**63 - 1, GuildSettings(40))
        await save_guild_settings(pool, 2**63 - 1, GuildSettings(0))
        await save_guild_settings(pool, 5, GuildSettings(60))
        assert await fetch_guild_settings(pool, 2**63 - 1) == GuildSettings(0)
        assert await fetch_guild_settings(pool, 5) == GuildSettings(60)


@pytest.mark.parametrize("volume", [-1, 201])
async def test_the_database_refuses_a_volume_out_of_range(postgres_url: str, volume: int) -> None:
    await migrate(postgres_url)
    async with Pool(postgres_url, timeout=5) as pool:
        with pytest.raises(asyncpg.CheckViolationError):
            await save_guild_settings(pool, 1, GuildSettings(volume))
        assert await fetch_guild_settings(pool, 1) == GuildSettings()


async def test_settings_work_behind_a_pooler(postgres_url: str) -> None:
    await migrate(postgres_url)
    async with Pool(postgres_url, timeout=5, statement_cache_size=0) as pool:
        await save_guild_settings(pool, 5, GuildSettings(60))
        assert await fetch_guild_settings(pool, 5) == GuildSettings(60)


async def test_who_had_a_trial_before_trials_were_marked_gets_no_other(postgres_url: str) -> None:
    files = shipped()
    marking = next(number for number, file in enumerate(files) if file.name == "0008_trials.sql")
    await migrate(postgres_url, files[:marking])
    now = datetime.now(UTC)
    connection = await asyncpg.connect(postgres_url)
    try:
        for source, guild, payer in (("trial", 5, "discord:1"), ("stripe", 6, "discord:2")):
            await connection.execute(
                """insert into grants (id, guild_id, source, ref, plan, state, starts_at, grace_seconds, payer)
                values ($1, $2, $3, 'r', 'pro', 'expired', $4, 0, $5)""",
                *(f"{source}:r", guild, source, now, payer),
            )
    finally:
        await connection.close()
    await migrate(postgres_url)
    async with Pool(postgres_url, timeout=5) as pool:
        assert await trials.fetch_used(pool, 5, "discord:9") == (True, False)
        assert await trials.fetch_used(pool, 9, "discord:1") == (False, True)
        assert await trials.fetch_used(pool, 6, "discord:2") == (False, False)


async def test_a_trial_stays_used_when_all_of_the_guild_is_deleted(postgres_url: str) -> None:
    await migrate(postgres_url)
    async with Pool(postgres_url, timeout=5) as pool:
        await grants.start_trial(pool, 5, "discord:1", now=datetime.now(UTC))
        await leaving.forget_guild(pool, 5)
        assert await grants.fetch_grants(pool, 5) == ()
        assert await trials.fetch_used(pool, 5, "discord:1") == (True, True)
        kept = await rows(postgres_url, "select encode(mark, 'escape') from trial_marks")
        assert all("discord" not in str(mark) for mark in kept)

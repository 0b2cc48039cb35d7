"""The playground's stores: real servers that start in parallel, restart in place, and leave nothing behind."""

import asyncio
import json
import os
import signal
import socket
import sys
from asyncio.subprocess import PIPE
from contextlib import AsyncExitStack
from pathlib import Path

import asyncpg
import pytest
import redis.asyncio

from playground.stores import _place
from playground.stores._server import locked
from playground.stores.postgres import Postgres
from playground.stores.valkey import Valkey
from tonearm.errors import StartFailed


def client_of(valkey):
    return redis.asyncio.from_url(valkey.url, socket_timeout=5)


def program_of(pid):
    return Path(os.readlink(f"/proc/{pid}/exe"))


async def run_module(name, *arguments):
    """Starts a store as a process; returns it and its ready line."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", f"playground.stores.{name}", *arguments, stdout=PIPE, stderr=PIPE
    )
    async with asyncio.timeout(30):
        line = await process.stdout.readline()
    return process, json.loads(line)


async def end(process, sig):
    """Signals a process; returns its exit code, the rest of its stdout, and its stderr."""
    process.send_signal(sig)
    async with asyncio.timeout(20):
        out, log = await process.communicate()
    return process.returncode, out, log


async def test_six_valkeys_start_at_the_same_time():
    async with AsyncExitStack() as stack:
        servers = await asyncio.gather(*(stack.enter_async_context(Valkey()) for _ in range(6)))
        assert len({server.port for server in servers}) == 6
        for number, server in enumerate(servers):
            async with client_of(server) as client:
                await client.set("number", number)
        for number, server in enumerate(servers):
            async with client_of(server) as client:
                assert await client.get("number") == str(number).encode()


async def test_valkey_refuses_writes_rather_than_evict_and_saves_nothing(redis_client):
    settings = await redis_client.config_get("maxmemory-policy", "save", "appendonly", "appendfsync")
    assert settings == {
        "maxmemory-policy": "noeviction",
        "save": "",
        "appendonly": "no",
        "appendfsync": "everysec",
    }


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGKILL])
async def test_the_append_only_file_survives_a_restart_at_the_same_url(tmp_path, sig):
    async with Valkey(tmp_path / "a folder", aof=True) as server:
        url = server.url
        async with client_of(server) as client:
            await client.set("song", "kept")
        await (server.kill() if sig is signal.SIGKILL else server.stop())
        assert await server.start() == url
        async with client_of(server) as client:
            assert await client.get("song") == b"kept"


async def test_without_it_a_restart_forgets(tmp_path):
    async with Valkey(tmp_path) as server:
        async with client_of(server) as client:
            await client.set("song", "lost")
        await server.stop()
        await server.start()
        async with client_of(server) as client:
            assert await client.get("song") is None


async def test_a_remembered_port_that_is_taken_is_given_up(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        (tmp_path / "port").write_text(f"{taken}\n")
        async with Valkey(tmp_path) as server:
            assert server.port != taken
            assert (tmp_path / "port").read_text() == f"{server.port}\n"


async def test_a_wanted_port_that_is_taken_is_a_sentence(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as other:
        with pytest.raises(StartFailed, match=r"^Valkey found its port taken by another process\.$"):
            async with Valkey(tmp_path / "valkey", port=other.getsockname()[1]):
                pass
        with pytest.raises(StartFailed, match=r"^PostgreSQL found its port taken by another process\.$"):
            async with Postgres(tmp_path / "postgres", port=other.getsockname()[1], discard=True):
                pass


async def test_a_wrong_option_is_a_sentence_with_the_log(tmp_path):
    with pytest.raises(StartFailed, match=r"(?s)^Valkey exited with 1\. The last lines.*'no-such-option"):
        await Valkey(tmp_path, options=["--no-such-option", "1"]).start()


async def test_two_servers_never_share_a_folder(tmp_path, monkeypatch):
    monkeypatch.setattr("playground.stores._server.LOCK_TIMEOUT", 0.05)
    async with Valkey(tmp_path):
        with pytest.raises(StartFailed, match=r"^Another server is using "):
            await Valkey(tmp_path).start()
    async with locked(tmp_path):
        pass


async def test_a_closed_server_leaves_no_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    async with Valkey():
        assert len(list(tmp_path.iterdir())) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["valkey", "postgres"])
async def test_nothing_survives_a_killed_parent(tmp_path, name, descendants, process_gone):
    folder = tmp_path / ("deep " * 30)
    process, ready = await run_module(name, "--dir", str(folder))
    below = descendants(process.pid)
    assert len(below) >= (1 if name == "valkey" else 4)
    await end(process, signal.SIGKILL)
    for pid in below:
        await process_gone(pid)

    # and the next one starts at once, in the same place
    process, again = await run_module(name, "--dir", str(folder), *(["--discard"] if name == "postgres" else []))
    assert again == ready
    code, out, log = await end(process, signal.SIGINT)
    assert (code, out) == (0, b"")
    assert b"ready to" in log.lower()


async def test_a_process_ends_when_its_server_dies(tmp_path, descendants):
    process, ready = await run_module("valkey", "--dir", str(tmp_path), "--aof")
    assert ready["ready"] is True
    (server,) = descendants(process.pid)
    os.kill(server, signal.SIGKILL)
    async with asyncio.timeout(10):
        _, log = await process.communicate()
    assert process.returncode == 1
    assert b"The server exited with -9." in log


async def test_a_process_that_cannot_start_says_why(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as other:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "playground.stores.valkey", "--dir", str(tmp_path)),
            *("--port", str(other.getsockname()[1])),
            stdout=PIPE,
            stderr=PIPE,
        )
        async with asyncio.timeout(20):
            out, log = await process.communicate()
    assert (process.returncode, out) == (1, b"")
    assert log.decode().splitlines()[-1] == "Valkey found its port taken by another process."


async def test_each_test_gets_a_database_of_its_own(postgres, postgres_url):
    template = await postgres.create_database()
    connection = await asyncpg.connect(template)
    await connection.execute("CREATE TABLE song (name text); INSERT INTO song VALUES ('one')")
    await connection.close()
    name = template.rpartition("/")[2]
    copies = await asyncio.gather(*(postgres.create_database(name) for _ in range(4)))
    assert len({template, postgres_url, *copies}) == 6
    for url in copies:
        connection = await asyncpg.connect(url)
        assert await connection.fetchval("SELECT name FROM song") == "one"
        await connection.execute("DROP TABLE song")
        await connection.close()
    held = await asyncpg.connect(template)
    await postgres.drop_database(template)
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError)):
        await held.execute("SELECT 1")
    with pytest.raises(asyncpg.InvalidCatalogNameError):
        await asyncpg.connect(template)


async def test_two_postgres_at_the_same_time_and_each_keeps_its_data(tmp_path):
    first, second = Postgres(tmp_path / "1", discard=True), Postgres(tmp_path / "2", discard=True)
    try:
        await asyncio.gather(first.start(), second.start())
        assert first.port != second.port
        connection = await asyncpg.connect(first.url)
        await connection.execute("CREATE TABLE song ()")
        await connection.close()
        url = first.url
        await first.kill()
        assert await first.start() == url
        connection = await asyncpg.connect(url)
        assert await connection.fetchval("SELECT count(*) FROM pg_class WHERE relname = 'song'") == 1
        await connection.close()
        await first.stop()
        assert await first.start() == url
    finally:
        await asyncio.gather(first.close(), second.close())
    assert list(tmp_path.iterdir()) == []


async def test_an_initdb_that_did_not_end_is_done_again(tmp_path):
    async with Postgres(tmp_path / "pg", discard=True) as server:
        await server.stop()
        (tmp_path / "pg" / "initialised").unlink()
        await server.start()
        connection = await asyncpg.connect(server.url)
        assert await connection.fetchval("SELECT 1") == 1
        await connection.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to run PostgreSQL as somebody else")
async def test_root_runs_it_as_nobody_even_from_a_closed_folder(tmp_path, monkeypatch):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    installed = _place._installed()
    monkeypatch.setattr(_place, "_open_to_all", lambda path: not {closed, installed} & {*path.parents})
    async with Postgres(closed / "pg", discard=True) as server:
        assert os.stat(f"/proc/{server.pid}").st_uid == _place._user()[0]
        outside = (closed / "pg" / "data").resolve()
        assert closed not in outside.parents
        programs = program_of(server.pid)
        assert installed not in programs.parents
    assert not outside.parent.exists()
    assert not programs.exists()
    assert closed.stat().st_mode & 0o777 == 0o700

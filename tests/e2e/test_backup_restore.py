"""Everything is lost, and comes back from the backups: by the scripts that Kubernetes runs, on real stores."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg
import pytest

from playground.stores import _place
from playground.stores.postgres import Postgres
from playground.stores.valkey import Valkey
from playground.system import READY_SECONDS, System
from tonearm.child_logs import LogFolder
from tonearm.supervisor import ProcessSpec
from tonearm.up import tonearm

if TYPE_CHECKING:
    from tests.e2e.conftest import Room

SCRIPTS = Path(__file__).resolve().parents[2] / "k8s" / "base" / "backup"
CLI = Path(__file__).resolve().parents[1] / "support" / "redis_cli.py"
OURS = ("interactions", "api", "worker", "voice-node")


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """A folder with the programs that the scripts use, as their images have them."""
    folder = tmp_path / "bin"
    folder.mkdir()
    installed = _place._installed() / "bin"
    for name in ("pg_dump", "pg_restore", "psql"):
        (folder / name).symlink_to(installed / name)
    cli = folder / "redis-cli"
    if (found := shutil.which("redis-cli") or shutil.which("valkey-cli")) is not None:
        cli.symlink_to(found)
    else:
        cli.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{CLI}" "$@"\n')
        cli.chmod(0o755)
    return folder


async def script(name: str, *words: object, programs: Path, **environ: str) -> None:
    """Run one of the scripts; it must succeed."""
    process = await asyncio.create_subprocess_exec(
        *("sh", str(SCRIPTS / name), *map(str, words)),
        env={"PATH": f"{programs}:{os.environ['PATH']}", **environ},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(30):
        said, _ = await process.communicate()
    assert process.returncode == 0, said.decode()


def only(folder: Path, pattern: str) -> Path:
    """The one file that matches."""
    (found,) = folder.glob(pattern)
    return found


@pytest.fixture
async def stores(tmp_path: Path) -> AsyncIterator[tuple[Valkey, Postgres]]:
    """Both in one folder, and nowhere else."""
    async with Valkey(tmp_path / "disk/redis", aof=True) as valkey, Postgres(tmp_path / "disk/postgres") as postgres:
        yield valkey, postgres


@pytest.fixture
async def system(tmp_path: Path, tones: Path, stores: tuple[Valkey, Postgres]) -> AsyncIterator[System]:
    settings = {"REDIS_URL": stores[0].url, "DATABASE_URL": stores[1].url}
    with LogFolder(tmp_path / "logs") as log:
        async with System(tmp_path, library=tones, settings=settings, premium=True, log=log) as running:
            yield running


@pytest.mark.timeout(240)
async def test_everything_is_lost_and_comes_back(
    tmp_path: Path, programs: Path, system: System, stores: tuple[Valkey, Postgres], room: Room
) -> None:
    valkey, postgres = stores
    await room.make_ada_boss()
    for query in ("long 440", "long 660", "long 880"):
        await room.ask("play", query=query)
    trial = await room.ada.click(await room.ask("premium"), "Start the trial")
    assert "plan: Premium (trial)" in (await trial.answer(timeout=15)).text

    await script("dump-postgres.sh", tmp_path, programs=programs, TONEARM_DATABASE_URL=postgres.url)
    await script("snapshot-redis.sh", tmp_path, programs=programs, REDIS_HOSTS="127.0.0.1", REDIS_PORT=str(valkey.port))
    for name in OURS:
        await system.supervisor.stop(name)
    await valkey.close()
    await postgres.close()
    await asyncio.to_thread(shutil.rmtree, tmp_path / "disk")

    await script("restore-redis.sh", only(tmp_path, "*.rdb"), tmp_path / "disk/redis", programs=programs)
    async with (
        Valkey(tmp_path / "disk/redis", aof=True, port=valkey.port),
        Postgres(tmp_path / "disk/postgres", port=postgres.port) as fresh,
    ):
        dump = only(tmp_path, "*.dump")
        await script("restore-postgres.sh", dump, programs=programs, TONEARM_DATABASE_URL=fresh.url)
        await system.supervisor.start(ProcessSpec("worker", tonearm("worker"), system.environ, READY_SECONDS))
        await system.start_voice_node()
        await system.start_interactions()

        queue = (await room.ask("queue")).text
        assert ["440 Hz" in queue, "660 Hz" in queue, "880 Hz" in queue] == [True] * 3
        assert "plan: Premium (trial)" in (await room.ask("premium")).text
        await room.ear.hears(440)
        for name in ("interactions", "worker", "voice-node"):
            await system.supervisor.stop(name)


@pytest.mark.parametrize("whole", [True, False], ids=["whole", "torn"])
async def test_a_restore_replaces_all_or_changes_nothing(
    whole: bool, tmp_path: Path, programs: Path, postgres_url: str
) -> None:
    connection = await asyncpg.connect(postgres_url)
    try:
        await connection.execute("create table numbers (n int primary key)")
        await connection.execute("insert into numbers select generate_series(1, 5000)")
        await script("dump-postgres.sh", tmp_path, programs=programs, TONEARM_DATABASE_URL=postgres_url)
        await connection.execute("delete from numbers where n > 7; create table newer (n int)")
        dump = only(tmp_path, "*.dump")
        if whole:
            await script("restore-postgres.sh", dump, programs=programs, TONEARM_DATABASE_URL=postgres_url)
        else:
            dump.write_bytes(dump.read_bytes()[:-2000])
            with pytest.raises(AssertionError):
                await script("restore-postgres.sh", dump, programs=programs, TONEARM_DATABASE_URL=postgres_url)
        assert await connection.fetchval("select count(*) from numbers") == (5000 if whole else 7)
        assert (await connection.fetchval("select to_regclass('newer')") is None) is whole
    finally:
        await connection.close()


async def test_what_is_no_snapshot_is_not_taken_for_one(tmp_path: Path, programs: Path) -> None:
    (tmp_path / "appendonlydir").mkdir()
    (tmp_path / "page.html").write_text("<Error>NoSuchKey</Error>")
    with pytest.raises(AssertionError, match="is no snapshot"):
        await script("restore-redis.sh", tmp_path / "page.html", tmp_path, programs=programs)
    assert sorted(os.listdir(tmp_path)) == ["appendonlydir", "bin", "page.html"]

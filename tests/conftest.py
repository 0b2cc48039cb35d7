"""Fixtures for every kind of test: the real stores, and a way to await the end of any process.

A store is started when the first test asks for it and lives for the whole run. Tests get it clean:

- ``redis_url``, ``redis_client``: emptied before each test;
- ``postgres_url``: a fresh database for each test, a copy of the one that ``postgres_template`` names;
- ``moto``, ``bucket``: AWS on this machine, and a new bucket in it.

A test or fixture that wants to start and kill a server makes a ``Valkey`` or ``Postgres`` of its own.
"""

import asyncio
import contextlib
import os
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest
import redis.asyncio
from hypothesis import settings
from prometheus_client import REGISTRY

from playground.stores.postgres import Postgres
from playground.stores.valkey import Valkey
from tests.support.aws import Moto, running_moto
from tests.support.labels import unbounded

# A machine that is busy is not a slow program.
settings.register_profile("tonearm", deadline=None)
settings.load_profile("tonearm")


@pytest.fixture(scope="session")
async def valkey() -> AsyncIterator[Valkey]:
    """One Valkey for the run. What is in it may vanish between two tests."""
    async with Valkey() as server:
        yield server


@pytest.fixture(scope="session")
async def _valkey_admin(valkey: Valkey) -> AsyncIterator["redis.asyncio.Redis[Any]"]:
    async with redis.asyncio.from_url(valkey.url, socket_timeout=5) as client:
        yield client


@pytest.fixture
async def redis_url(valkey: Valkey, _valkey_admin: "redis.asyncio.Redis[Any]") -> str:
    """The URL of an empty Valkey that knows no scripts."""
    await _valkey_admin.flushall()
    await _valkey_admin.script_flush()
    return valkey.url


@pytest.fixture
async def redis_client(redis_url: str) -> AsyncIterator["redis.asyncio.Redis[Any]"]:
    """A client of an empty Valkey; it answers in bytes and gives up after 5 s."""
    async with redis.asyncio.from_url(redis_url, socket_timeout=5) as client:
        yield client


@pytest.fixture(scope="session")
async def postgres() -> AsyncIterator[Postgres]:
    """One PostgreSQL for the run."""
    async with Postgres() as server:
        yield server


@pytest.fixture(scope="session")
async def postgres_template(postgres: Postgres) -> str:
    """The name of the database that each test's own is copied from: empty."""
    await postgres.create_database(name="test_template")
    return "test_template"


@pytest.fixture
async def postgres_url(postgres: Postgres, postgres_template: str) -> AsyncIterator[str]:
    """The URL of a database of this test's own, removed afterwards."""
    url = await postgres.create_database(postgres_template)
    yield url
    await postgres.drop_database(url)


@pytest.fixture(scope="session")
async def _moto() -> AsyncIterator[Moto]:
    """One AWS for the run."""
    async with running_moto() as server:
        yield server


@pytest.fixture
def moto(_moto: Moto, monkeypatch: pytest.MonkeyPatch) -> Moto:
    """AWS, as this process sees it."""
    for name, value in _moto.environ.items():
        monkeypatch.setenv(name, value)
    return _moto


@pytest.fixture
async def bucket(moto: Moto) -> str:
    """The name of a new bucket."""
    name = f"tonearm-{secrets.token_hex(6)}"
    await moto.make_bucket(name)
    return name


@pytest.fixture(scope="session")
def process_gone() -> Callable[..., Awaitable[None]]:
    """``await process_gone(pid, timeout=5)``: returns when a process, anybody's child, has ended; else TimeoutError."""

    async def gone(pid: int, timeout: float = 5) -> None:
        try:
            descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            return
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()
        loop.add_reader(descriptor, ended.set)
        try:
            async with asyncio.timeout(timeout):
                await ended.wait()
        finally:
            loop.remove_reader(descriptor)
            os.close(descriptor)

    return gone


@pytest.fixture(scope="session")
def descendants() -> Callable[[int], set[int]]:
    """``descendants(pid)``: the ids of all processes below a process, read from ``/proc``."""

    def below(pid: int) -> set[int]:
        found: set[int] = set()
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            for task in os.listdir(f"/proc/{pid}/task"):
                with open(f"/proc/{pid}/task/{task}/children") as children:
                    for child in map(int, children.read().split()):
                        found |= {child, *below(child)}
        return found

    return below


@pytest.fixture(scope="session", autouse=True)
def _no_label_is_unbounded() -> Iterator[None]:
    """After all tests: whatever they sent, no metric of this process has a label that people can make grow."""
    yield
    assert list(unbounded(REGISTRY.collect())) == []

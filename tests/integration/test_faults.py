"""Errors that are logged are kept for people, without what people typed."""

from __future__ import annotations

import asyncio
import logging

import pytest

from tonearm import faults
from tonearm.faults import keeping_faults
from tonearm.redis import keys
from tonearm.redis.client import Client, connect
from tonearm.redis.faults import MOST_KEPT, Fault, fetch_faults, keep
from tonearm.telemetry import LOG, about, context


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faults, "EVERY", 0.01)


async def kept(client: Client, count: int) -> list[Fault]:
    """What is kept, once it is as much."""
    async with asyncio.timeout(10):
        while len(found := await fetch_faults(client)) < count:  # noqa: ASYNC110 - Redis tells nobody of a list
            await asyncio.sleep(0.01)
    return found


async def test_an_error_is_kept_with_whose_it_is_and_without_its_words(redis_client: Client) -> None:
    async with keeping_faults(redis_client, "test"):
        with about(job="i:1", guild=5):
            try:
                raise ValueError("secret words")
            except ValueError:
                LOG.exception("A job failed: %s in %-5.2f s", "secret words", 1.5, extra=context(attempt=1))
        (fault,) = await kept(redis_client, 1)
    assert (fault.process, fault.what, fault.error) == ("test", "A job failed: … in … s", "ValueError")
    assert (fault.job, fault.guild) == ("i:1", 5)


async def test_warnings_and_others_loggers_are_left_out(redis_client: Client) -> None:
    async with keeping_faults(redis_client, "test"):
        LOG.warning("a warning")
        logging.getLogger("asyncio").error("others' words")
        logging.getLogger("tonearm.outbox").error("ours")
        assert [fault.what for fault in await kept(redis_client, 1)] == ["ours"]
    LOG.error("afterwards")
    assert len(await fetch_faults(redis_client)) == 1


async def test_no_more_than_the_last_ones_are_kept(redis_client: Client) -> None:
    await keep(redis_client, [Fault(number, "test", "a fault") for number in range(MOST_KEPT + 5)])
    found = await fetch_faults(redis_client)
    assert [found[0].at_ms, found[-1].at_ms, len(found)] == [MOST_KEPT + 4, 5, MOST_KEPT]
    assert await redis_client.llen(keys.FAULTS) == MOST_KEPT


async def test_a_flood_is_cut_down(redis_client: Client) -> None:
    async with keeping_faults(redis_client, "test"):
        for number in range(1_000):
            LOG.error("a fault", extra=context(guild=number))
        found = await kept(redis_client, faults.MOST_AT_ONCE)
    assert len(found) == faults.MOST_AT_ONCE
    assert found[0].guild == 999


async def test_without_redis_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: asyncio.Queue[str] = asyncio.Queue()

    async def keep_or_not(client: Client, some: list[Fault]) -> None:
        tried.put_nowait(some[0].what)
        await keep(client, some)

    monkeypatch.setattr(faults.faults, "keep", keep_or_not)
    async with connect("redis://127.0.0.1:1", timeout=1) as nobody, keeping_faults(nobody, "test"):
        for what in ("a fault", "another"):
            LOG.error(what)
            assert await asyncio.wait_for(tried.get(), 10) == what

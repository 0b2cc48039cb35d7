"""Receipts: kept once under the sha256 of the body, and acted on by one at a time."""

import asyncio
import hashlib
from datetime import UTC, datetime, timedelta

from tonearm.postgres import receipts
from tonearm.postgres.pool import Pool

T0 = datetime(2026, 1, 1, tzinfo=UTC)
LEASE = timedelta(seconds=30)
BODY = b'{"type": 1}\xff'


async def test_a_body_is_kept_once_byte_by_byte(pool: Pool) -> None:
    stored = await asyncio.gather(*(receipts.store(pool, "discord", BODY, now=T0) for _ in range(5)))
    assert sorted(stored) == [False] * 4 + [True]
    (receipt,) = await receipts.claim(pool, T0, lease=LEASE)
    assert receipt == receipts.Receipt(hashlib.sha256(BODY).hexdigest(), "discord", BODY, T0, 1)


async def test_several_workers_never_hold_the_same(pool: Pool) -> None:
    for number in range(9):
        await receipts.store(pool, "stripe", b"%d" % number, now=T0)
    taken = await asyncio.gather(*(receipts.claim(pool, T0, lease=LEASE, most=4) for _ in range(4)))
    ids = [receipt.id for some in taken for receipt in some]
    assert len(ids) == len(set(ids)) == 9


async def test_one_that_fails_comes_again_when_it_is_due(pool: Pool) -> None:
    await receipts.store(pool, "discord", BODY, now=T0)
    (one,) = await receipts.claim(pool, T0, lease=LEASE)
    assert await receipts.claim(pool, T0, lease=LEASE) == ()
    await receipts.fail(pool, one.id, "Discord is away", retry_at=T0 + LEASE * 4)
    assert await receipts.claim(pool, T0 + LEASE * 3, lease=LEASE) == ()
    (again,) = await receipts.claim(pool, T0 + LEASE * 4, lease=LEASE)
    assert again.attempts == 2


async def test_what_is_done_stays_done_and_goes_in_time(pool: Pool) -> None:
    await receipts.store(pool, "discord", BODY, now=T0)
    await receipts.finish(pool, receipts.receipt_id(BODY), T0)
    assert await receipts.claim(pool, T0 + LEASE * 100, lease=LEASE) == ()
    assert not await receipts.store(pool, "discord", BODY, now=T0 + LEASE)
    await receipts.remove_done(pool, T0)
    assert not await receipts.store(pool, "discord", BODY, now=T0)
    await receipts.remove_done(pool, T0 + LEASE)
    assert await receipts.store(pool, "discord", BODY, now=T0)

"""How much waits in PostgreSQL, and how full it is: one statement, whose counts go by partial indexes."""

from __future__ import annotations

import msgspec

from tonearm.postgres.pool import Pool
from tonearm.premium.plans import PlanId
from tonearm.premium.states import State

# numbackends is for everybody to see; of pg_stat_activity a role sees no more than its own sessions.
_FIGURES = """
select
    (select coalesce(sum(numbackends), 0) from pg_stat_database)::float8
        / current_setting('max_connections')::float8 as connections,
    pg_database_size(current_database()) as size,
    receipts.waiting as receipts, receipts.oldest as oldest_receipt,
    (select count(*) from webhook_deliveries where delivered_at is null and dead_at is null) as deliveries,
    (select count(*) from webhook_deliveries where dead_at is not null) as dead_deliveries
from (
    select count(*) as waiting, coalesce(extract(epoch from now() - min(received_at)), 0)::float8 as oldest
    from webhook_receipts where done_at is null
) as receipts
"""
_SUBSCRIPTIONS = "select plan, state, count(*) from grants group by plan, state"


class Figures(msgspec.Struct, frozen=True):
    """At one moment. ``connections`` is the used part of max_connections, ``size`` in bytes, ``oldest_receipt`` an age
    in seconds, 0 where none waits."""

    connections: float
    size: int
    receipts: int
    oldest_receipt: float
    deliveries: int
    dead_deliveries: int
    subscriptions: dict[tuple[PlanId, State], int]


async def fetch_figures(pool: Pool, *, timeout: float) -> Figures:
    """What there is.

    Raises:
        FAILURES: PostgreSQL doesn't answer within ``timeout`` seconds, or refuses.
    """
    row = await pool.fetch_row(_FIGURES, timeout=timeout)
    rows = await pool.fetch_rows(_SUBSCRIPTIONS, timeout=timeout)
    return Figures(**dict(row), subscriptions={(PlanId(plan), State(state)): count for plan, state, count in rows})

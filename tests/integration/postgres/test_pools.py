"""How many connections a process opens, and that hot paths use their indexes."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from playground.stores.postgres import Postgres
from tests.support.voice_nodes import metric
from tonearm.errors import Conflict
from tonearm.music.guild_settings import GuildSettings
from tonearm.postgres import api_keys, figures, grants, guild_settings, guild_tasks, outgoing, receipts, trials
from tonearm.postgres.pool import MOST_ATTEMPTS, Connection, Pool
from tonearm.postgres.pools import MOST, open_pools, pool_size
from tonearm.settings import Settings, load

T0 = datetime(2026, 1, 1, tzinfo=UTC)


def settings(**values: object) -> Settings:
    return load([], {f"TONEARM_DATABASE_{name.upper()}": str(value) for name, value in values.items()})


def test_all_processes_together_stay_below_the_servers_limit() -> None:
    assert pool_size(settings()) == 11
    assert pool_size(settings(processes=1)) == MOST
    assert pool_size(settings(processes=1_000)) == 1
    assert pool_size(settings(pool_size=7, processes=1_000)) == 7
    for processes in range(1, 90):
        assert pool_size(settings(processes=processes)) * processes <= 90


async def test_what_may_be_old_is_read_from_the_replica(database_url: str, postgres_url: str) -> None:
    async with open_pools(settings(url=database_url, read_url=postgres_url, pgbouncer=1, pool_size=1)) as pools:
        names = [(await pool.fetch_row("select current_database()"))[0] for pool in pools]
    assert names == [database_url.rpartition("/")[2], postgres_url.rpartition("/")[2]]
    async with open_pools(settings(url=database_url)) as pools:
        assert pools.read is pools.write


async def test_behind_a_pooler_no_statement_is_kept(database_url: str) -> None:
    for pgbouncer in (0, 1):
        async with open_pools(settings(url=database_url, pgbouncer=pgbouncer, pool_size=1)) as pools:
            await guild_settings.save_guild_settings(pools.write, 5, GuildSettings())
            await guild_settings.fetch_guild_settings(pools.write, 5)
            row = await pools.write.fetch_row("select count(*) from pg_prepared_statements")
        # The statement that counts is itself one where they are kept; without a name otherwise.
        assert (row[0] > 1) is (pgbouncer == 0)


async def test_what_the_pool_does_is_counted(database_url: str) -> None:
    def waits() -> float:
        return metric("tonearm_database_wait_seconds_count")

    most = metric("tonearm_database_pool_size")
    before, failed = waits(), metric("tonearm_database_failures_total", error="UndefinedTableError")
    async with Pool(database_url, timeout=5, max_size=3) as pool:
        assert metric("tonearm_database_pool_size") == most + 3
        await pool.execute("select 1")
        with pytest.raises(asyncpg.UndefinedTableError):
            await pool.execute("select * from nothing")
    assert waits() == before + 2
    assert metric("tonearm_database_failures_total", error="UndefinedTableError") == failed + 1
    assert metric("tonearm_database_connections") == 0
    assert metric("tonearm_database_pool_size") == most


async def test_a_transaction_that_always_collides_is_given_up(pool: Pool) -> None:
    tries = []

    async def collide(_: Connection) -> None:
        tries.append(1)
        raise asyncpg.SerializationError("again")

    with pytest.raises(asyncpg.SerializationError):
        await pool.transact(collide, timeout=30)
    assert len(tries) == MOST_ATTEMPTS


async def test_a_transaction_that_hangs_ends_in_time(pool: Pool) -> None:
    async def hang(connection: Connection) -> None:
        await connection.execute("select pg_sleep(30)", timeout=30)

    with pytest.raises(TimeoutError):
        await pool.transact(hang, timeout=0.2)
    assert (await pool.fetch_row("select 1 as one"))["one"] == 1


async def test_settings_are_saved_whole_and_a_version_guards_them(pool: Pool) -> None:
    changed = GuildSettings(150, 0, 86_400, always_on=True, announcements=False)
    assert await guild_settings.fetch_versioned(pool, 5) == (GuildSettings(), 0)
    await guild_settings.save_guild_settings(pool, 5, changed, version=0)
    assert await guild_settings.fetch_versioned(pool, 5) == (changed, 1)
    with pytest.raises(Conflict):
        await guild_settings.save_guild_settings(pool, 5, GuildSettings(), version=0)
    assert await guild_settings.fetch_guild_settings(pool, 5) == changed
    await guild_settings.save_guild_settings(pool, 5, GuildSettings(), version=1)
    assert await guild_settings.fetch_versioned(pool, 5) == (GuildSettings(), 2)


FILL = """
insert into grants (id, guild_id, source, ref, plan, state, starts_at, ends_at, grace_seconds, valid_until)
select 'stripe:' || n, n, 'stripe', n::text, 'pro', 'active', now(), now(), 0, now() + n * interval '1 minute'
from generate_series(1, 20000) n;
insert into subscription_events (id, grant_id, guild_id, kind, at, event)
select 'e', 'stripe:' || n, n, 'activate', now(), '{}' from generate_series(1, 20000) n;
insert into guild_settings (guild_id, default_volume) select n, 100 from generate_series(1, 20000) n;
insert into api_keys (id, hash, hint, name, scopes, created_at)
select 'key_' || n, sha256(n::text::bytea), '', '', '{}', now() from generate_series(1, 20000) n;
insert into webhook_receipts (id, source, body, received_at, next_at, done_at)
select lpad(n::text, 64, '0'), 'stripe', '', now(), now(), case when n > 10 then now() end
from generate_series(1, 20000) n;
insert into webhook_endpoints (id, url, created_at) values ('a', '', now());
insert into webhook_deliveries (id, endpoint_id, event_id, type, body, created_at, next_at, delivered_at)
select n::text, 'a', n::text, '', '', now(), now(), case when n > 10 then now() end from generate_series(1, 20000) n;
insert into guild_tasks (id, kind, guild_id, state, work, requested_at, next_at, finished_at, expires_at)
select n::text, 'export', n, case when n > 10 then 'done' else 'queued' end, '{}', now(), now(), now(),
    now() + n * interval '1 minute' from generate_series(1, 20000) n;
insert into trial_marks (mark) select sha256(n::text::bytea) from generate_series(1, 20000) n;
insert into errands_done (id, answer, done_at) select n::text, '', now() from generate_series(1, 20000) n;
insert into idempotency (key_id, key, fingerprint, locked_until, expires_at)
select 'k', n::text, '', now(), now() + n * interval '1 minute' from generate_series(1, 20000) n;
analyze;
"""


@pytest.fixture(scope="module")
async def filled(postgres: Postgres, migrated_template: str) -> AsyncIterator[Connection]:
    """A connection to a database with much in it."""
    url = await postgres.create_database(migrated_template)
    connection = await asyncpg.connect(url)
    await connection.execute(FILL)
    yield connection
    await connection.close()
    await postgres.drop_database(url)


HOT: list[tuple[str, str, tuple[object, ...]]] = [
    ("grants", grants._OF_GUILD, (5,)),
    ("grants", grants._ONE, ("stripe:5",)),
    ("grants", grants._OF_SOURCE, ("stripe", "stripe:5", 10)),
    ("grants", grants._RUNNING_OUT, (T0, T0 - timedelta(days=1), T0 - timedelta(days=1), "", 10)),
    ("subscription_events", grants._EVENTS, ("stripe:5",)),
    ("subscription_events", grants._LAST, ("stripe:5",)),
    ("subscription_events", grants._CHANGED, (timedelta(minutes=2),)),
    ("subscription_events", grants._VERSION, (5,)),
    ("subscription_events", grants._TRIED_ONLY, (5,)),
    ("subscription_events", grants._PAGE, (5, 2**62, 10)),
    ("guild_settings", guild_settings._FETCH, (5,)),
    ("api_keys", api_keys._BY_HASH, (b"x" * 32,)),
    ("webhook_receipts", receipts._CLAIM, (T0, T0, 10)),
    ("webhook_deliveries", outgoing._CLAIM, (T0, T0, 10)),
    ("guild_tasks", guild_tasks._CLAIM, (T0, T0)),
    ("guild_tasks", guild_tasks._ONE, ("5", 5, "export")),
    ("guild_tasks", guild_tasks._PAGE, (5, "export", 2**62, 10)),
    ("guild_tasks", guild_tasks._OPEN, (5, "export", T0)),
    ("guild_tasks", guild_tasks._EXPIRED, (T0, 10)),
    ("trial_marks", trials._USED, (b"x" * 32, b"y" * 32)),
    ("errands_done", "select answer from errands_done where id = $1", ("5",)),
    ("idempotency", "select * from idempotency where key_id = $1 and key = $2", ("k", "5")),
    ("webhook_receipts", figures._FIGURES, ()),
    ("webhook_deliveries", figures._FIGURES, ()),
    ("idempotency", "delete from idempotency where expires_at <= $1", (T0,)),
]


@pytest.mark.parametrize(("table", "statement", "values"), HOT)
async def test_a_hot_path_uses_an_index(
    filled: Connection, table: str, statement: str, values: tuple[object, ...]
) -> None:
    (plan,) = json.loads(await filled.fetchval(f"explain (format json) {statement}", *values))
    scans = []

    def walk(node: dict[str, object]) -> None:
        if node.get("Relation Name") == table:
            scans.append(node["Node Type"])
        for child in node.get("Plans", []):  # type: ignore[attr-defined]
            walk(child)

    walk(plan["Plan"])
    assert scans
    assert "Seq Scan" not in scans

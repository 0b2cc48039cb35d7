"""``tonearm forget``: an operator deletes what is kept of a guild."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from tonearm import forget
from tonearm.errors import StartFailed
from tonearm.guild_data.tasks import Deletion
from tonearm.postgres import grants, guild_tasks

GUILD = 7 << 22


@pytest.fixture
def run(database_url, monkeypatch, capsys):
    """``await run(word, ...)``: the exit code, and what was printed and complained of."""
    monkeypatch.setenv("TONEARM_DATABASE_URL", database_url)
    monkeypatch.setattr(forget, "POLL_S", 0.01)

    async def run(*words: str) -> tuple[int, str]:
        code = await asyncio.to_thread(forget.main, [str(GUILD), *words])
        return code, "".join(capsys.readouterr())

    return run


async def claimed(pool):
    """What a worker takes, once there is something."""
    async with asyncio.timeout(10):
        while True:
            task = await guild_tasks.claim(pool, datetime.now(UTC), lease=timedelta(minutes=1))
            if task is not None:
                return task
            await asyncio.sleep(0.01)


async def test_it_is_asked_for_and_waited_for(run, pool):
    asked = asyncio.create_task(run("--wait", "30"))
    task = await claimed(pool)
    assert (task.guild, task.work) == (GUILD, Deletion())
    await guild_tasks.finish(pool, task, task.work, datetime.now(UTC))
    assert await asked == (0, f"Nothing is kept of {GUILD} any more, but what the documentation names.\n")


async def test_where_no_worker_is_it_is_kept_for_one(run, pool):
    assert await run("--wait", "0") == (1, "It waits for a worker, and will be done.\n")
    assert (await claimed(pool)).work == Deletion()


async def test_why_it_is_put_off_is_said(run, pool):
    asked = asyncio.create_task(run("--wait", "0.5"))
    await guild_tasks.retry(pool, await claimed(pool), datetime.now(UTC) + timedelta(hours=1), "No player is running.")
    assert await asked == (1, "No player is running.\n")


async def test_a_plan_that_runs_is_not_thrown_away(run, pool):
    await grants.start_trial(pool, GUILD, "discord:1", now=datetime.now(UTC))
    code, said = await run("--with-subscription", "--wait", "0")
    assert (code, said) == (1, "The guild has a plan. Cancel it first, or keep its subscription.\n")
    assert await guild_tasks.claim(pool, datetime.now(UTC), lease=timedelta(minutes=1)) is None


async def test_a_plan_that_was_bought_meanwhile_is_told(run, pool):
    asked = asyncio.create_task(run("--with-subscription", "--wait", "30"))
    task = await claimed(pool)
    await guild_tasks.finish(pool, task, Deletion(with_subscription=False), datetime.now(UTC))
    code, said = await asked
    assert (code, said.splitlines()[1]) == (0, "It has a plan again, so its subscription is kept.")


async def test_who_asks_again_and_again_is_told(run):
    for _ in range(guild_tasks.MOST_OPEN):
        await run("--wait", "0")
    assert await run("--wait", "0") == (1, "It was asked for before, and is not done yet: is a worker running?\n")


async def test_a_database_that_is_away_is_a_sentence(monkeypatch):
    monkeypatch.setenv("TONEARM_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/x")
    with pytest.raises(StartFailed, match=r"^PostgreSQL can't be used"):
        await asyncio.to_thread(forget.main, [str(GUILD)])

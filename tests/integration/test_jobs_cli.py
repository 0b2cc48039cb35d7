"""``tonearm jobs``, run as an operator runs it, against a real Valkey."""

import asyncio
import os
import sys

import msgspec
import pytest

from tonearm.jobs.errand import ChangeSettings, ErrandJob, decode_errand
from tonearm.jobs.job import DeadLetter, Job, decode_job
from tonearm.music.actions import Play
from tonearm.redis import keys, lease

GUILDS = (4 << 22, 5 << 22)


async def run(url: str, *words: str, shard_count: int = 2) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tonearm", "jobs", *words),
        env={**os.environ, "TONEARM_REDIS_URL": url, "TONEARM_SHARD_COUNT": str(shard_count)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(30):
        output, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, output.decode()


@pytest.fixture
async def buried(redis_client):
    """A dead letter in each of two shards, both owned, and one that can't be read."""
    for shard, guild in enumerate(GUILDS):
        job = Job(f"a:{shard}", guild, 7, 9, Play("what a person typed"), 20_000)
        letter = DeadLetter(job.id, guild, "LavalinkAway (SOUND_AWAY), 4 times", 1_700_000_000_000, job)
        await redis_client.xadd(keys.dead(shard), {"d": msgspec.json.encode(letter)})
        await lease.take(redis_client, shard, "somebody")
    wreck = DeadLetter("x:1-0", 0, "can't be read: too short", 1_700_000_000_000)
    await redis_client.xadd(keys.dead(1), {"d": msgspec.json.encode(wreck)})
    await redis_client.set(keys.SHARD_COUNT, 2)


async def test_they_are_listed_without_what_a_person_typed(redis_url, buried):
    code, text = await run(redis_url, "dead")
    assert code == 0
    assert text.splitlines() == [
        "WHEN                 SHARD  GUILD     KIND  ID     REASON",
        "2023-11-14 22:13:20  0      16777216  play  a:0    LavalinkAway (SOUND_AWAY), 4 times",
        "2023-11-14 22:13:20  1      20971520  play  a:1    LavalinkAway (SOUND_AWAY), 4 times",
        "2023-11-14 22:13:20  1      0         -     x:1-0  can't be read: too short",
    ]
    _, text = await run(redis_url, "dead", "--shard", "0")
    assert len(text.splitlines()) == 2


async def test_none(redis_url):
    assert await run(redis_url, "dead") == (0, "No job was given up.\n")
    assert await run(redis_url, "replay", "--all") == (0, "No job was given up.\n")


async def test_one_is_handed_over_again(redis_url, redis_client, buried):
    assert await run(redis_url, "replay", "a:1") == (0, "a:1 is handed over again.\n")
    ((_, fields),) = await redis_client.xrange(keys.jobs(1))
    assert decode_job(fields[b"j"]).id == "a:1:r1"
    assert await redis_client.xlen(keys.jobs(0)) == 0
    assert await run(redis_url, "replay", "a:1") == (1, "a:1 is not among the jobs that were given up.\n")


async def test_all_are_handed_over_again_as_far_as_that_goes(redis_url, redis_client, buried):
    await redis_client.delete(keys.lease(0))
    code, text = await run(redis_url, "replay", "--all")
    assert code == 1
    assert text.splitlines() == [
        "a:0 is kept: no voice node is there to do it.",
        "a:1 is handed over again.",
        "x:1-0 can't be handed over: it could not be read.",
    ]
    assert await redis_client.xlen(keys.dead(0)) == 1


@pytest.fixture
async def errand(redis_client):
    """An errand that a worker gave up."""
    job = ErrandJob("i:7", GUILDS[0], 7, 9, ChangeSettings(default_volume=30), 20_000)
    reason = "PostgreSQL is away: TimeoutError"
    letter = DeadLetter(job.id, job.guild, reason, 1_700_000_000_000, errand=msgspec.to_builtins(job))
    await redis_client.xadd(keys.dead(keys.stream_of(job.guild)), {"d": msgspec.json.encode(letter)})
    return job


async def test_what_a_worker_gave_up_is_listed_and_handed_over_again(redis_url, redis_client, buried, errand):
    stream = keys.stream_of(errand.guild)
    _, text = await run(redis_url, "dead", "--shard", "w4")
    assert text.splitlines()[1].split() == [
        *("2023-11-14", "22:13:20", "w4", "16777216", "change_settings", "i:7"),
        *("PostgreSQL", "is", "away:", "TimeoutError"),
    ]
    assert "i:7" in (await run(redis_url, "dead"))[1]
    assert await run(redis_url, "replay", "i:7") == (1, "i:7 is kept: no worker is there to do it.\n")
    await lease.take(redis_client, stream, "a worker")
    assert await run(redis_url, "replay", "i:7") == (0, "i:7 is handed over again.\n")
    ((_, fields),) = await redis_client.xrange(keys.jobs(stream))
    assert decode_errand(fields[b"j"]) == msgspec.structs.replace(errand, id="i:7:r1")
    assert await redis_client.xlen(keys.dead(stream)) == 0
    code, text = await run(redis_url, "dead", "--shard", "w8")
    assert (code, "neither a shard nor one of w0" in text) == (2, True)


async def test_a_wrong_shard_count_and_a_dead_redis_are_sentences(redis_url, buried):
    code, text = await run(redis_url, "dead", shard_count=3)
    assert code == 1
    assert text.startswith("tonearm jobs: TONEARM_SHARD_COUNT is 3")
    code, text = await run("redis://127.0.0.1:1", "dead")
    assert code == 1
    assert text.startswith("tonearm jobs: Redis doesn't answer")
    assert "Traceback" not in text

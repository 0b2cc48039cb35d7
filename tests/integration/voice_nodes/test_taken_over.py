"""Jobs whose node died or left in the middle, and what the next one makes of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from tests.support.bench import REPLY, Bench, play
from tests.support.voice_nodes import SHARD, running
from tonearm.jobs.job import decode_answer, encode
from tonearm.music.track import Loaded
from tonearm.redis import keys
from tonearm.sentences import Sentence


async def dies(bench: Bench, when: Callable[[str], bool], *, leaving: bool = False) -> None:
    """A node that takes what there is and dies, or gives the shard up, as soon as it looks up what ``when`` names."""
    world, died = bench.world, asyncio.Event()
    asked = world.fetch_tracks

    async def fetch(query: str, guild: int) -> Loaded:
        if when(query):
            died.set()
            await asyncio.Event().wait()
        return await asked(query, guild)

    world.fetch_tracks = fetch  # type: ignore[method-assign]
    bench.actors = {}
    async with running(bench.work()), asyncio.timeout(10):
        await died.wait()
    world.fetch_tracks = asked  # type: ignore[method-assign]
    for actor in bench.actors.values() if leaving else ():
        await actor.lay_down()
    bench.actors = {}


async def test_who_gives_the_shard_up_in_the_middle_of_a_job_does_not_count_against_it(bench: Bench) -> None:
    await bench.give(play("i:1", reply=REPLY), play("i:2", reply=REPLY))
    for _ in range(5):
        await dies(bench, lambda query: query == "query of i:1", leaving=True)
    async with running(bench.work()):
        await bench.done()
    assert await bench.logged() == ["i:1", "i:2"]
    assert await bench.letters() == []


async def test_a_job_that_ends_its_node_three_times_is_given_up_and_those_behind_it_are_not(bench: Bench) -> None:
    await bench.give(play("i:1", reply=REPLY), play("i:2", reply=REPLY), play("i:3", reply=REPLY))
    for _ in range(3):
        await dies(bench, lambda query: query == "query of i:1")
    async with running(bench.work()):
        await bench.done()
    assert await bench.letters() == [("i:1", "was begun 3 times and never finished: it may end its node")]
    assert Sentence.INTERNAL.format(id="i:1") in await bench.told("i:1")
    assert await bench.logged() == ["i:2", "i:3"]


async def test_two_deaths_are_forgiven(bench: Bench) -> None:
    await bench.give(play("i:1", reply=REPLY), play("i:2", reply=REPLY))
    for _ in range(2):
        await dies(bench, lambda query: query == "query of i:1")
    async with running(bench.work()):
        await bench.done()
    assert await bench.logged() == ["i:1", "i:2"]
    assert await bench.letters() == []


async def test_what_was_left_behind_is_done_in_order_before_what_came_meanwhile(bench: Bench) -> None:
    await bench.give(*(play(f"i:{number}") for number in range(5)))
    await dies(bench, lambda query: query == "query of i:2")
    await bench.give(*(play(f"i:{number}") for number in range(5, 8)))
    async with running(bench.work("another")):
        await bench.done()
    assert await bench.logged() == [f"i:{number}" for number in range(8)]
    pending = await bench.redis.xpending(keys.jobs(SHARD), keys.JOB_GROUP)
    assert pending["pending"] == 0


async def test_a_job_that_was_committed_but_is_delivered_again_changes_nothing(bench: Bench) -> None:
    job = play("i:1", reply=REPLY)
    await bench.give(job)
    async with running(bench.work()):
        await bench.done()
    said = await bench.redis.hget(keys.record(SHARD, "i:1"), "answer")
    await bench.redis.xadd(keys.jobs(SHARD), {"j": encode(job)})
    await bench.redis.xreadgroup(keys.JOB_GROUP, "dead", {keys.jobs(SHARD): ">"})
    asked = len(bench.world.asked)
    bench.actors = {}
    async with running(bench.work()):
        await bench.done()
    assert len(bench.world.asked) == asked
    assert await bench.logged() == ["i:1"]
    assert await bench.redis.hget(keys.record(SHARD, "i:1"), "answer") == said
    assert decode_answer(said).lasting

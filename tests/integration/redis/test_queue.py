"""The queue as commits change it, long ones too, on a real Valkey."""

import asyncio
import itertools

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.scenes import changed, entry
from tests.support.store import SHARD, Store, named
from tonearm.music.change import QueueChange
from tonearm.music.track import Entry
from tonearm.redis import guilds, keys
from tonearm.redis.guilds import GuildView

names = itertools.count()
some = st.integers(0, 4).map(lambda number: tuple(entry(f"song {next(names)}") for _ in range(number)))
queue_changes = st.builds(
    QueueChange,
    clear=st.integers(0, 9).map(lambda number: number == 0),
    take_first=st.booleans(),
    prepend=some,
    append=some,
)


@given(st.lists(queue_changes, max_size=12))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_the_queue_is_as_a_plain_list_would_be(store: Store, steps: list[QueueChange]) -> None:
    store.new_guild()
    expected: list[Entry] = []
    for step in steps:
        committed = await store.queue(step)
        expected = changed(expected, step)
        assert committed.view.queue_length == len(expected)
        assert committed.view.first == (expected[0] if expected else None)
    _, length, entries = await guilds.fetch_queue(store.client, SHARD, store.guild, most=1_000)
    assert (length, entries) == (len(expected), expected)
    assert await store.client.hlen(keys.entries(SHARD, store.guild)) == len(expected)


async def test_pages_of_the_queue(store: Store) -> None:
    await store.queue(QueueChange(append=named(*(f"{n}" for n in range(25)))))

    async def page(first: int) -> list[str]:
        _, length, entries = await guilds.fetch_queue(store.client, SHARD, store.guild, first=first, most=10)
        assert length == 25
        return [entry.track.title for entry in entries]

    assert await page(0) == [f"{n}" for n in range(10)]
    assert await page(20) == [f"{n}" for n in range(20, 25)]
    assert await page(30) == []
    view = await guilds.fetch_view(store.client, SHARD, store.guild)
    assert view == store.view
    assert view.first == entry("0")


async def test_ten_thousand_tracks_are_added_in_one_step(store: Store) -> None:
    committed = await store.queue(QueueChange(append=named(*(f"{n}" for n in range(10_000)))))
    assert (committed.view.queue_length, committed.view.first) == (10_000, entry("0"))
    committed = await store.queue(QueueChange(clear=True))
    assert committed.view.queue_length == 0


async def test_a_track_costs_the_same_in_a_long_queue(store: Store) -> None:
    """By the server's own clock, in rounds of a short and a long queue in turn.

    What else this machine does can only make a round dearer, so the cheapest of each kind are compared, and looked for
    until they are cheap enough. With a cost that grows with the queue no round of the long one would ever be.
    """

    async def cost() -> float:
        before = await figures()
        for _ in range(40):
            await store.queue(QueueChange(append=named(f"song {next(names)}"), take_first=True))
        after = await figures()
        return (after[0] - before[0]) / (after[1] - before[1])

    async def figures() -> tuple[int, int]:
        stats = (await store.client.info("commandstats"))["cmdstat_evalsha"]
        return stats["usec"], stats["calls"]

    async def filled(length: int) -> tuple[int, GuildView]:
        store.new_guild()
        await store.queue(QueueChange(append=named(*(f"{n}" for n in range(length)))))
        return store.guild, store.view

    queues = {length: await filled(length) for length in (10, 10_000)}
    cheapest = dict.fromkeys(queues, float("inf"))
    for _ in range(40):
        for length, (guild, view) in queues.items():
            store.guild, store.view = guild, view
            cheapest[length] = min(cheapest[length], await cost())
            queues[length] = store.guild, store.view
        if cheapest[10_000] <= 1.5 * cheapest[10]:
            break
    assert cheapest[10_000] <= 1.5 * cheapest[10]


async def test_two_commits_at_once_are_two_steps(store: Store) -> None:
    await asyncio.gather(*(store.queue(QueueChange(append=named(f"{n}"))) for n in range(50)))
    _, length, entries = await guilds.fetch_queue(store.client, SHARD, store.guild, most=100)
    assert length == 50
    assert {entry.track.title for entry in entries} == {f"{n}" for n in range(50)}

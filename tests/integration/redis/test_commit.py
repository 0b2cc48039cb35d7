"""The one commit that is a step of a guild, on a real Valkey."""

from collections.abc import Callable

import msgspec
import pytest

from tests.support.scenes import busy, entry, idle
from tests.support.store import ANSWER, NOW, REPLY, SHARD, Store, named
from tonearm.errors import LeaseLost
from tonearm.jobs.job import Answer, Job, Reply, encode
from tonearm.music.actions import Pause
from tonearm.music.change import Change, QueueChange
from tonearm.music.events import TrackOver
from tonearm.music.player import Player
from tonearm.music.track import Entry
from tonearm.redis import guilds, keys, lease
from tonearm.redis.client import now_ms
from tonearm.redis.guilds import Committed, GuildView
from tonearm.redis.handover import hand_over


async def test_a_guild_of_which_nothing_is_known(store: Store) -> None:
    assert await guilds.fetch_view(store.client, SHARD, 1 << 22) == GuildView(Player())


async def test_a_step_is_written_whole(store: Store) -> None:
    await store.queue(QueueChange(append=named("a", "b")))
    player = busy()
    committed = await store.commit(
        Change(player, "skip", queue=QueueChange(take_first=True, append=named("c")), played=entry("before")), user=7
    )
    assert committed == Committed(GuildView(player, 2, entry("b")))
    assert await guilds.fetch_view(store.client, SHARD, store.guild) == committed.view
    assert player.playing is not None
    assert await store.client.hget(keys.player(SHARD, store.guild), "play") == player.playing.play.encode()
    assert await guilds.fetch_active(store.client, SHARD) == [store.guild]
    logged = await store.client.lrange(keys.log(SHARD, store.guild), 0, -1)
    assert [msgspec.json.decode(line)["what"] for line in logged] == ["queue", "skip"]
    assert msgspec.json.decode(logged[1], type=guilds.LogEntry) == guilds.LogEntry(
        "e:2", "skip", NOW, 7, player.last_play
    )
    (played,) = await store.client.lrange(keys.history(SHARD, store.guild), 0, -1)
    assert msgspec.json.decode(played, type=Entry) == entry("before")


async def test_a_player_that_left_is_not_active(store: Store) -> None:
    await store.commit(Change(idle(), "play"))
    await store.commit(Change(Player(), "leave"))
    assert await guilds.fetch_active(store.client, SHARD) == []
    assert await store.client.hget(keys.player(SHARD, store.guild), "play") == b""


async def test_who_lost_the_lease_writes_nothing(store: Store) -> None:
    entry_id = await store.hand_over("i:1")
    await store.queue(QueueChange(append=named("a")))
    old = store.token
    await lease.release(store.client, SHARD, old)
    for holder in (None, "other"):
        if holder:
            assert await lease.take(store.client, SHARD, holder)
        before = await store.everything()
        with pytest.raises(LeaseLost):
            await store.commit(
                Change(busy(), "skip", queue=QueueChange(clear=True), played=entry("x")),
                token=old,
                id="i:1",
                stream_entry=entry_id,
                answer=ANSWER,
                reply=REPLY,
            )
        assert await store.everything() == before


@pytest.mark.parametrize("with_change", [True, False])
async def test_a_step_that_comes_again_does_nothing(store: Store, with_change: bool) -> None:
    entry_id = await store.hand_over("i:1")
    await store.queue(QueueChange(append=named("a")))
    change = Change(busy(), "queue", queue=QueueChange(take_first=True, append=named("b"))) if with_change else None
    options = {"id": "i:1", "stream_entry": entry_id, "answer": ANSWER, "reply": REPLY}
    first = await store.commit(change, **options)
    before = await store.everything()
    again = await store.commit(change, **options)
    assert (first.again, again.again) == (False, True)
    assert again.view == first.view
    assert await store.everything() == before


async def test_a_job_that_was_done_and_is_delivered_again_is_taken_off_the_stream(store: Store) -> None:
    entry_id = await store.hand_over("i:1")
    await store.commit(None, id="i:1", stream_entry=entry_id)
    await store.client.xadd(keys.jobs(SHARD), {"j": b"the same", "p": ""})
    again = await store.commit(None, id="i:1", stream_entry=await store.read())
    assert again.again
    assert await store.client.xlen(keys.jobs(SHARD)) == 0
    assert (await store.client.xpending(keys.jobs(SHARD), keys.JOB_GROUP))["pending"] == 0


async def test_events_of_two_guilds_are_two_events(store: Store) -> None:
    # Two tracks that start in the same millisecond have the same play.
    event = TrackOver("abc")
    assert not (await store.commit(Change(idle(), "end"), id=event.id)).again
    store.new_guild()
    assert not (await store.commit(Change(idle(), "end"), id=event.id)).again
    assert (await store.commit(Change(idle(), "end"), id=event.id)).again


async def test_a_done_job_waits_no_more(store: Store) -> None:
    for number in (1, 2):
        await hand_over(
            store.client,
            Job(f"i:{number}", store.guild, 7, 9, Pause(), 20_000, REPLY),
            shard_count=1,
            window_ms=500,
        )
    assert await store.client.scard(keys.waiting(SHARD, store.guild)) == 2
    await store.commit(None, id="i:1", stream_entry=await store.read())
    assert await store.client.smembers(keys.waiting(SHARD, store.guild)) == {b"i:2"}
    assert await store.client.xlen(keys.jobs(SHARD)) == 1


async def test_a_refusal_changes_nothing_but_is_answered(store: Store) -> None:
    await store.commit(Change(busy(), "play", queue=QueueChange(append=named("a"))))
    before = store.view
    entry_id = await store.hand_over("i:1")
    committed = await store.commit(None, id="i:1", stream_entry=entry_id, answer=ANSWER, reply=REPLY)
    assert committed.view == before
    assert await store.client.llen(keys.log(SHARD, store.guild)) == 1
    assert await store.client.hget(keys.record(SHARD, "i:1"), "answer") == encode(ANSWER)


async def test_a_step_without_a_word_is_not_logged(store: Store) -> None:
    await store.commit(Change(idle(), ""))
    assert await store.client.llen(keys.log(SHARD, store.guild)) == 0
    assert store.view.player == idle()


# The answer.


async def test_an_answer_in_its_window_is_published_and_owed(store: Store) -> None:
    pubsub = store.client.pubsub()
    async with pubsub:
        await pubsub.subscribe(REPLY.to)
        assert (await pubsub.get_message(timeout=5))["type"] == "subscribe"
        entry_id = await store.hand_over("i:1", window_ms=500)
        committed = await store.commit(None, id="i:1", stream_entry=entry_id, answer=ANSWER, reply=REPLY)
        assert not committed.deferred
        message = await pubsub.get_message(timeout=5)
        assert message["data"] == b"i:1 " + encode(ANSWER)
    due = await store.client.zscore(keys.outbox(SHARD), "i:1")
    assert due == int(await store.client.hget(keys.record(SHARD, "i:1"), "by")) + guilds.UNCONFIRMED_MS
    assert due > await now_ms(store.client)
    assert await store.client.pttl(keys.record(SHARD, "i:1")) > 14 * 60_000


async def test_an_answer_after_a_deferral_is_not_published_but_owed(store: Store) -> None:
    pubsub = store.client.pubsub()
    async with pubsub:
        await pubsub.subscribe(REPLY.to)
        assert (await pubsub.get_message(timeout=5))["type"] == "subscribe"
        entry_id = await store.hand_over("i:1", window_ms=0)
        committed = await store.commit(None, id="i:1", stream_entry=entry_id, answer=ANSWER, reply=REPLY)
        assert committed.deferred
        await store.client.publish(REPLY.to, "end")
        assert (await pubsub.get_message(timeout=5))["data"] == b"end"
    due = await store.client.zscore(keys.outbox(SHARD), "i:1")
    assert due == pytest.approx(await now_ms(store.client) + guilds.UNCONFIRMED_MS, abs=2_500)


async def test_a_job_without_an_interaction_owes_nothing(store: Store) -> None:
    await store.commit(Change(idle(), "stop"), id="a:1", answer=ANSWER)
    assert await store.client.zcard(keys.outbox(SHARD)) == 0
    assert await store.client.hkeys(keys.record(SHARD, "a:1")) == [b"done"]


@pytest.mark.parametrize(
    ("answer", "reply", "channel"),
    [
        (Answer(ANSWER.message, lasting=True), REPLY, 21),
        (Answer(ANSWER.message, lasting=True), msgspec.structs.replace(REPLY, text_channel=5), 5),
        (ANSWER, REPLY, 0),
    ],
)
async def test_a_lasting_answer_knows_where_it_may_be_posted(
    store: Store, answer: Answer, reply: Reply, channel: int
) -> None:
    await store.commit(Change(idle(), "stop"), id="i:1", answer=answer, reply=reply)
    stored = await store.client.hget(keys.record(SHARD, "i:1"), "reply")
    assert msgspec.json.decode(stored, type=Reply).text_channel == channel


# What is kept.


@pytest.mark.parametrize(("key", "kept"), [(keys.history, guilds.KEPT_HISTORY), (keys.log, guilds.KEPT_LOG)])
async def test_what_is_remembered_is_bounded(store: Store, key: Callable[[int, int], str], kept: int) -> None:
    name = key(SHARD, store.guild)
    filled = [encode(entry(f"{n}")) for n in range(kept)]
    await store.client.rpush(name, *filled)
    await store.commit(Change(idle(), "end", played=entry("newest")))
    assert await store.client.llen(name) == kept
    newest = (await store.client.lrange(name, 0, 0))[0] if key is keys.history else None
    if newest is not None:
        assert msgspec.json.decode(newest, type=Entry) == entry("newest")
        assert (await store.client.lrange(name, -1, -1))[0] == filled[-2]
    else:
        assert (await store.client.lrange(name, 0, 0))[0] == filled[1]


async def test_a_history_grows_to_the_plans_limit_and_a_lesser_plan_takes_nothing_away(store: Store) -> None:
    name = keys.history(SHARD, store.guild)

    async def play(count: int, limit: int) -> int:
        for _ in range(count):
            await store.commit(Change(idle(), "end", played=entry("x")), kept_history=limit)
        return int(await store.client.llen(name))

    assert await play(5, 3) == 3
    assert await play(5, 6) == 6
    assert await play(2, 3) == 6
    assert await play(1, 7) == 7


async def test_all_keys_of_a_shard_are_on_one_slot(store: Store) -> None:
    entry_id = await store.hand_over("i:1")
    await store.commit(
        Change(busy(), "play", queue=QueueChange(append=named("a")), played=entry("b")),
        id="i:1",
        stream_entry=entry_id,
        answer=ANSWER,
        reply=REPLY,
    )
    found = await store.client.keys("*")
    assert len(found) >= 8
    assert {key.partition(b":")[0] for key in found} == {b"{s0}"}

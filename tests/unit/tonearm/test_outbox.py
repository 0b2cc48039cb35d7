"""The outbox, on a real Valkey, against a Discord that keeps its rules and misbehaves."""

import asyncio
import contextlib
import itertools
import logging
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import msgspec
import pytest
import redis.asyncio
from prometheus_client import REGISTRY

from tests.support.discord_api import EPHEMERAL, DiscordApi, Interaction, Json, deferred
from tests.support.messages import words_of
from tests.support.metrics import counts
from tonearm import outbox as outboxes
from tonearm.discord import rest
from tonearm.discord.cards import sentence
from tonearm.discord.components import private
from tonearm.discord.rest import RestClient, nonce_for
from tonearm.discord.snowflake import DISCORD_EPOCH_MS
from tonearm.errors import DiscordAway, LeaseLost
from tonearm.jobs.job import Answer, Job, Reply
from tonearm.music.actions import Stop
from tonearm.music.player import Player
from tonearm.outbox import Outbox
from tonearm.redis import answers, guilds, handover, keys, lease
from tonearm.redis.answers import Owed
from tonearm.redis.client import connect

SHARD, GUILD, USER, CHANNEL = 0, 1 << 22, 7, 77
WORDS = "This is the answer."
MINUTE = 60_000

Redis = redis.asyncio.Redis
numbers = itertools.count(1)


@pytest.fixture
async def api(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[DiscordApi]:
    monkeypatch.setattr(rest, "BACKOFF", (0.01,))
    async with DiscordApi() as server:
        yield server
        assert server.complaints == []


@pytest.fixture
async def client(api: DiscordApi) -> AsyncIterator[RestClient]:
    async with RestClient(api.url, bot_token="x", timeout=5) as client:
        yield client


class Clock:
    """Redis' time, and what is added to it."""

    def __init__(self) -> None:
        self.ahead_ms = 0

    def __call__(self) -> int:
        return int(time.time() * 1000) + self.ahead_ms


class World:
    """A shard with jobs whose answers are owed."""

    def __init__(self, redis: "Redis[Any]", api: DiscordApi, client: RestClient, token: str) -> None:
        self.redis, self.api, self.client, self.token = redis, api, client, token
        self.clock = Clock()
        self.confirmed: asyncio.Queue[str] = asyncio.Queue()

    def outbox(self, **options: Any) -> Outbox:
        options = {"patience": (0.01, 0.01, 0.01), "poll": 0.01, **options}
        return Outbox(self.redis, self.client, SHARD, token=lambda: self.token, clock=self.clock, **options)

    async def owe(
        self,
        *,
        answer_private: bool = False,
        lasting: bool = True,
        reply_private: bool = False,
        component: bool = False,
        is_deferred: bool = True,
        channel: int | None = CHANNEL,
        original: Json | None = None,
        unknown: int = 0,
        dead: bool = False,
    ) -> Owed:
        """A job that was handed over and done, and whose answer nobody confirmed."""
        number = next(numbers)
        job_id = f"i:{((self.clock() - DISCORD_EPOCH_MS) << 22) + number}"
        reply = Reply(5, f"token{number}", "reply:x", reply_private, component)
        job = Job(job_id, GUILD, number, CHANNEL, Stop(), 60_000, reply)
        limit = handover.Limit(1, 10_000)
        await handover.hand_over(
            self.redis, job, shard_count=1, window_ms=0 if is_deferred else 500, guild_limit=limit, user_limit=limit
        )
        ((entry, _),) = await self.redis.xrange(keys.jobs(SHARD))
        body = private(sentence(WORDS)) if answer_private else sentence(WORDS)
        committed = await guilds.commit(
            self.redis,
            shard=SHARD,
            guild=GUILD,
            token=self.token,
            id=job_id,
            now_ms=self.clock(),
            before=guilds.GuildView(Player(text_channel=channel)),
            stream_entry=entry.decode(),
            answer=Answer(msgspec.Raw(msgspec.json.encode(body)), answer_private, lasting),
            reply=reply,
        )
        assert committed.deferred == is_deferred
        if original is None:
            original = deferred(private=reply_private)
            if component:
                original = {"id": "1", "flags": 0, "components": [{"type": 10, "content": "The player."}]}
        self.api.interactions[reply.token] = Interaction(original, unknown=unknown, dead=dead)
        owed = await answers.fetch_one_owed(self.redis, SHARD, job_id)
        assert owed is not None
        return owed

    def seen(self, owed: Owed) -> Interaction:
        return self.api.interactions[owed.reply.token]

    async def is_owed(self, owed: Owed) -> bool:
        return await answers.fetch_one_owed(self.redis, SHARD, owed.job) is not None


@pytest.fixture
async def store(redis_url: str) -> "AsyncIterator[Redis[Any]]":
    async with connect(redis_url, timeout=5) as client:
        yield client


@pytest.fixture
async def world(store: "Redis[Any]", api: DiscordApi, client: RestClient, monkeypatch: pytest.MonkeyPatch) -> World:
    token = await lease.take(store, SHARD, "me", life_ms=600_000)
    assert token is not None
    world = World(store, api, client, token)
    confirm = answers.confirm

    async def note(client: "Redis[Any]", shard: int, job: str, token: str) -> None:
        await confirm(client, shard, job, token)
        world.confirmed.put_nowait(job)

    monkeypatch.setattr(answers, "confirm", note)
    return world


@contextlib.asynccontextmanager
async def running(work: Coroutine[Any, Any, None]) -> AsyncIterator["asyncio.Task[None]"]:
    task = asyncio.create_task(work)
    try:
        yield task
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError, BaseExceptionGroup):
            await task


async def next_of(queue: "asyncio.Queue[str]") -> str:
    async with asyncio.timeout(10):
        return await queue.get()


def shows(message: Json | None) -> bool:
    return message is not None and "components" in message and WORDS in words_of(message)


def counted(way: str) -> float:
    return REGISTRY.get_sample_value("tonearm_answers_total", {"way": way}) or 0.0


# What arrives, and where.


async def test_a_deferred_answer_is_edited_in_and_forgotten(world: World) -> None:
    owed = await world.owe()
    before = counted("edited")
    assert await world.outbox().deliver(owed) == "edited"
    assert shows(world.seen(owed).original)
    assert world.api.calls() == ["PATCH @original"]
    assert not await world.is_owed(owed)
    assert await world.redis.zcard(keys.outbox(SHARD)) == 0
    assert await world.redis.hget(keys.record(SHARD, owed.job), "reply") is None
    assert counted("edited") == before + 1


@pytest.mark.parametrize("unknown", [1, 3])
async def test_a_deferral_that_discord_does_not_know_yet_is_met_with_patience(world: World, unknown: int) -> None:
    owed = await world.owe(unknown=unknown)
    assert await world.outbox().deliver(owed) == "edited"
    assert world.api.calls() == ["PATCH @original"] * (unknown + 1)
    assert shows(world.seen(owed).original)


def test_patience_is_as_long_as_the_fault_lasts() -> None:
    assert outboxes.PATIENCE == (0.25, 0.5, 1.0, 2.0, 4.0)


async def test_an_error_after_a_public_deferral_is_seen_by_its_caller_only(world: World) -> None:
    owed = await world.owe(answer_private=True)
    assert await world.outbox().deliver(owed) == "followed_up"
    assert world.api.calls() == ["DELETE @original", f"POST {owed.reply.token}"]
    (follow_up,) = world.seen(owed).follow_ups
    assert follow_up["flags"] & EPHEMERAL
    assert shows(follow_up)
    assert world.seen(owed).original is None


async def test_nothing_follows_before_the_public_deferral_is_surely_gone(world: World) -> None:
    owed = await world.owe(answer_private=True, unknown=2)
    assert await world.outbox().deliver(owed) == "followed_up"
    assert world.api.calls() == ["DELETE @original"] * 3 + [f"POST {owed.reply.token}"]
    assert world.seen(owed).follow_ups[0]["flags"] & EPHEMERAL


async def test_a_node_that_died_after_the_deletion_is_followed_up_by_the_next(world: World) -> None:
    owed = await world.owe(answer_private=True)
    world.seen(owed).original = None
    assert await world.outbox().deliver(owed) == "followed_up"
    assert shows(world.seen(owed).follow_ups[0])


async def test_an_error_after_a_click_leaves_the_message_with_the_button(world: World) -> None:
    owed = await world.owe(answer_private=True, component=True)
    assert await world.outbox().deliver(owed) == "followed_up"
    assert world.api.calls() == [f"POST {owed.reply.token}"]
    assert world.seen(owed).follow_ups[0]["flags"] & EPHEMERAL
    assert words_of(world.seen(owed).original or {}) == "The player."


async def test_an_answer_to_a_click_changes_the_message_with_the_button(world: World) -> None:
    owed = await world.owe(component=True)
    assert await world.outbox().deliver(owed) == "edited"
    assert shows(world.seen(owed).original)


async def test_a_private_deferral_takes_any_answer(world: World) -> None:
    for answer_private in (True, False):
        owed = await world.owe(answer_private=answer_private, reply_private=True)
        assert await world.outbox().deliver(owed) == "edited"
        assert shows(world.seen(owed).original)


INLINE = {"id": "1", "flags": EPHEMERAL, "components": [{"type": 10, "content": "x"}]}


@pytest.mark.parametrize("component", [False, True])
async def test_a_private_answer_that_was_perhaps_written_is_looked_for(world: World, component: bool) -> None:
    owed = await world.owe(answer_private=True, is_deferred=False, component=component, original=INLINE)
    assert await world.outbox().deliver(owed) == "edited"
    assert world.api.calls() == ["GET @original", "PATCH @original"]


async def test_a_node_that_died_after_such_a_deletion_is_followed_up_by_the_next(world: World) -> None:
    owed = await world.owe(answer_private=True, is_deferred=False)
    world.seen(owed).original = None
    assert await world.outbox().deliver(owed) == "followed_up"
    assert shows(world.seen(owed).follow_ups[0])


async def test_a_deferral_that_could_not_be_written_down_is_found_out(world: World) -> None:
    owed = await world.owe(answer_private=True, is_deferred=False)
    assert await world.outbox().deliver(owed) == "followed_up"
    assert world.api.calls() == ["GET @original", "DELETE @original", f"POST {owed.reply.token}"]
    assert world.seen(owed).follow_ups[0]["flags"] & EPHEMERAL


CASES = list(itertools.product((False, True), repeat=4))


@pytest.mark.parametrize(("reply_private", "component", "is_deferred", "unknown"), CASES)
async def test_a_private_answer_is_never_seen_by_others(
    world: World, reply_private: bool, component: bool, is_deferred: bool, unknown: bool
) -> None:
    owed = await world.owe(
        answer_private=True,
        reply_private=reply_private,
        component=component,
        is_deferred=is_deferred,
        unknown=2 if unknown else 0,
    )
    await world.outbox().deliver(owed)
    seen = world.seen(owed)
    messages = [message for message in (seen.original, *seen.follow_ups) if shows(message)]
    assert [bool(message["flags"] & EPHEMERAL) for message in messages if message] == [True]
    assert world.api.posted == {}


@pytest.mark.parametrize(
    ("component", "is_deferred", "reply_private"), list(itertools.product((False, True), repeat=3))
)
async def test_a_public_answer_is_in_the_original_and_nowhere_else(
    world: World, component: bool, is_deferred: bool, reply_private: bool
) -> None:
    owed = await world.owe(component=component, is_deferred=is_deferred, reply_private=reply_private)
    outbox = world.outbox()
    await outbox.deliver(owed)
    await outbox.deliver(owed)
    assert shows(world.seen(owed).original)
    assert world.seen(owed).follow_ups == []
    assert world.api.posted == {}


# When the token is dead.


@pytest.mark.parametrize("how", ["401", "404", "old"])
async def test_a_lasting_answer_without_a_token_is_posted_once(world: World, how: str) -> None:
    owed = await world.owe(dead=how == "401", unknown=99 if how == "404" else 0)
    if how == "old":
        world.clock.ahead_ms = 15 * MINUTE
    assert await world.outbox().deliver(owed) == "posted"
    assert await world.outbox().deliver(owed) == "posted"
    (message,) = world.api.posted.values()
    assert message["path"] == f"/channels/{CHANNEL}/messages"
    assert (message["nonce"], message["enforce_nonce"]) == (nonce_for(owed.job), True)
    assert shows(message)
    assert not message["flags"] & EPHEMERAL
    edits = world.api.calls().count("PATCH @original")
    assert edits == {"401": 2, "404": 8, "old": 0}[how]


@pytest.mark.parametrize(
    "answer",
    [
        {"answer_private": True},
        {"answer_private": True, "component": True},
        {"answer_private": True, "is_deferred": False},
        {"lasting": False},
        {"channel": None},
    ],
)
@pytest.mark.parametrize("how", ["401", "404", "old"])
async def test_no_other_answer_is_posted(world: World, how: str, answer: dict[str, Any]) -> None:
    owed = await world.owe(dead=how == "401", unknown=99 if how == "404" else 0, **answer)
    if how == "old":
        world.clock.ahead_ms = 15 * MINUTE
    before = counted("lost")
    assert await world.outbox().deliver(owed) == "lost"
    assert world.api.posted == {}
    assert not await world.is_owed(owed)
    assert counted("lost") == before + 1


async def test_old_news_are_not_posted(world: World) -> None:
    owed = await world.owe(dead=True)
    world.clock.ahead_ms = 20 * MINUTE
    assert await world.outbox().deliver(owed) == "lost"
    assert world.api.requests == []


async def test_a_message_that_somebody_deleted_is_not_brought_back(world: World) -> None:
    owed = await world.owe()
    world.seen(owed).original = None
    assert await world.outbox().deliver(owed) == "deleted"
    assert world.api.posted == {}
    assert not await world.is_owed(owed)


async def test_a_channel_in_which_the_bot_may_not_write_is_an_end(world: World) -> None:
    owed = await world.owe(dead=True)
    world.api.answers["POST", f"/channels/{CHANNEL}/messages"] = 403, {"code": 50013, "message": "Missing Permissions"}
    assert await world.outbox().deliver(owed) == "refused"
    assert not await world.is_owed(owed)


# What is said when an answer leaves.


@pytest.mark.parametrize(
    ("way", "level", "owe"),
    [
        ("edited", logging.INFO, {}),
        ("followed_up", logging.INFO, {"answer_private": True}),
        ("posted", logging.INFO, {"dead": True}),
        ("deleted", logging.WARNING, {}),
        ("lost", logging.WARNING, {"dead": True, "lasting": False}),
        ("refused", logging.WARNING, {"dead": True}),
    ],
)
async def test_each_way_out_is_logged_and_never_what_was_said(
    world: World, caplog: pytest.LogCaptureFixture, way: str, level: int, owe: dict[str, Any]
) -> None:
    owed = await world.owe(**owe)
    if way == "deleted":
        world.seen(owed).original = None
    if way == "refused":
        world.api.answers["POST", f"/channels/{CHANNEL}/messages"] = 403, {"code": 50013, "message": "Missing"}
    lost = 1 if way in {"lost", "refused"} else 0
    with (
        caplog.at_level(logging.INFO, logger="tonearm.outbox"),
        counts("tonearm_answers_total", way=way),
        counts("tonearm_answers_lost_total", lost),
    ):
        assert await world.outbox().deliver(owed) == way
    (left,) = [record for record in caplog.records if record.message == "An answer left the outbox"]
    assert left.levelno == level
    assert left.context == {"job": owed.job, "way": way}  # type: ignore[attr-defined]
    assert WORDS not in caplog.text
    assert owed.reply.token not in caplog.text


async def test_a_name_whose_record_is_gone_leaves_with_a_word(world: World, caplog: pytest.LogCaptureFixture) -> None:
    gone, other = await world.owe(), await world.owe()
    await world.redis.delete(keys.record(SHARD, gone.job))
    world.clock.ahead_ms = 5_000
    with counts("tonearm_answers_total", way="expired"), counts("tonearm_answers_lost_total"):
        async with running(world.outbox().run()):
            assert await next_of(world.confirmed) == other.job
    assert await world.redis.zscore(keys.outbox(SHARD), gone.job) is None
    (said,) = [record for record in caplog.records if "no record" in record.message]
    assert said.context == {"job": gone.job}  # type: ignore[attr-defined]


async def test_what_is_confirmed_between_two_looks_is_not_lost(
    world: World, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    owed = await world.owe(is_deferred=False)
    fetch, before = answers.fetch_one_owed, counted("expired")

    async def confirm_and_fetch(client: "Redis[Any]", shard: int, job: str) -> Owed | None:
        await answers.confirm_response(client, shard, job)
        return await fetch(client, shard, job)

    monkeypatch.setattr(answers, "fetch_one_owed", confirm_and_fetch)
    assert await answers.fetch_owed(world.redis, SHARD, world.clock() + 10_000) == []
    assert await world.redis.zscore(keys.outbox(SHARD), owed.job) is None
    assert caplog.records == []
    assert counted("expired") == before


# When it is delivered.


async def test_a_deferred_answer_is_delivered_at_once_when_told(world: World) -> None:
    owed = await world.owe()
    outbox = world.outbox(poll=30)
    async with running(outbox.run()):
        outbox.notify(owed.job)
        assert await next_of(world.confirmed) == owed.job
    assert shows(world.seen(owed).original)


async def test_what_nobody_confirmed_is_delivered_when_it_is_due_and_not_before(world: World) -> None:
    owed = await world.owe(is_deferred=False)
    outbox = world.outbox()
    assert [found async for found in outbox._find()] == []
    due = await world.redis.zscore(keys.outbox(SHARD), owed.job)
    world.clock.ahead_ms = int(due or 0) - int(time.time() * 1000) + 50
    assert 0 < world.clock.ahead_ms <= 500 + guilds.UNCONFIRMED_MS + 50
    async with running(outbox.run()):
        assert await next_of(world.confirmed) == owed.job
    assert shows(world.seen(owed).original)


async def test_what_was_confirmed_is_left_alone(world: World) -> None:
    owed, other = await world.owe(is_deferred=False), await world.owe()
    await answers.confirm_response(world.redis, SHARD, owed.job)
    world.clock.ahead_ms = 10_000
    outbox = world.outbox()
    async with running(outbox.run()):
        outbox.notify(owed.job)
        assert await next_of(world.confirmed) == other.job
    assert [request.path.split("/")[3] for request in world.api.requests] == [other.reply.token]


async def test_a_claimed_answer_that_was_not_written_is_delivered(world: World) -> None:
    owed = await world.owe(is_deferred=False)
    assert await answers.claim(world.redis, SHARD, owed.job) is not None
    world.clock.ahead_ms = 10_000
    async with running(world.outbox().run()):
        assert await next_of(world.confirmed) == owed.job


async def test_an_answer_outlives_the_time_discord_is_away(world: World) -> None:
    owed = await world.owe()
    world.api.faults.extend([world.api.status(502)] * 2)
    outbox = world.outbox()
    with pytest.raises(DiscordAway):
        await outbox.deliver(owed)
    assert await world.is_owed(owed)
    world.api.faults.extend([world.api.status(502)] * 2)
    await outbox._attend(owed)
    due = await world.redis.zscore(keys.outbox(SHARD), owed.job)
    assert due == pytest.approx(world.clock() + outboxes.BACKOFF_MS[0], abs=900)
    world.clock.ahead_ms = outboxes.BACKOFF_MS[0] + 100
    async with running(outbox.run()):
        assert await next_of(world.confirmed) == owed.job
    assert shows(world.seen(owed).original)


async def test_a_postponed_answer_is_kept_longer_than_its_record_would_live(world: World) -> None:
    owed = await world.owe()
    life = await world.redis.pttl(keys.record(SHARD, owed.job))
    await answers.postpone(world.redis, SHARD, owed.job, world.clock() + life + 1_000, world.token)
    assert await world.redis.pttl(keys.record(SHARD, owed.job)) > life + 30_000
    await answers.postpone(world.redis, SHARD, owed.job, world.clock(), world.token)
    assert await world.redis.pttl(keys.record(SHARD, owed.job)) > life + 30_000


async def test_redis_being_away_stops_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    owed = await world.owe()
    fetch, confirm = answers.fetch_one_owed, answers.confirm
    failures = [redis.ConnectionError("away"), TimeoutError(), OSError("away")]

    def failing_first(call: Callable[..., Any], errors: list[Exception]) -> Callable[..., Any]:
        async def fail_or_call(*args: Any) -> Any:
            if errors:
                raise errors.pop()
            return await call(*args)

        return fail_or_call

    to_fail = [*failures], [*failures]
    monkeypatch.setattr(answers, "fetch_one_owed", failing_first(fetch, to_fail[0]))
    monkeypatch.setattr(answers, "confirm", failing_first(confirm, to_fail[1]))
    outbox = world.outbox()
    async with running(outbox.run()):
        outbox.notify(owed.job)
        assert await next_of(world.confirmed) == owed.job
    assert to_fail == ([], [])
    assert world.api.calls() == ["PATCH @original"]  # confirming again is not delivering again


async def test_a_mistake_in_one_answer_stops_no_other(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    bad, good = await world.owe(), await world.owe()
    body = outboxes._body

    def fail_once(owed: Owed) -> Any:
        if owed.job == bad.job:
            raise ValueError("a mistake")
        return body(owed)

    monkeypatch.setattr(outboxes, "_body", fail_once)
    outbox = world.outbox()
    async with running(outbox.run()) as task:
        outbox.notify(bad.job)
        outbox.notify(good.job)
        assert await next_of(world.confirmed) == good.job
        assert not task.done()
    assert await world.is_owed(bad)


async def test_a_few_that_hang_do_not_hold_up_the_others(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outboxes, "MOST_AT_ONCE", 4)
    stuck = [await world.owe(unknown=10**6) for _ in range(3)]
    others = [await world.owe() for _ in range(8)]
    world.clock.ahead_ms = 5_000
    async with running(world.outbox(patience=(30.0,)).run()):
        arrived = {await next_of(world.confirmed) for _ in others}
    assert arrived == {owed.job for owed in others}
    assert all([await world.is_owed(owed) for owed in stuck])


async def test_there_are_never_too_many_at_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outboxes, "MOST_AT_ONCE", 3)
    everything = [await world.owe() for _ in range(9)]
    most = under_way = 0
    full = asyncio.Event()
    edit = world.client.edit_original

    async def edit_and_count(*args: Any, **options: Any) -> Any:
        nonlocal most, under_way
        under_way += 1
        most = max(most, under_way)
        if under_way == 3:
            full.set()
        try:
            await full.wait()
            return await edit(*args, **options)
        finally:
            under_way -= 1

    monkeypatch.setattr(world.client, "edit_original", edit_and_count)
    outbox = world.outbox()
    for owed in everything[:5]:
        outbox.notify(owed.job)
    world.clock.ahead_ms = 5_000
    async with running(outbox.run()):
        assert {await next_of(world.confirmed) for _ in everything} == {owed.job for owed in everything}
    assert most == 3


async def test_what_is_told_of_and_due_at_once_is_delivered_once(world: World) -> None:
    everything = [await world.owe(answer_private=True) for _ in range(40)]
    world.clock.ahead_ms = 5_000
    outbox = world.outbox(poll=0.001)
    async with running(outbox.run()):
        for owed in everything * 2:
            outbox.notify(owed.job)
        assert {await next_of(world.confirmed) for _ in everything} == {owed.job for owed in everything}
    assert {len(world.seen(owed).follow_ups) for owed in everything} == {1}


async def test_two_nodes_at_once_show_it_once(world: World) -> None:
    owed = await world.owe()
    one, other = world.outbox(), world.outbox()
    await asyncio.gather(one.deliver(owed), other.deliver(owed))
    assert shows(world.seen(owed).original)
    assert world.seen(owed).follow_ups == []
    assert world.api.posted == {}


async def test_a_node_that_dies_in_the_middle_leaves_it_to_the_next(world: World) -> None:
    owed = await world.owe()
    world.api.faults.append(world.api.hang)
    first = world.outbox()
    async with running(first.run()):
        first.notify(owed.job)
        await world.api.received(1)
    assert await world.is_owed(owed)
    world.clock.ahead_ms = outboxes.IN_HAND_MS + 1_000
    async with running(world.outbox().run()):
        assert await next_of(world.confirmed) == owed.job
    assert shows(world.seen(owed).original)


async def test_a_node_that_leaves_in_the_middle_hands_it_on_at_once(world: World) -> None:
    owed = await world.owe()
    world.clock.ahead_ms = 5_000
    world.api.faults.append(world.api.hang)
    leaving = world.outbox()
    async with running(leaving.run()):
        await world.api.received(1)
        assert await world.redis.zscore(keys.outbox(SHARD), owed.job) > world.clock()
    async with running(world.outbox().run()):
        assert await next_of(world.confirmed) == owed.job
    assert leaving._in_hand == set()


async def test_without_the_lease_discord_is_not_touched(world: World) -> None:
    owed = await world.owe()

    async def lost() -> None:
        raise LeaseLost("another's")

    outbox = world.outbox(until_held=lost)
    outbox.notify(owed.job)
    with pytest.raises(BaseExceptionGroup) as caught:
        async with asyncio.timeout(10):
            await outbox.run()
    assert caught.group_contains(LeaseLost)
    assert world.api.requests == []
    assert await world.is_owed(owed)


async def test_a_lease_that_ran_out_is_waited_for(world: World) -> None:
    owed = await world.owe()
    held, waits = asyncio.Event(), asyncio.Event()

    async def until_held() -> None:
        waits.set()
        await held.wait()

    outbox = world.outbox(until_held=until_held)
    outbox.notify(owed.job)
    async with running(outbox.run()):
        await asyncio.wait_for(waits.wait(), 5)
        assert world.api.requests == []
        held.set()
        assert await next_of(world.confirmed) == owed.job
    assert shows(world.seen(owed).original)


async def test_the_end_of_the_task_ends_all_its_deliveries(world: World) -> None:
    owed = await world.owe(unknown=10**6)
    outbox = world.outbox(patience=(30.0,))
    before = asyncio.all_tasks()
    async with running(outbox.run()):
        outbox.notify(owed.job)
        await world.api.received(1)
        assert len(asyncio.all_tasks() - before) >= 2
    assert {task for task in asyncio.all_tasks() - before if "answer" in task.get_name()} == set()

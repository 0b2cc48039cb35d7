"""Where an answer arrives: by its token, without one, or nowhere; and what is said when it leaves the outbox."""

import itertools
import logging
from typing import Any

import pytest

from tests.support.discord_api import EPHEMERAL
from tests.support.messages import words_of
from tests.support.metrics import counts
from tests.support.outbox.world import CHANNEL, MINUTE, SHARD, WORDS, Redis, World, counted, next_of, running, shows
from tonearm import outbox as outboxes
from tonearm.discord.rest import nonce_for
from tonearm.redis import answers, keys
from tonearm.redis.answers import Owed

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

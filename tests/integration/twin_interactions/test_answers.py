"""Interactions through the twin: what comes of every kind of answer, and when."""

import asyncio
import json
import time
from typing import Any

import pytest
from aiohttp import web

from playground.twin.actors import Actor, Channel, Guild, TwinClient, TwinError, Unanswered
from playground.twin.app import Twin
from tests.support.twin import Api, Receiver


def buttons(*custom_ids: str) -> list[dict[str, Any]]:
    return [
        {"type": 1, "components": [{"type": 2, "style": 1, "label": each, "custom_id": each} for each in custom_ids]}
    ]


async def test_a_deferred_answer_ends_with_its_edit(
    api: Api, receiver: Receiver, client: TwinClient, guild: Guild, text: Channel, alice: Actor
) -> None:
    since = await client.mark()
    before = time.monotonic_ns()
    reply = await alice.command(guild, text, "play", query="tone")
    assert (reply.type, reply.status, reply.failed) == (5, 200, None)
    assert reply.message is not None
    assert reply.message.loading
    assert not reply.message.ephemeral
    assert reply.written_at_ns is not None
    assert reply.answered_at_ns is not None
    assert before < reply.sent_at_ns <= reply.written_at_ns < reply.answered_at_ns
    with pytest.raises(Unanswered, match="still shows"):
        await reply.answer(timeout=0.05)
    waiting = asyncio.create_task(reply.answer())
    status, body = await api.edit_original(reply.token, {"content": "playing", "components": buttons("pause")})
    assert (status, body["edited_timestamp"]) == (200, None)
    message = await waiting
    assert (message.text, message.edits, message.loading) == ("playing", 1, False)
    assert [each.text for each in await text.messages()] == ["playing"]
    await client.wait_for("message_update", since=since, id=message.id, content="playing")
    assert await client.violations(since) == []


async def test_private_answers_are_seen_by_one(
    api: Api, receiver: Receiver, client: TwinClient, guild: Guild, text: Channel, alice: Actor
) -> None:
    receiver.answer = {"type": 4, "data": {"content": "hush", "flags": 64, "components": buttons("ok")}}
    message = await (await alice.command(guild, text, "play", query="tone")).answer()
    assert message.ephemeral
    assert message.flags == 64
    assert await text.messages() == []
    assert [each.text for each in await text.messages(seen_by=alice)] == ["hush"]
    assert (await api("GET", f"/channels/{text.id}/messages/{message.id}"))[0] == 404
    bob = await client.create_user("Bob")
    await bob.join_guild(guild)
    with pytest.raises(TwinError, match="only the one"):
        await bob.click(message, "ok")
    receiver.answer = {"type": 7, "data": {"content": "done", "components": []}}
    assert (await (await alice.click(message, "ok")).answer()).text == "done"


async def test_components_update_their_message(
    api: Api, receiver: Receiver, client: TwinClient, guild: Guild, text: Channel, alice: Actor
) -> None:
    receiver.answer = {"type": 4, "data": {"content": "now", "components": buttons("pause", "skip")}}
    message = await (await alice.command(guild, text, "play", query="tone")).answer()
    receiver.answer = {"type": 6}
    reply = await alice.click(message, "pause")
    assert not reply.ended
    await api.edit_original(reply.token, {"content": "paused"})
    changed = await reply.answer()
    assert (changed.id, changed.text, [each["label"] for each in changed.buttons]) == (
        message.id,
        "paused",
        ["pause", "skip"],
    )
    receiver.answer = {"type": 4, "data": {"content": "another"}}
    other = await (await alice.click(message, "skip")).answer()
    assert other.id != message.id
    with pytest.raises(TwinError, match="no component"):
        await alice.click(message, "stop")


@pytest.mark.parametrize(
    "answer",
    [
        {"type": 7, "data": {"content": "x"}},
        {"type": 6},
        {"type": 8, "data": {"choices": []}},
        {"type": 5, "data": {"flags": 64 | 1 << 15}},
        {"type": 5, "data": {"content": "x"}},
        {"type": 4, "data": {}},
        {"type": 4, "data": {"content": "x", "flags": 1 << 15}},
        {"type": 4, "data": {"content": "x" * 2001}},
        {"type": 4, "data": {"components": buttons("a", "a")}},
        {"type": 99},
        [],
    ],
)
async def test_answers_that_discord_refuses(
    answer: Any, api: Api, receiver: Receiver, client: TwinClient, guild: Guild, text: Channel, alice: Actor
) -> None:
    since = await client.mark()

    async def respond(_: Any) -> web.Response:
        return web.json_response(answer)

    receiver.answer = respond
    reply = await alice.command(guild, text, "play", query="tone")
    assert (reply.failed, reply.type, reply.message) == ("The application did not respond", None, None)
    assert [each["name"] for each in await client.violations(since)] == ["interaction_answer"]
    status, body = await api.edit_original(reply.token, {"content": "late"})
    assert (status, body["code"]) == (404, 10015)


async def test_no_answer_in_three_seconds_is_a_failure(
    api: Api, receiver: Receiver, client: TwinClient, guild: Guild, text: Channel, alice: Actor
) -> None:
    release = asyncio.Event()

    async def respond(payload: Any) -> Any:
        status, body = await api.edit_original(payload["token"], {"content": "too early"})
        assert (status, body["code"]) == (404, 10015)
        await release.wait()
        return {"type": 5}

    receiver.answer = respond
    began = time.monotonic()
    reply = await alice.command(guild, text, "play", query="tone")
    assert 2.9 < time.monotonic() - began < 3.5
    assert (reply.failed, reply.reason, reply.status) == (
        "The application did not respond",
        "no answer within 3 s",
        None,
    )
    release.set()
    await client.set_interactions_url("http://127.0.0.1:1/")
    assert "Connect" in ((await alice.command(guild, text, "play", query="tone")).reason or "")


async def test_tokens_die_after_fifteen_minutes(
    api: Api, receiver: Receiver, client: TwinClient, guild: Guild, text: Channel, alice: Actor
) -> None:
    reply = await alice.command(guild, text, "play", query="tone")
    await client.advance_clock(14 * 60)
    assert (await api.edit_original(reply.token, {"content": "in time"}))[0] == 200
    await client.advance_clock(61)
    status, body = await api.edit_original(reply.token, {"content": "late"})
    assert (status, body["code"]) == (401, 50027)
    assert (await reply.answer()).text == "in time"


async def test_follow_ups(
    api: Api, receiver: Receiver, client: TwinClient, guild: Guild, text: Channel, alice: Actor
) -> None:
    base = f"/webhooks/{api.about['application_id']}/"
    reply = await alice.command(guild, text, "play", query="tone")
    status, body = await api("POST", base + reply.token, {"content": "instead", "flags": 64})
    assert (status, body["id"]) == (200, (await reply.answer()).id)
    assert not (await reply.answer()).ephemeral
    _, made = await api("POST", base + reply.token, {"content": "more", "flags": 64})
    assert (await reply.refresh()).followups[0].ephemeral
    path = f"{base}{reply.token}/messages/{made['id']}"
    assert (await api("PATCH", path, {"content": "even more"}))[1]["content"] == "even more"
    assert (await api("DELETE", path))[0] == 204
    assert (await api("GET", path))[1]["code"] == 10008

    reply = await alice.command(guild, text, "play", query="tone")
    assert (await api("DELETE", f"{base}{reply.token}/messages/@original"))[0] == 204
    assert (await api.edit_original(reply.token, {"content": "gone"}))[1]["code"] == 10008
    await api("POST", base + reply.token, {"content": "only you", "flags": 64})
    message = await reply.answer()
    assert (message.text, message.ephemeral, reply.original_deleted) == ("only you", True, True)


async def test_edits_just_after_a_deferral_can_be_refused_held_and_failed(
    api: Api, receiver: Receiver, client: TwinClient, guild: Guild, text: Channel, alice: Actor
) -> None:
    await client.configure(refuse_early_edits=2)
    reply = await alice.command(guild, text, "play", query="tone")
    answers = [(await api.edit_original(reply.token, {"content": "x"}))[0] for _ in range(3)]
    assert answers == [404, 404, 200]
    await client.configure(refuse_early_edits=0)

    reply = await alice.command(guild, text, "play", query="tone")
    hold = await client.hold_rest("PATCH", "/webhooks/.*")
    editing = asyncio.create_task(api.edit_original(reply.token, {"content": "held"}))
    assert (await hold.hit())["method"] == "PATCH"
    assert not (await reply.refresh()).ended
    await hold.release()
    assert (await editing)[0] == 200
    assert (await reply.answer()).text == "held"

    await client.hold_rest("PATCH", "/webhooks/.*", status=503)
    assert (await api.edit_original(reply.token, {"content": "x"}))[0] == 503
    assert (await api.edit_original(reply.token, {"content": "x"}))[0] == 200


async def test_the_same_interaction_delivered_twice(
    api: Api, receiver: Receiver, client: TwinClient, guild: Guild, text: Channel, alice: Actor
) -> None:
    receiver.answer = {"type": 4, "data": {"content": "once"}}
    reply = await alice.command_with(guild, text, "play", {"query": "tone"}, twice=True)
    again = await reply.again()
    assert reply.second is not None
    assert json.loads(reply.second.body) == json.loads(again.body) == receiver.answer
    assert len({each["id"] for each in receiver.received}) == 1
    assert len(receiver.received) == 3
    assert len(await text.messages()) == 1


async def test_of_two_deliveries_at_once_the_answer_that_comes_first_counts(
    api: Api,
    receiver: Receiver,
    client: TwinClient,
    guild: Guild,
    text: Channel,
    alice: Actor,
    world: tuple[Twin, TwinClient],
) -> None:
    async def respond(payload: Any) -> Any:
        if len(receiver.received) == 2:
            return {"type": 4, "data": {"content": "first to come"}}
        interaction = world[0].records.by_id(int(payload["id"]))
        while interaction is not None and interaction.answered is None:  # noqa: ASYNC110 - the twin does not tell
            await asyncio.sleep(0.01)
        return {"type": 4, "data": {"content": "first to be asked for"}}

    receiver.answer = respond
    reply = await alice.command_with(guild, text, "play", {"query": "tone"}, twice=True)
    assert (await reply.answer()).text == "first to come"
    assert reply.second is not None
    assert b"first to be asked for" in reply.second.body

    async def break_one(_: Any) -> Any:
        if len(receiver.received) == 3:
            return web.json_response({}, status=500)
        return {"type": 4, "data": {"content": "whole"}}

    receiver.answer = break_one
    reply = await alice.command_with(guild, text, "play", {"query": "tone"}, twice=True)
    assert (await reply.answer()).text == "whole"
    assert reply.second is not None
    assert reply.second.status == 500

"""Interactions through the twin: what comes of every kind of answer, and what the twin refuses."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from playground.twin.actors import Actor, Channel, Guild, TwinClient, TwinError, Unanswered
from playground.twin.app import Twin
from playground.twin.permissions import Permission
from tests.support.twin import PLAY, Api, Receiver, receiving, running_twin


@pytest.fixture(scope="module")
async def world() -> AsyncIterator[tuple[Twin, TwinClient]]:
    async with running_twin() as (twin, client):
        yield twin, client


@pytest.fixture(scope="module")
async def client(world: tuple[Twin, TwinClient]) -> TwinClient:
    return world[1]


@pytest.fixture
async def api(world: tuple[Twin, TwinClient]) -> AsyncIterator[Api]:
    async with aiohttp.ClientSession() as http:
        api = Api(http, world[0].about())
        await api.register(PLAY, {"name": "admin", "description": "For some", "default_member_permissions": "8"})
        yield api


@pytest.fixture
async def receiver(world: tuple[Twin, TwinClient]) -> AsyncIterator[Receiver]:
    async with receiving(*world) as receiver:
        yield receiver


@pytest.fixture
async def guild(client: TwinClient) -> Guild:
    return await client.create_guild()


@pytest.fixture
async def text(guild: Guild) -> Channel:
    return guild.text_channels[0]


@pytest.fixture
async def alice(client: TwinClient, guild: Guild) -> Actor:
    alice = await client.create_user("Alice")
    await alice.join_guild(guild)
    return alice


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


async def test_raw_requests_arrive_as_given(
    api: Api, receiver: Receiver, client: TwinClient, guild: Guild, text: Channel, alice: Actor
) -> None:
    payload = await alice.draft(guild, text, "play", query="tone")
    body = json.dumps(payload).encode()
    headers = await client.sign(body)
    assert (await client.send_raw(body, headers)).status == 200
    assert (await client.send_raw(body + b" ", headers)).status == 401
    assert (await client.send_raw(body, headers[:3])).status == 401
    stale = await client.sign(body, timestamp=1)
    assert dict(stale)["X-Signature-Timestamp"] == "1"
    large = await client.send_raw(b"x" * 1_000_000, await client.sign(b""))
    assert large.status == 401
    assert large.written_at_ns is not None
    assert (await client.send_raw(b"", [("Content-Length", "-1")])).status == 400


async def test_what_clients_do_not_offer(
    api: Api, receiver: Receiver, client: TwinClient, guild: Guild, text: Channel, alice: Actor
) -> None:
    for name, options, reason in (
        ("nothing", {}, "no command /nothing"),
        ("play", {}, "required"),
        ("play", {"query": 5}, "is a text"),
        ("play", {"query": "x", "at": -1}, "out of bounds"),
        ("play", {"query": "x", "more": 1}, "no option 'more'"),
        ("play sub", {"query": "x"}, "no subcommand"),
        ("admin", {}, "not offered"),
    ):
        with pytest.raises(TwinError, match=reason):
            await alice.command_with(guild, text, name, options)
    stranger = await client.create_user("Stranger")
    with pytest.raises(TwinError, match="not a member"):
        await stranger.command(guild, text, "play", query="x")
    await text.set_permissions(guild.everyone, deny=Permission.USE_APPLICATION_COMMANDS)
    with pytest.raises(TwinError, match="may not use"):
        await alice.command(guild, text, "play", query="x")
    owner = await client.owner()
    assert (await owner.command(guild, text, "admin")).type == 5
    assert receiver.received[-1]["member"]["permissions"] == str((1 << 53) - 1)
    await guild.remove_bot()
    with pytest.raises(TwinError, match="no command"):
        await owner.command(guild, text, "play", query="x")
    bare = await client.create_guild("Bare", bot=False)
    await alice.join_guild(bare)
    assert (await alice.command(bare, bare.text_channels[0], "play", query="x")).type == 5
    assert str(Permission.CONNECT) not in receiver.received[-1]["app_permissions"]


async def test_autocomplete_and_modals(
    api: Api, receiver: Receiver, client: TwinClient, guild: Guild, text: Channel, alice: Actor
) -> None:
    receiver.answer = {"type": 8, "data": {"choices": [{"name": "Tone", "value": "tone-440"}]}}
    reply = await alice.autocomplete(guild, text, "play", "query", query="to")
    assert reply.choices == [{"name": "Tone", "value": "tone-440"}]
    assert receiver.received[-1]["data"]["options"] == [{"name": "query", "type": 3, "value": "to", "focused": True}]
    receiver.answer = {"type": 8, "data": {"choices": [{"name": "x", "value": 1}]}}
    assert (await alice.autocomplete(guild, text, "play", "query")).failed
    field = {"type": 4, "custom_id": "name", "style": 1, "max_length": 5}
    modal = {"custom_id": "m", "title": "Name", "components": [{"type": 18, "label": "Name", "component": field}]}
    receiver.answer = {"type": 9, "data": modal}
    opened = await alice.command(guild, text, "play", query="x")
    assert opened.modal is not None
    with pytest.raises(TwinError, match="too long"):
        await opened.submit(name="too long")
    receiver.answer = {"type": 7, "data": {"content": "no message to update"}}
    assert (await opened.submit(name="mix")).failed
    receiver.answer = {"type": 4, "data": {"content": "saved"}}
    assert (await (await opened.submit(name="mix")).answer()).text == "saved"


async def test_messages_by_rest(
    api: Api, client: TwinClient, world: tuple[Twin, TwinClient], guild: Guild, text: Channel, alice: Actor
) -> None:
    path, bot = f"/channels/{text.id}/messages", str(world[0].world.bot.id)
    since = await client.mark()
    body = {"content": "once", "nonce": "job-1", "enforce_nonce": True}
    ids = {(await api("POST", path, body))[1]["id"] for _ in range(3)}
    assert len(ids) == 1
    await client.advance_clock(600)
    assert (await api("POST", path, body))[1]["id"] not in ids
    assert await client.violations(since) == []
    status, answer = await api("POST", path, {"content": ""})
    assert (status, answer["code"]) == (400, 50006)
    status, answer = await api("POST", path, {"content": "six"})
    assert (status, answer["message"]) == (429, "You are being rate limited.")
    await client.configure(rate_limits=False)
    panel = {"flags": 1 << 15, "components": [{"type": 10, "content": "text"}]}
    _, sent = await api("POST", path, panel)
    one = f"{path}/{sent['id']}"
    assert (await api("PATCH", one, {"content": "x"}))[1]["code"] == 50035
    assert (await api("PATCH", one, {"flags": 0}))[1]["code"] == 50035
    status, answer = await api("PATCH", one, {"components": [{"type": 10, "content": "new"}]})
    assert (status, answer["components"][0]["content"]) == (200, "new")
    said = await alice.say(text, f"<@{bot}>")
    assert (await api("PATCH", f"{path}/{said.id}", {"content": "x"}))[1]["code"] == 50005
    assert (await api("DELETE", f"{path}/{said.id}"))[1]["code"] == 50013
    await text.set_permissions(guild.everyone, deny=Permission.SEND_MESSAGES)
    with pytest.raises(TwinError, match="may not write"):
        await alice.say(text, "x")
    await text.set_permissions(bot, deny=Permission.SEND_MESSAGES)
    assert (await api("POST", path, {"content": "x"}))[1]["code"] == 50013
    await text.set_permissions(bot, deny=Permission.VIEW_CHANNEL)
    assert (await api("POST", path, {"content": "x"}))[1]["code"] == 50001
    await client.configure(rate_limits=True)


async def test_voice_channel_status(api: Api, client: TwinClient, world: tuple[Twin, TwinClient], guild: Guild) -> None:
    channel = guild.voice_channels[0]
    path = f"/channels/{channel.id}/voice-status"
    assert (await api("PUT", path, {"status": "x"}))[1]["code"] == 50013
    await channel.set_permissions(str(world[0].world.bot.id), allow=Permission.MANAGE_CHANNELS)
    assert (await api("PUT", path, {"status": "Playing"}))[0] == 204
    assert await channel.status() == "Playing"


async def test_commands_by_rest(api: Api, client: TwinClient, guild: Guild) -> None:
    path = f"/applications/{api.about['application_id']}/commands"
    (play, _), first = (await api("GET", path))[1], await client.commands()
    await api.register(PLAY, {"name": "stop", "description": "Stop"})
    after = {each["name"]: each for each in await client.commands()}
    assert after["play"]["id"] == play["id"]
    assert after["play"]["version"] == first[0]["version"]
    status, body = await api("POST", path, {"name": "stop", "description": "Stop it"})
    assert (status, body["id"]) == (200, after["stop"]["id"])
    one = f"{path}/{body['id']}"
    assert (await api("PATCH", one, {"description": "Now"}))[1]["version"] != after["stop"]["version"]
    status, body = await api("POST", path, {"name": "Not A Name", "description": "x"})
    assert body["errors"]["name"]["_errors"][0]["code"] == "APPLICATION_COMMAND_INVALID_NAME"
    assert (await api("DELETE", one))[0] == 204
    assert (await api("DELETE", one))[1]["code"] == 10063
    scoped = f"/applications/{api.about['application_id']}/guilds/{guild.id}/commands"
    assert (await api("POST", scoped, {"name": "here", "description": "x"}))[0] == 201
    await client.wait_command("here", guild)
    with pytest.raises(TimeoutError):
        await client.wait_command("nowhere", timeout=0.05)

"""What Discord's clients offer and send through the twin, and what they refuse."""

import json

import pytest

from playground.twin.actors import Actor, Channel, Guild, TwinClient, TwinError
from playground.twin.permissions import Permission
from tests.support.twin import Api, Receiver


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

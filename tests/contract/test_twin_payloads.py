"""What the twin emits, against Discord's published payload types and response schemas."""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import jsonschema_rs
import pytest
from nacl.signing import VerifyKey

from playground.twin.actors import TwinClient
from playground.twin.app import Twin
from playground.twin.gateway.settings import PRIVILEGED
from tests.support.twin import PLAY, Api, RawGateway, Receiver, receiving, running_twin

FOLDER = os.environ.get("TONEARM_GROUND_TRUTH")
pytestmark = pytest.mark.skipif(FOLDER is None, reason="TONEARM_GROUND_TRUTH names no folder with Discord's schemas")

EVERYTHING = (1 << 17) - 1


class Truth:
    """Discord's schemas, compiled when asked."""

    def __init__(self, folder: Path) -> None:
        self._types = json.loads((folder / "discord-payloads.schema.json").read_text())["definitions"]
        self._api = json.loads((folder / "discord-openapi.json").read_text())

    def payload(self, root: str, value: Any) -> None:
        schema = {"$ref": f"#/definitions/{root}", "definitions": self._types}
        self._check(jsonschema_rs.Draft7Validator(schema), root, value)

    def response(self, method: str, route: str, value: Any, status: str = "200") -> None:
        answer = self._api["paths"][route][method]["responses"][status]
        if "$ref" in answer:
            answer = self._api["components"]["responses"][answer["$ref"].rsplit("/", 1)[1]]
        schema = {
            "allOf": [answer["content"]["application/json"]["schema"]],
            "components": self._api["components"],
        }
        self._check(jsonschema_rs.Draft202012Validator(schema), f"{method} {route}", value)

    def _check(self, validator: Any, name: str, value: Any) -> None:
        errors = [f"{list(error.instance_path)}: {error.message[:300]}" for error in validator.iter_errors(value)]
        assert not errors, f"{name}: {errors}\n{json.dumps(value, indent=1)[:3000]}"


@pytest.fixture(scope="module")
def truth() -> Truth:
    assert FOLDER is not None
    return Truth(Path(FOLDER))


@pytest.fixture(scope="module")
async def world() -> AsyncIterator[tuple[Twin, TwinClient]]:
    async with running_twin(privileged=PRIVILEGED) as (twin, client):
        yield twin, client


@pytest.fixture(scope="module")
async def api(world: tuple[Twin, TwinClient]) -> AsyncIterator[Api]:
    async with aiohttp.ClientSession() as http:
        api = Api(http, world[0].about())
        await api.register(PLAY)
        yield api


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
async def receiver(world: tuple[Twin, TwinClient]) -> AsyncIterator[Receiver]:
    async with receiving(*world) as receiver:
        yield receiver


ROOTS = {
    "READY": "ReadyDispatch",
    "GUILD_CREATE": "GuildCreateDispatch",
    "VOICE_STATE_UPDATE": "VoiceStateUpdateDispatch",
    "VOICE_SERVER_UPDATE": "VoiceServerUpdateDispatch",
    "GUILD_DELETE": "GatewayGuildDeleteDispatch",
    "GUILD_ROLE_CREATE": "GatewayGuildRoleCreateDispatch",
    "GUILD_ROLE_UPDATE": "GatewayGuildRoleUpdateDispatch",
    "CHANNEL_CREATE": "GatewayChannelCreateDispatch",
    "CHANNEL_UPDATE": "GatewayChannelUpdateDispatch",
    "CHANNEL_DELETE": "GatewayChannelDeleteDispatch",
    "GUILD_MEMBER_ADD": "GatewayGuildMemberAddDispatch",
    "GUILD_MEMBER_UPDATE": "GatewayGuildMemberUpdateDispatch",
    "GUILD_MEMBER_REMOVE": "GatewayGuildMemberRemoveDispatch",
    "ENTITLEMENT_CREATE": "GatewayEntitlementCreateDispatch",
    "ENTITLEMENT_UPDATE": "GatewayEntitlementUpdateDispatch",
    "ENTITLEMENT_DELETE": "GatewayEntitlementDeleteDispatch",
    "GUILD_MEMBERS_CHUNK": "GatewayGuildMembersChunkDispatch",
    "MESSAGE_CREATE": "GatewayMessageCreateDispatch",
    "MESSAGE_UPDATE": "GatewayMessageUpdateDispatch",
    "MESSAGE_DELETE": "GatewayMessageDeleteDispatch",
    "VOICE_CHANNEL_STATUS_UPDATE": "GatewayVoiceChannelStatusUpdateDispatch",
    "INTERACTION_CREATE": "GatewayInteractionCreateDispatch",
    "RESUMED": "GatewayResumedDispatch",
}


async def test_every_gateway_event(world: tuple[Twin, TwinClient], api: Api, truth: Truth) -> None:
    twin, client = world
    async with aiohttp.ClientSession() as http:
        gateway = await RawGateway(http, twin.about()).open()
        await gateway.identify(EVERYTHING)
        guild = await client.create_guild("Events", roles=2)
        alice = await client.create_user("Alice")
        await alice.join_guild(guild)
        await gateway.send(8, {"guild_id": guild.id, "query": "", "limit": 0})
        voice, text = guild.voice_channels[0], guild.text_channels[0]
        await alice.join(voice)
        await gateway.voice(guild.id, voice.id)
        await guild.wait_bot_in(voice)
        status = {"status": "Playing"}
        assert (await api("PUT", f"/channels/{voice.id}/voice-status", status))[0] == 204
        await voice.set_permissions(guild.everyone, deny=1 << 21)
        await guild.create_role("Another")
        await guild.roles[1].set_permissions(8)
        await guild.change_member(alice, nick="Ali", roles=[guild.roles[1].id])
        said = await alice.say(text, "hello <@1>")
        _, sent = await api("POST", f"/channels/{text.id}/messages", {"content": "hello", "nonce": "1"})
        await api("PATCH", f"/channels/{text.id}/messages/{sent['id']}", {"content": "bye"})
        await api("DELETE", f"/channels/{text.id}/messages/{sent['id']}")
        asked = client.link.call("command", user=alice.id, channel=text.id, name="play", options={"query": "x"})
        pending = await _answered_by_gateway(asked, gateway, api)
        assert pending["type"] == 4
        extra = await guild.create_voice_channel("Extra")
        await extra.delete()
        await alice.leave_guild(guild)
        made = await client.create_entitlement("900", guild=guild.id)
        await client.change_entitlement(made["id"], ends_at="2030-01-01T00:00:00+00:00")
        await client.change_entitlement(made["id"], deleted=True)
        await guild.set_unavailable()
        await guild.set_unavailable(False)
        await guild.remove_bot()
        await gateway.event("GUILD_DELETE")
        await gateway.event("GUILD_DELETE")
        again = await RawGateway(http, twin.about()).open()
        await again.resume(gateway)
        await again.event("RESUMED")
        seen = {each["t"]: each for each in [*gateway.received, *again.received] if each["op"] == 0}
        everything = [each for each in [*gateway.received, *again.received] if each["op"] == 0]
        await again.ws.close(code=1000)
        await gateway.ws.close()
    for event in everything:
        truth.payload(ROOTS[event["t"]], event)
    assert seen.keys() >= ROOTS.keys()
    assert said.text == "hello <@1>"
    await client.wait_for("session_ended", since=0)


async def _answered_by_gateway(asked: Any, gateway: RawGateway, api: Api) -> Any:
    task = asyncio.create_task(asked)
    interaction = await gateway.event("INTERACTION_CREATE")
    path = f"/interactions/{interaction['id']}/{interaction['token']}/callback"
    status, body = await api("POST", path + "?with_response=true", {"type": 4, "data": {"content": "by gateway"}})
    assert status == 200, body
    return await task


async def test_every_interaction(world: tuple[Twin, TwinClient], api: Api, receiver: Receiver, truth: Truth) -> None:
    twin, client = world
    guild = await client.create_guild("Interactions")
    alice = await client.create_user("Alice", locale="de")
    await alice.join_guild(guild)
    await client.create_entitlement("900", guild=guild.id)
    await client.create_entitlement("901", user=alice.id)
    text = guild.text_channels[0]

    receiver.answer = {"type": 1}
    assert (await client.ping()).type == 1
    receiver.answer = {"type": 8, "data": {"choices": [{"name": "Tone", "value": "tone"}]}}
    assert (await alice.autocomplete(guild, text, "play", "query", query="to")).choices
    receiver.answer = {"type": 4, "data": _panel()}
    reply = await alice.command(guild, text, "play", query="tone", at=3, **{"for": alice.id})
    receiver.answer = {"type": 7, "data": _panel()}
    clicked = await alice.click(await reply.answer(), "Pause")
    receiver.answer = {"type": 6}
    selected = await alice.click(await reply.answer(), "Who", [alice.id])
    receiver.answer = {"type": 9, "data": _modal()}
    opened = await alice.click(await reply.answer(), "Pause")
    receiver.answer = {"type": 4, "data": {"content": "saved", "flags": 64}}
    submitted = await opened.submit_fields({"Name": "Mix", "old": "style"})
    kinds = {1: "PingInteraction", 2: "SlashCommandInteraction", 3: "ComponentInteraction"}
    kinds |= {4: "AutocompleteInteraction", 5: "ModalSubmitInteraction"}
    for payload in receiver.received:
        truth.payload(kinds[payload["type"]], payload)
    assert {payload["type"] for payload in receiver.received} == {1, 2, 3, 4, 5}
    assert [each.failed for each in (reply, clicked, selected, opened, submitted)] == [None] * 5
    assert 1200 < len(json.dumps(receiver.received[2])) < 4000
    assert await client.violations() == []
    seen = [raw.raw for raw in await text.messages(seen_by=alice)]
    for message in seen:
        public = {
            key: value for key, value in message.items() if key not in ("loading", "ephemeral", "edits", "guild_id")
        }
        truth.response("get", "/channels/{channel_id}/messages/{message_id}", public)
    VerifyKey(bytes.fromhex(twin.about()["public_key"]))


def _panel() -> dict[str, Any]:
    buttons = [
        {"type": 2, "style": 1, "label": "Pause", "custom_id": "v1:pause"},
        {"type": 2, "style": 5, "label": "Site", "url": "https://example.org"},
    ]
    select = {"type": 5, "custom_id": "who", "placeholder": "Who"}
    rows = [{"type": 1, "components": buttons}, {"type": 1, "components": [select]}]
    return {"flags": 1 << 15, "components": [{"type": 17, "components": [{"type": 10, "content": "Tone"}, *rows]}]}


def _modal() -> dict[str, Any]:
    name = {"type": 4, "custom_id": "name", "style": 1}
    old = {"type": 4, "custom_id": "old", "style": 1, "label": "Old", "required": False}
    labelled = {"type": 18, "label": "Name", "component": name}
    return {"custom_id": "save", "title": "Save", "components": [labelled, {"type": 1, "components": [old]}]}


async def test_rest_answers(world: tuple[Twin, TwinClient], api: Api, truth: Truth) -> None:
    _, client = world
    guild = await client.create_guild("Rest", roles=1)
    alice = await client.create_user("Alice")
    await alice.join_guild(guild)
    await alice.join(guild.voice_channels[0])
    await client.create_entitlement("900", guild=guild.id)
    app, text = api.about["application_id"], guild.text_channels[0]
    _, commands = await api("GET", f"/applications/{app}/commands")
    _, sent = await api("POST", f"/channels/{text.id}/messages", {"content": "hello"})
    ids = {
        "application_id": app,
        "guild_id": guild.id,
        "channel_id": text.id,
        "user_id": alice.id,
        "command_id": commands[0]["id"],
        "message_id": sent["id"],
    }
    for route in (
        "/gateway",
        "/gateway/bot",
        "/users/@me",
        "/applications/@me",
        "/oauth2/applications/@me",
        "/guilds/{guild_id}",
        "/guilds/{guild_id}/channels",
        "/guilds/{guild_id}/roles",
        "/guilds/{guild_id}/members/{user_id}",
        "/guilds/{guild_id}/voice-states/{user_id}",
        "/channels/{channel_id}",
        "/channels/{channel_id}/messages",
        "/channels/{channel_id}/messages/{message_id}",
        "/applications/{application_id}/commands",
        "/applications/{application_id}/commands/{command_id}",
        "/applications/{application_id}/entitlements",
    ):
        status, body = await api("GET", route.format(**ids))
        assert status == 200, (route, body)
        truth.response("get", route, body)


async def test_refusals_for_too_many_requests(world: tuple[Twin, TwinClient], api: Api, truth: Truth) -> None:
    _, client = world
    for scope in ("user", "shared", "global"):
        await client.limit_rest(scope, seconds=30)
        status, body = await api("GET", "/gateway/bot")
        assert (status, body["global"]) == (429, scope == "global")
        truth.response("get", "/gateway/bot", body, status="429")
        await client.unlimit_rest()


async def test_session_starts_that_are_used_up(world: tuple[Twin, TwinClient], api: Api, truth: Truth) -> None:
    _, client = world
    await client.configure(session_starts=0, max_concurrency=16)
    status, body = await api("GET", "/gateway/bot")
    assert (status, body["session_start_limit"]["remaining"]) == (200, 0)
    truth.response("get", "/gateway/bot", body)
    await client.configure(session_starts=1000, max_concurrency=1)


async def test_voice_servers_that_are_broken_or_gone(
    world: tuple[Twin, TwinClient], http: aiohttp.ClientSession, truth: Truth
) -> None:
    twin, client = world
    guild = await client.create_guild()
    gateway = await RawGateway(http, twin.about()).open()
    await gateway.identify()
    await guild.break_voice_endpoint("refusing")
    await gateway.voice(guild.id, guild.voice_channels[0].id)
    await gateway.event("VOICE_SERVER_UPDATE", guild_id=guild.id)
    await guild.change_voice_server(outage=True)
    await gateway.event("VOICE_SERVER_UPDATE", guild_id=guild.id, endpoint=None)
    for payload in gateway.received:
        if payload.get("t") == "VOICE_SERVER_UPDATE":
            truth.payload("VoiceServerUpdateDispatch", payload)
    await gateway.ws.close(code=1000)

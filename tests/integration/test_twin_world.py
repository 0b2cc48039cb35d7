"""What tests can do to the twin's world, and how options of commands refer to it."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from playground.twin.actors import Permission, TwinClient, TwinError
from playground.twin.app import Twin
from playground.twin.handles import Guild
from tests.support.twin import PLAY, Api, RawGateway, receiving, running_twin


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
        yield Api(http, world[0].about())


@pytest.fixture
async def gateway(world: tuple[Twin, TwinClient]) -> AsyncIterator[RawGateway]:
    async with aiohttp.ClientSession() as http:
        gateway = await RawGateway(http, world[0].about()).open()
        await gateway.identify()
        yield gateway
        await gateway.ws.close(code=1000)


async def test_guilds_come_go_and_fail(client: TwinClient, gateway: RawGateway, api: Api) -> None:
    await client.wait_ready(0)
    guild = await client.create_guild("New")
    created = await gateway.event("GUILD_CREATE", id=guild.id)
    assert "unavailable" not in created
    assert (await client.guild(guild.id)).everyone.name == "@everyone"
    await gateway.voice(guild.id, guild.voice_channels[0].id)
    await guild.wait_bot_in(guild.voice_channels[0])
    await guild.set_unavailable()
    await guild.set_unavailable()
    assert (await gateway.event("GUILD_DELETE")) == {"id": guild.id, "unavailable": True}
    assert (await api("GET", f"/guilds/{guild.id}"))[1]["code"] == 10004
    assert (await api("GET", f"/channels/{guild.text_channels[0].id}"))[1]["code"] == 10003
    await guild.set_unavailable(False)
    created = await gateway.event("GUILD_CREATE", id=guild.id)
    assert (created["unavailable"], len(created["voice_states"])) == (False, 1)
    await guild.remove_bot()
    await gateway.event("VOICE_STATE_UPDATE", channel_id=None)
    assert (await gateway.event("GUILD_DELETE")) == {"id": guild.id}
    assert (await api("GET", f"/guilds/{guild.id}"))[1]["code"] == 10004
    with pytest.raises(TwinError, match="not a member"):
        await guild.remove_bot()
    await guild.add_bot(Permission.VIEW_CHANNEL)
    created = await gateway.event("GUILD_CREATE", id=guild.id)
    assert created["voice_states"] == []
    with pytest.raises(TwinError, match="already"):
        await guild.add_bot()
    for channel in guild.channels:
        assert (await api("GET", f"/channels/{channel.id}"))[0] == 200
    counted = (await api("GET", f"/guilds/{guild.id}?with_counts=true"))[1]
    assert counted["approximate_member_count"] == 2
    assert len((await api("GET", f"/guilds/{guild.id}/channels"))[1]) == 3


async def test_members_and_roles(client: TwinClient, gateway: RawGateway, api: Api) -> None:
    guild = await client.create_guild()
    alice, stranger = await client.create_user("Alice"), await client.create_user("Bob")
    await alice.join_guild(guild)
    role = await guild.create_role("DJ")
    assert (await gateway.event("GUILD_ROLE_CREATE"))["role"]["name"] == "DJ"
    await role.set_permissions(Permission.MANAGE_GUILD)
    await gateway.event("GUILD_ROLE_UPDATE", guild_id=guild.id)
    await guild.change_member(alice, roles=[role.id], nick="Ali")
    path = f"/guilds/{guild.id}/members/"
    member = (await api("GET", path + alice.id))[1]
    assert (member["roles"], member["nick"]) == ([role.id], "Ali")
    assert (await api("GET", path + stranger.id))[1]["code"] == 10007
    assert (await api("GET", path + "5"))[1]["code"] == 10013
    assert (await api("GET", path + "x"))[1]["code"] == 50035
    with pytest.raises(TwinError, match="not a member"):
        await guild.change_member(stranger, nick="x")
    await alice.join(guild.voice_channels[0])
    await alice.mute(self_mute=True)
    await guild.change_member(alice, deaf=True)
    state = await gateway.event("VOICE_STATE_UPDATE", user_id=alice.id, deaf=True)
    assert state["self_mute"] is True
    bot = str((await client.about())["bot_id"])
    await guild.change_member(bot, nick="Deck")
    assert (await gateway.event("GUILD_MEMBER_UPDATE"))["nick"] == "Deck"
    await gateway.send(8, {"guild_id": guild.id, "user_ids": [alice.id, stranger.id], "nonce": "n", "limit": 0})
    chunk = await gateway.event("GUILD_MEMBERS_CHUNK")
    assert ([each["user"]["id"] for each in chunk["members"]], chunk["not_found"]) == ([alice.id], [stranger.id])
    await alice.leave_guild(guild)
    assert (await gateway.event("VOICE_STATE_UPDATE"))["channel_id"] is None
    with pytest.raises(TwinError, match="can leave"):
        await alice.leave_guild(guild)
    for wrong in (alice.leave(), alice.mute(self_deaf=True), alice.join(guild.voice_channels[0])):
        with pytest.raises(TwinError):
            await wrong


EVERYTHING = {
    "name": "all",
    "description": "Everything",
    "options": [
        {
            "type": 2,
            "name": "group",
            "description": "x",
            "options": [
                {
                    "type": 1,
                    "name": "sub",
                    "description": "x",
                    "options": [
                        {"type": 6, "name": "user", "description": "x"},
                        {"type": 7, "name": "channel", "description": "x"},
                        {"type": 8, "name": "role", "description": "x"},
                        {"type": 9, "name": "any", "description": "x"},
                        {"type": 11, "name": "file", "description": "x"},
                        {"type": 5, "name": "sure", "description": "x"},
                        {"type": 10, "name": "gain", "description": "x", "max_value": 1},
                        {
                            "type": 3,
                            "name": "mode",
                            "description": "x",
                            "choices": [{"name": "Off", "value": "off"}],
                        },
                    ],
                }
            ],
        }
    ],
}


async def test_options_refer_to_the_world(client: TwinClient, world: tuple[Twin, TwinClient], api: Api) -> None:
    await api.register(EVERYTHING)
    guild = await client.create_guild()
    alice = await client.create_user("Alice")
    await alice.join_guild(guild)
    text = guild.text_channels[0]
    options = {
        "user": alice.id,
        "channel": text.id,
        "role": guild.id,
        "any": guild.id,
        "file": {"filename": "a.opus", "url": "http://localhost/a.opus"},
        "sure": True,
        "gain": 0.5,
        "mode": "Off",
    }
    payload = await alice.draft(guild, text, "all group sub", **options)
    data = payload["data"]
    leaf = data["options"][0]["options"][0]["options"]
    assert {each["name"]: each["value"] for each in leaf} | {"file": None} == options | {"file": None, "mode": "off"}
    assert data["resolved"].keys() == {"users", "members", "channels", "roles", "attachments"}
    for wrong in (
        {"user": "5"},
        {"channel": guild.id},
        {"sure": "yes"},
        {"gain": 2},
        {"gain": True},
        {"mode": "on"},
    ):
        with pytest.raises(TwinError):
            await alice.draft(guild, text, "all group sub", **wrong)
    for name in ("all", "all group", "all other"):
        with pytest.raises(TwinError, match="subcommand"):
            await alice.draft(guild, text, name)
    with pytest.raises(ValueError, match="another guild"):
        await alice.draft(await client.create_guild(), text, "all group sub")


async def test_interactions_by_gateway(client: TwinClient, gateway: RawGateway, api: Api) -> None:
    await api.register(PLAY)
    guild = await client.create_guild()
    alice = await client.create_user("Alice")
    await alice.join_guild(guild)
    asking = asyncio.create_task(alice.command(guild, guild.text_channels[0], "play", query="x"))
    interaction = await gateway.event("INTERACTION_CREATE")
    path = f"/interactions/{interaction['id']}/{interaction['token']}/callback"
    assert (await api("POST", path.replace(interaction["id"], "5"), {"type": 5}))[1]["code"] == 10062
    since = await client.mark()
    assert (await api("POST", path, {"type": 8}))[1]["code"] == 50035
    status, body = await api("POST", path + "?with_response=true", {"type": 5, "data": {"flags": 64}})
    assert (status, body["interaction"]["response_message_ephemeral"]) == (200, True)
    assert (await api("POST", path, {"type": 5}))[1]["code"] == 40060
    assert len(await client.violations(since)) == 2
    reply = await asking
    assert (reply.type, reply.status) == (5, None)
    _, original = await api("GET", f"/webhooks/{api.about['application_id']}/{reply.token}/messages/@original")
    assert original["flags"] == 64 | 128
    await api.edit_original(reply.token, {"content": "done"})
    assert (await reply.answer()).text == "done"


async def test_answers_that_are_no_answers(world: tuple[Twin, TwinClient], client: TwinClient, api: Api) -> None:
    await api.register(PLAY)
    guild = await client.create_guild()
    alice = await client.create_user("Alice")
    await alice.join_guild(guild)

    async def use() -> str | None:
        return (await alice.command(guild, guild.text_channels[0], "play", query="x")).reason

    async with receiving(*world) as receiver:
        for response, reason in (
            (web.Response(status=500), "HTTP status 500"),
            (web.Response(status=202), "202, and no call"),
            (web.Response(text='{"type":5}'), "content type 'text/plain'"),
            (web.Response(text="{", content_type="application/json"), "not JSON"),
        ):

            async def respond(_: Any, response: web.Response = response) -> web.Response:
                return response

            receiver.answer = respond
            assert (await use() or "").startswith(reason)

        async def called_back(payload: Any) -> web.Response:
            path = f"/interactions/{payload['id']}/{payload['token']}/callback"
            assert (await api("POST", path, {"type": 4, "data": {"content": "called"}}))[0] == 204
            return web.Response(status=202)

        receiver.answer = called_back
        reply = await alice.command(guild, guild.text_channels[0], "play", query="x")
        assert (await reply.answer()).text == "called"


async def test_waiting_for_states(client: TwinClient, gateway: RawGateway, api: Api) -> None:
    guild: Guild = await client.create_guild()
    waiting = asyncio.create_task(guild.wait_bot_in(guild.voice_channels[1]))
    await gateway.voice(guild.id, guild.voice_channels[1].id)
    await waiting
    with pytest.raises(TimeoutError, match="out of voice"):
        await guild.wait_bot_in(None, timeout=0.05)
    with pytest.raises(TimeoutError):
        await client.wait_ready(7, timeout=0.05)
    with pytest.raises(TimeoutError):
        await client.wait_for("nothing", timeout=0.05)
    waiting = asyncio.create_task(client.wait_command("later"))
    await api.register({"name": "later", "description": "x"})
    await waiting
    connecting = asyncio.create_task(client.wait_ready(3))
    other = await RawGateway(api._http, api.about).open()
    await other.identify(shard=(3, 4))
    assert (await connecting)["count"] == 4
    await other.ws.close(code=1000)


async def test_what_the_control_api_refuses(client: TwinClient, api: Api) -> None:
    for verb, arguments in (
        ("nothing", {}),
        ("create_user", {}),
        ("create_user", {"name": "x", "more": 1}),
        ("guild", {"guild": "5"}),
        ("guild", {"guild": "x"}),
        ("set_user_limit", {"channel": "5", "limit": 1}),
        ("configure", {"nothing": 1}),
        ("reply", {"interaction": "5"}),
        ("create_guild", {"name": "x", "shard": 2, "shard_count": 2}),
        ("advance_clock", {"seconds": -1}),
        ("set_role", {"guild": (await client.create_guild()).id, "role": "5", "allowed": 0}),
    ):
        with pytest.raises(TwinError):
            await client.link.call(verb, **arguments)
    await client.configure(resume_window=31.0)
    await client.set_interactions_url(None)
    with pytest.raises(TwinError, match="no interactions URL"):
        await client.send_raw(b"", [])
    with pytest.raises(TwinError, match="no interactions URL"):
        await client.ping()
    assert (await api("GET", "/applications/5/commands"))[1]["code"] == 10002
    assert (await api("GET", f"/applications/{api.about['application_id']}/guilds/5/commands"))[1]["code"] == 50001
    assert (await api("POST", "/webhooks/5/token", {"content": "x"}))[1]["code"] == 10015

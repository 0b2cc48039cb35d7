"""What a bot does by REST at the twin: messages, commands and a channel's status."""

import pytest

from playground.twin.actors import Actor, Channel, Guild, TwinClient, TwinError
from playground.twin.app import Twin
from playground.twin.permissions import Permission
from tests.support.twin import PLAY, Api


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

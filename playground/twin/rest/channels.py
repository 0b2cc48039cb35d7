"""Channels and their messages (Discord documentation, "Channel" and "Message")."""

from __future__ import annotations

from playground.twin import payloads
from playground.twin.errors import DiscordError, missing_access, missing_permissions
from playground.twin.model import Channel, ChannelType, Message
from playground.twin.permissions import Permission
from playground.twin.rest.calls import Call, Result, Route, Services
from playground.twin.rest.limits import Limit


def _channel(services: Services, call: Call, *needed: Permission) -> Channel:
    channel = services.world.channel(call.id("channel_id"))
    allowed = services.world.permissions(channel, services.world.bot.id)
    if not allowed & Permission.VIEW_CHANNEL:
        raise missing_access()
    if any(not allowed & each for each in needed):
        raise missing_permissions()
    return channel


def _message(services: Services, call: Call, channel: Channel) -> Message:
    return services.messages.in_channel(channel.id, call.id("message_id"))


async def _get_channel(services: Services, call: Call) -> Result:
    return Result(payloads.channel(_channel(services, call)))


async def _history(services: Services, call: Call) -> Result:
    channel = _channel(services, call)
    if not services.world.permissions(channel, services.world.bot.id) & Permission.READ_MESSAGE_HISTORY:
        return Result([])
    before, after = int(call.query.get("before", 1 << 63)), int(call.query.get("after", 0))
    found = [each for each in services.messages.history(channel.id) if after < each.id < before]
    newest = reversed(found[-int(call.query.get("limit", 50)) :])
    return Result([payloads.message(services.world, each) for each in newest])


async def _get_message(services: Services, call: Call) -> Result:
    channel = _channel(services, call, Permission.READ_MESSAGE_HISTORY)
    return Result(payloads.message(services.world, _message(services, call, channel)))


async def _create_message(services: Services, call: Call) -> Result:
    channel = _channel(services, call, Permission.SEND_MESSAGES)
    if channel.type == ChannelType.CATEGORY:
        raise DiscordError(400, 50008, "Cannot send messages in a non-text channel", violation=True)
    body, author = call.object(), services.world.bot.id
    made = services.messages.repeated(channel, author, body)
    if made is None:
        body.pop("enforce_nonce", None)
        made = services.messages.create(channel, author, body)
    return Result(payloads.message(services.world, made))


async def _edit_message(services: Services, call: Call) -> Result:
    channel = _channel(services, call)
    message = _message(services, call, channel)
    if message.author_id != services.world.bot.id:
        raise DiscordError(403, 50005, "Cannot edit a message authored by another user")
    services.messages.edit(message, call.object())
    return Result(payloads.message(services.world, message))


async def _delete_message(services: Services, call: Call) -> Result:
    channel = _channel(services, call)
    message = _message(services, call, channel)
    allowed = services.world.permissions(channel, services.world.bot.id)
    if message.author_id != services.world.bot.id and not allowed & Permission.MANAGE_MESSAGES:
        raise missing_permissions()
    services.messages.delete(message)
    return Result(status=204)


async def _voice_status(services: Services, call: Call) -> Result:
    channel = _channel(services, call, Permission.SET_VOICE_CHANNEL_STATUS)
    world = services.world
    if channel.type != ChannelType.VOICE:
        raise DiscordError(400, 50024, "Cannot execute action on this channel type", violation=True)
    inside = world.guilds[channel.guild_id].voice_states.get(world.bot.id)
    manages = world.permissions(channel, world.bot.id) & Permission.MANAGE_CHANNELS
    if (inside is None or inside.channel_id != channel.id) and not manages:
        raise missing_permissions()
    channel.status = call.object().get("status") or None
    about = {"id": str(channel.id), "guild_id": str(channel.guild_id), "status": channel.status}
    world.emit("VOICE_CHANNEL_STATUS_UPDATE", channel.guild_id, about)
    return Result(status=204)


_ONE = "/channels/{channel_id}/messages/{message_id}"

ROUTES = [
    Route("GET", "/channels/{channel_id}", _get_channel),
    Route("PUT", "/channels/{channel_id}/voice-status", _voice_status, limit=Limit("voice status", 5, 5.0)),
    Route("GET", "/channels/{channel_id}/messages", _history, limit=Limit("messages", 5, 5.0)),
    Route("POST", "/channels/{channel_id}/messages", _create_message, limit=Limit("message create", 5, 5.0)),
    Route("GET", _ONE, _get_message),
    Route("PATCH", _ONE, _edit_message, limit=Limit("message edit", 5, 5.0)),
    Route("DELETE", _ONE, _delete_message, limit=Limit("message delete", 5, 1.0)),
]

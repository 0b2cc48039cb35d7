"""Guilds, channels, roles and people, as the Python API shows them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Literal

from playground.twin.client import Link
from playground.twin.model import ChannelType, Json
from playground.twin.seen import Reply, SeenMessage, raw_reply
from playground.twin.voice.client import ListenerClient

REPLY_WAIT = 5.0


class Role:
    """A role."""

    def __init__(self, link: Link, guild_id: str, raw: Json) -> None:
        self._link = link
        self.guild_id = guild_id
        self.id: str = raw["id"]
        self.name: str = raw["name"]

    async def set_permissions(self, allowed: int) -> None:
        """Set what members with this role may do in the guild."""
        await self._link.call("set_role", guild=self.guild_id, role=self.id, allowed=int(allowed))


class Channel:
    """A channel."""

    def __init__(self, link: Link, raw: Json) -> None:
        self._link = link
        self.id: str = raw["id"]
        self.guild_id: str = raw["guild_id"]
        self.type: int = raw["type"]
        self.name: str = raw["name"]

    async def set_permissions(self, target: Role | Actor | str, *, allow: int = 0, deny: int = 0) -> None:
        """Set the overwrite of a role, a person, or an id (such as the bot's or, for @everyone, the guild's)."""
        target_id = target if isinstance(target, str) else target.id
        await self._link.call("set_permissions", channel=self.id, target=target_id, allow=int(allow), deny=int(deny))

    async def set_user_limit(self, limit: int) -> None:
        """Set how many fit in; 0 for no limit."""
        await self._link.call("set_user_limit", channel=self.id, limit=limit)

    async def status(self) -> str | None:
        """Return the voice channel's status."""
        found: str | None = await self._link.call("channel_status", channel=self.id)
        return found

    async def messages(self, seen_by: Actor | None = None) -> list[SeenMessage]:
        """Return the messages, oldest first, with the ephemeral ones that a person sees."""
        found = await self._link.call("messages", channel=self.id, user=seen_by and seen_by.id)
        return [SeenMessage(raw) for raw in found]

    async def wait_message(self, wanted: Callable[[SeenMessage], bool], timeout: float = 5.0) -> SeenMessage:
        """Wait until the channel has such a message that everybody sees, and return the newest one.

        Raises:
            TimeoutError: there was none in ``timeout`` seconds.
        """
        try:
            async with asyncio.timeout(timeout):
                while True:
                    since = await self._link.call("mark")
                    found = [message for message in await self.messages() if wanted(message)]
                    if found:
                        return found[-1]
                    await self._change(since, timeout)
        except TimeoutError:
            raise TimeoutError(f"no such message in {self.name}, but: {await self.messages()}") from None

    async def _change(self, since: int, timeout: float) -> None:
        """Wait until a message comes or is edited."""
        waits = [
            asyncio.ensure_future(
                self._link.call("wait_for", wait=timeout, name=name, fields={}, since=since, timeout=timeout)
            )
            for name in ("message_create", "message_update")
        ]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)

    async def close_voice(self, code: int) -> None:
        """Close the bot's voice connection, if it is in this channel; see :meth:`Guild.close_voice`."""
        await self._link.call("close_voice", channel=self.id, code=code)

    async def require_dave(self, required: bool = True) -> None:
        """Admit only clients that speak DAVE; see :meth:`Guild.require_dave`."""
        await self._link.call("require_dave", channel=self.id, required=required)

    async def delete(self) -> None:
        """Delete the channel; who is in it is sent out, the bot's voice connection is closed with 4022."""
        await self._link.call("delete_channel", channel=self.id)


class Guild:
    """A guild, with the channels and roles it had when it was looked at."""

    def __init__(self, link: Link, raw: Json) -> None:
        self._link = link
        self.id: str = raw["id"]
        self.name: str = raw["name"]
        self.channels = [Channel(link, each) for each in raw["channels"]]
        self.roles = [Role(link, self.id, each) for each in raw["roles"]]

    @property
    def text_channels(self) -> list[Channel]:
        """The text channels, from the top."""
        return [each for each in self.channels if each.type == ChannelType.TEXT]

    @property
    def voice_channels(self) -> list[Channel]:
        """The voice channels, from the top."""
        return [each for each in self.channels if each.type == ChannelType.VOICE]

    @property
    def everyone(self) -> Role:
        """The role that all members have."""
        return next(each for each in self.roles if each.id == self.id)

    @property
    def bot_role(self) -> Role | None:
        """The role the bot got when it was invited, the topmost; None where only commands are installed."""
        return self.roles[-1] if len(self.roles) > 1 else None

    async def create_voice_channel(self, name: str) -> Channel:
        """Add a voice channel at the end."""
        channel = Channel(self._link, await self._link.call("create_channel", guild=self.id, name=name, type=2))
        self.channels.append(channel)
        return channel

    async def create_text_channel(self, name: str) -> Channel:
        """Add a text channel at the end."""
        channel = Channel(self._link, await self._link.call("create_channel", guild=self.id, name=name, type=0))
        self.channels.append(channel)
        return channel

    async def create_role(self, name: str, allowed: int = 0) -> Role:
        """Add a role."""
        raw = await self._link.call("create_role", guild=self.id, name=name, allowed=int(allowed))
        return Role(self._link, self.id, raw)

    async def change_member(self, member: Actor | str, **changes: Any) -> None:
        """Change a member's ``roles`` (ids), ``nick``, ``mute``, ``deaf`` or ``timed_out``; an id may be the bot's."""
        user = member if isinstance(member, str) else member.id
        await self._link.call("set_member", guild=self.id, user=user, **changes)

    async def bot_voice_state(self) -> Json | None:
        """Return the bot's voice state, None when it is in no channel."""
        found: Json | None = await self._link.call("voice_state", guild=self.id)
        return found

    async def wait_bot_in(self, channel: Channel | None, timeout: float = 5.0) -> None:
        """Wait until the bot is in a voice channel; None: in none.

        Raises:
            TimeoutError: it did not get there.
        """
        arguments: Json = {"guild": self.id, "channel": channel and channel.id, "timeout": timeout}
        if not await self._link.call("wait_bot_voice", wait=timeout, **arguments):
            where = "out of voice" if channel is None else f"in {channel.name}"
            raise TimeoutError(f"the bot was not {where} within {timeout:g} s, but: {await self.bot_voice_state()}")

    async def disconnect_bot(self) -> None:
        """Throw the bot out of voice, as an administrator does by hand."""
        await self._link.call("disconnect_bot", guild=self.id)

    async def move_bot(self, channel: Channel) -> None:
        """Move the bot to another voice channel, as an administrator does by hand."""
        await self._link.call("move_bot", channel=channel.id)

    async def change_voice_server(self, *, outage: bool = False) -> None:
        """Give the bot a new voice server and token, and close the old connection (4022).

        With ``outage`` there is no new one for now: a null endpoint is told.
        """
        await self._link.call("change_voice_server", guild=self.id, outage=outage)

    async def close_voice(self, code: int) -> None:
        """Close the bot's voice connection with a code. What follows is what Discord documents:

        - 4014 (disconnected), 4021 (rate limited), 4022 (call terminated): the bot is out of the channel;
        - 4015 (crashed): the client may resume, and its audio is heard meanwhile;
        - 4006 (no longer valid): the bot is still in the channel, but its token is void;
        - 4009 (timeout), 4017 (DAVE) and others: the session is over, the token can be used once more.
        """
        await self._link.call("close_voice", guild=self.id, code=code)

    async def cut_voice(self) -> None:
        """Cut the TCP connection of the bot's voice without a close: the client may resume."""
        await self._link.call("cut_voice", guild=self.id)

    async def delay_voice(self, ms: float = 0.0, *, loss: float = 0.0) -> None:
        """Let the bot's audio come ``ms`` late, and lose a share of it (0 to 1); without arguments, no more."""
        await self._link.call("delay_voice", guild=self.id, ms=ms, loss=loss)

    async def offer_voice_modes(self, *modes: str) -> None:
        """Offer only these modes of encryption to the next voice connections; without arguments, all again."""
        await self._link.call("offer_voice_modes", guild=self.id, modes=list(modes) or None)

    async def require_dave(self, required: bool = True) -> None:
        """Turn away (4017), here, voice clients without end-to-end encryption; a connected one is closed at once."""
        await self._link.call("require_dave", guild=self.id, required=required)

    async def break_voice_endpoint(self, fault: Literal["refusing", "silent", "mute"] | None) -> None:
        """Let the voice servers that this guild is told of from now on be broken ones; None mends it.

        Args:
            fault: ``refusing``: the port is closed; ``silent``: TCP is accepted and nothing said; ``mute``: the
                WebSocket opens and no HELLO comes. For the running connection: then :meth:`change_voice_server`.
        """
        await self._link.call("break_voice_endpoint", guild=self.id, fault=fault)

    async def add_bot(self, allowed: int | None = None) -> None:
        """Invite the bot (again), with permissions for its role."""
        await self._link.call("add_bot", guild=self.id, **({} if allowed is None else {"allowed": int(allowed)}))

    async def remove_bot(self) -> None:
        """Remove the bot and its commands."""
        await self._link.call("remove_bot", guild=self.id)

    async def set_unavailable(self, unavailable: bool = True) -> None:
        """Begin or end an outage of the guild."""
        await self._link.call("set_unavailable", guild=self.id, unavailable=unavailable)


class Actor:
    """A person who joins, types, clicks and listens."""

    def __init__(self, link: Link, user_id: str, name: str) -> None:
        self._link = link
        self.id = user_id
        self.name = name

    async def join_guild(self, guild: Guild) -> None:
        """Become a member."""
        await self._link.call("join_guild", user=self.id, guild=guild.id)

    async def leave_guild(self, guild: Guild) -> None:
        """Leave voice there, and the guild."""
        await self._link.call("leave_guild", user=self.id, guild=guild.id)

    async def join(self, channel: Channel) -> None:
        """Go into a voice channel."""
        await self._link.call("voice_join", user=self.id, channel=channel.id)

    move = join

    async def leave(self) -> None:
        """Leave voice."""
        await self._link.call("voice_leave", user=self.id)

    async def mute(self, *, self_mute: bool | None = None, self_deaf: bool | None = None) -> None:
        """Mute or deafen oneself, or undo it."""
        await self._link.call("voice_change", user=self.id, self_mute=self_mute, self_deaf=self_deaf)

    async def listen(self, channel: Channel) -> ListenerClient:
        """Listen to what the bot sends in the channel's guild; the person need not be in the channel."""
        return await ListenerClient(self._link.http, self._link.control_url, int(channel.guild_id)).open()

    async def say(self, channel: Channel, content: str) -> SeenMessage:
        """Write a message."""
        return SeenMessage(await self._link.call("say", user=self.id, channel=channel.id, content=content))

    async def command(self, guild: Guild, channel: Channel, name: str, /, **options: Any) -> Reply:
        """Use a slash command and return once the first answer was judged, or failed.

        Args:
            guild: where the channel is.
            channel: where the command is typed.
            name: of the command, with subcommands after a space.
            options: by name; users, roles and channels by id. See :meth:`command_with` for more.
        """
        return await self.command_with(guild, channel, name, options)

    async def command_with(
        self,
        guild: Guild,
        channel: Channel,
        name: str,
        options: Json,
        *,
        twice: bool = False,
        timestamp: int | None = None,
    ) -> Reply:
        """Use a slash command; ``twice`` delivers the same bytes twice at once, ``timestamp`` signs at another time."""
        if channel.guild_id != guild.id:
            raise ValueError("the channel is in another guild")
        arguments: Json = {"user": self.id, "channel": channel.id, "name": name, "options": options}
        return await self._use("command", arguments, twice, timestamp)

    async def click(
        self,
        message: SeenMessage | str,
        component: str,
        values: list[str] | None = None,
        *,
        twice: bool = False,
        timestamp: int | None = None,
    ) -> Reply:
        """Use a button or select of a message (or its id), by custom id or label, as the message is now."""
        message_id = message if isinstance(message, str) else message.id
        arguments: Json = {"user": self.id, "message": message_id, "component": component, "values": values}
        return await self._use("click", arguments, twice, timestamp)

    async def double_click(self, message: SeenMessage, component: str) -> list[Reply]:
        """Use a button of a message twice, the second time before anything came of the first."""
        arguments: Json = {"user": self.id, "message": message.id, "component": component}
        both = await self._link.call("double_click", wait=REPLY_WAIT, **arguments)
        return [Reply(self._link, raw) for raw in both]

    async def _use(self, verb: str, arguments: Json, twice: bool, timestamp: int | None) -> Reply:
        raw = await self._link.call(verb, wait=REPLY_WAIT, twice=twice, timestamp=timestamp, **arguments)
        reply = Reply(self._link, raw)
        if raw["second"] is not None:
            reply.second = raw_reply(raw["second"])
        return reply

    async def autocomplete(self, guild: Guild, channel: Channel, name: str, focused: str, **options: Any) -> Reply:
        """Type into the option ``focused`` and return the suggestions, as ``choices`` of the reply."""
        if channel.guild_id != guild.id:
            raise ValueError("the channel is in another guild")
        arguments: Json = {"user": self.id, "channel": channel.id, "name": name, "focused": focused, "options": options}
        return Reply(self._link, await self._link.call("autocomplete", wait=REPLY_WAIT, **arguments))

    async def draft(self, guild: Guild, channel: Channel, name: str, /, **options: Any) -> Json:
        """Return the payload of a slash command without sending it, for :meth:`TwinClient.send_raw`."""
        if channel.guild_id != guild.id:
            raise ValueError("the channel is in another guild")
        arguments: Json = {"user": self.id, "channel": channel.id, "name": name, "options": options}
        payload: Json = await self._link.call("draft", **arguments)
        return payload

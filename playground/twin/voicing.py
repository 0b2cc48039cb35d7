"""Who is in which voice channel, and the rules of getting there.

From the Discord documentation, "Update Voice State" and "Voice State Update": who may not connect gets no event.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from typing import TYPE_CHECKING

from playground.twin import payloads
from playground.twin.errors import NotPossible
from playground.twin.journal import Journal
from playground.twin.model import Channel, ChannelType, Guild, VoiceState
from playground.twin.permissions import Permission
from playground.twin.tasks import Tasks
from playground.twin.voice.protocol import LEAVING, Close
from playground.twin.voice_link import VoiceLink
from playground.twin.world import World

if TYPE_CHECKING:
    from playground.twin.gateway.session import Session

log = logging.getLogger(__name__)


class Voicing:
    """Voice states of everyone, and the bot's voice server."""

    def __init__(self, world: World, journal: Journal, link: VoiceLink) -> None:
        self._world = world
        self._journal = journal
        self._link = link
        self._locks: dict[int, asyncio.Lock] = {}
        self._tasks = Tasks()
        self._where = {user: guild.id for guild in world.guilds.values() for user in guild.voice_states}

    async def close(self) -> None:
        """End what is under way."""
        await self._tasks.close()

    # --- rules -------------------------------------------------------------------------------------------------------

    def refusal(self, channel: Channel, user_id: int) -> str | None:
        """Return why a user cannot get into a channel, or None."""
        guild = self._world.guilds[channel.guild_id]
        if channel.type not in (ChannelType.VOICE, ChannelType.STAGE):
            return "not a voice channel"
        allowed = self._world.permissions(channel, user_id)
        if not allowed & Permission.VIEW_CHANNEL or not allowed & Permission.CONNECT:
            return "lacks the permission to connect"
        others = [each for each in guild.voice_states.values() if each.channel_id == channel.id]
        full = 0 < channel.user_limit <= len(others) and all(each.user_id != user_id for each in others)
        if full and not allowed & Permission.MOVE_MEMBERS:
            return "the channel is full"
        return None

    def _suppressed(self, channel: Channel, user_id: int) -> bool:
        allowed = self._world.permissions(channel, user_id)
        return channel.type == ChannelType.STAGE or not allowed & Permission.SPEAK

    # --- people ------------------------------------------------------------------------------------------------------

    def join(self, channel: Channel, user_id: int) -> None:
        """Put a person into a voice channel, out of the one they are in.

        Raises:
            NotPossible: not a member, or Discord would refuse.
        """
        guild = self._world.guilds[channel.guild_id]
        if user_id not in guild.members:
            raise NotPossible("not a member of this guild")
        if (reason := self.refusal(channel, user_id)) is not None:
            raise NotPossible(reason)
        other = self.where(user_id)
        if other is not None and other.id != guild.id:
            self.leave(other, user_id)
        old = guild.voice_states.get(user_id)
        session = old.session_id if old else secrets.token_hex(16)
        self._set(guild, VoiceState(user_id, channel.id, session, suppress=self._suppressed(channel, user_id)))

    def where(self, user_id: int) -> Guild | None:
        """Return the guild in whose voice a person is, or None; people are in one channel at most, bots in many."""
        guild = self._world.guilds.get(self._where.get(user_id, 0))
        return guild if guild is not None and user_id in guild.voice_states else None

    def leave(self, guild: Guild, user_id: int) -> None:
        """Take a user out of voice.

        Raises:
            NotPossible: they are not in voice.
        """
        state = guild.voice_states.pop(user_id, None)
        if state is None:
            raise NotPossible("not in a voice channel")
        self._tell(guild, VoiceState(user_id, 0, state.session_id, state.self_mute, state.self_deaf))

    def change(self, guild: Guild, user_id: int, *, self_mute: bool | None, self_deaf: bool | None) -> None:
        """Mute or deafen a person as they do it themselves.

        Raises:
            NotPossible: they are not in voice.
        """
        state = guild.voice_states.get(user_id)
        if state is None:
            raise NotPossible("not in a voice channel")
        state.self_mute = state.self_mute if self_mute is None else self_mute
        state.self_deaf = state.self_deaf if self_deaf is None else self_deaf
        self._tell(guild, state)

    def _set(self, guild: Guild, state: VoiceState) -> None:
        guild.voice_states[state.user_id] = state
        self._where[state.user_id] = guild.id
        self._tell(guild, state)

    def _tell(self, guild: Guild, state: VoiceState) -> None:
        self._world.emit("VOICE_STATE_UPDATE", guild.id, payloads.voice_state(self._world, guild, state))

    # --- the bot -----------------------------------------------------------------------------------------------------

    def _lock(self, guild_id: int) -> asyncio.Lock:
        return self._locks.setdefault(guild_id, asyncio.Lock())

    async def request(self, session: Session, guild_id: int, channel_id: int | None, mute: bool, deaf: bool) -> None:
        """Act on the bot's op 4; what Discord would not do happens to nobody and is only written down."""
        async with self._lock(guild_id):
            guild = self._world.guilds.get(guild_id)
            if guild is None or guild.unavailable or not guild.bot_joined or session.ended:
                return
            if channel_id is None:
                await self._remove(guild)
                return
            channel = guild.channels.get(channel_id)
            reason = "no such channel" if channel is None else self.refusal(channel, self._world.bot.id)
            if channel is None or reason is not None:
                what = {"guild_id": str(guild_id), "channel_id": str(channel_id), "reason": reason}
                self._journal.add("voice", "join_refused", what)
                return
            await self._place(guild, channel, session.id, mute, deaf)

    async def _place(self, guild: Guild, channel: Channel, session: str, mute: bool, deaf: bool) -> None:
        bot = self._world.bot.id
        old = guild.voice_states.get(bot)
        suppress = self._suppressed(channel, bot)
        self._set(guild, VoiceState(bot, channel.id, session, mute, deaf, suppress))
        self._link.mute(guild.id, bot, suppress or guild.members[bot].mute)
        if old is None or (old.channel_id, old.session_id) != (channel.id, session):
            await self._new_server(guild, moved=old is not None)

    async def _new_server(self, guild: Guild, *, moved: bool, code: int = Close.DISCONNECTED) -> None:
        state = guild.voice_states[self._world.bot.id]
        if moved:
            await self._cut(guild.id, code)
        token = secrets.token_hex(8)
        self._link.expect(guild.id, state.channel_id, state.user_id, state.session_id, token)
        data = {"guild_id": str(guild.id), "token": token, "endpoint": self._link.endpoint_of(guild.id)}
        self._world.emit("VOICE_SERVER_UPDATE", guild.id, data, session=state.session_id)

    async def _cut(self, guild_id: int, code: int = Close.DISCONNECTED) -> None:
        """Begin to close the bot's voice connection; when this returns its token is void if the code says so."""
        work = self._link.disconnect(guild_id, self._world.bot.id, code)
        self._tasks.start(work, f"voice connection of guild {guild_id} ends")
        await asyncio.sleep(0)

    async def _remove(self, guild: Guild, code: int = Close.DISCONNECTED) -> None:
        if self._world.bot.id in guild.voice_states:
            self.leave(guild, self._world.bot.id)
            await self._cut(guild.id, code)

    async def disconnect_bot(self, guild: Guild, code: int = Close.DISCONNECTED) -> None:
        """Throw the bot out of voice, as an administrator does; nothing if it is not there."""
        async with self._lock(guild.id):
            await self._remove(guild, code)

    async def close_voice(self, guild: Guild, code: int) -> None:
        """Close the bot's voice connection with a code, and let follow what Discord says follows.

        After the codes that mean "disconnected" the bot is in no channel any more; after the others it still is.

        Raises:
            NotPossible: the bot is not in voice, or has no voice connection to close.
        """
        async with self._lock(guild.id):
            bot = self._world.bot.id
            if bot not in guild.voice_states:
                raise NotPossible("the bot is not in a voice channel")
            if not self._link.is_connected(guild.id, bot):
                raise NotPossible("the bot has no voice connection")
            self._journal.add("voice", "voice_closing", {"guild_id": str(guild.id), "code": code})
            if code in LEAVING:
                await self._remove(guild, code)
            else:
                await self._cut(guild.id, code)

    def lose_voice(self, guild: Guild) -> None:
        """Let the bot's voice connection end without a close.

        Raises:
            NotPossible: it has none.
        """
        if not self._link.cut(guild.id, self._world.bot.id):
            raise NotPossible("the bot has no voice connection")

    async def move_bot(self, guild: Guild, channel: Channel) -> None:
        """Move the bot to another voice channel, as an administrator does.

        Raises:
            NotPossible: the bot is not in voice.
        """
        async with self._lock(guild.id):
            state = guild.voice_states.get(self._world.bot.id)
            if state is None:
                raise NotPossible("the bot is not in a voice channel")
            await self._place(guild, channel, state.session_id, state.self_mute, state.self_deaf)

    async def change_server(self, guild: Guild, *, outage: bool = False) -> None:
        """Move the bot's voice connection to a new voice server, or away from a lost one.

        Args:
            outage: the server is gone and there is no other yet: a null endpoint is sent.

        Raises:
            NotPossible: the bot is not in voice.
        """
        async with self._lock(guild.id):
            state = guild.voice_states.get(self._world.bot.id)
            if state is None:
                raise NotPossible("the bot is not in a voice channel")
            if not outage:
                await self._new_server(guild, moved=True, code=Close.CALL_TERMINATED)
                return
            await self._cut(guild.id, Close.CALL_TERMINATED)
            data = {"guild_id": str(guild.id), "token": secrets.token_hex(8), "endpoint": None}
            self._world.emit("VOICE_SERVER_UPDATE", guild.id, data, session=state.session_id)

    def session_ended(self, session_id: str) -> None:
        """Take the bot out of all channels that an ended session kept it in."""
        bot = self._world.bot.id
        for guild in self._world.guilds.values():
            state = guild.voice_states.get(bot)
            if state is not None and state.session_id == session_id:
                self.leave(guild, bot)
                self._tasks.start(self._cut(guild.id), f"voice of guild {guild.id} ends")

    def member_changed(self, guild: Guild, user_id: int, *, voice: bool) -> None:
        """Take note of a member's new roles, timeout, or (``voice``) mute and deafen by the server."""
        self.permissions_changed(guild)
        state = guild.voice_states.get(user_id)
        if voice and state is not None:
            self._tell(guild, state)

    def permissions_changed(self, guild: Guild) -> None:
        """Let everyone in voice speak or not, after roles or overwrites changed."""
        for state in guild.voice_states.values():
            channel = guild.channels[state.channel_id]
            suppress = self._suppressed(channel, state.user_id)
            if channel.type == ChannelType.VOICE and suppress != state.suppress:
                state.suppress = suppress
                self._tell(guild, state)
            if state.user_id == self._world.bot.id:
                self._link.mute(guild.id, state.user_id, state.suppress or guild.members[state.user_id].mute)

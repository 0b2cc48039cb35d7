"""A shard's connection to Discord's gateway. All that leans on discord.py's internals is in this module:

- ``discord.http.Route.BASE`` and ``DiscordWebSocket.DEFAULT_GATEWAY``: where Discord is;
- ``Guild._voice_state_for``: who is where, without a member cache; the rest is in :mod:`voice_nodes.resuming`;
- ``Client.before_identify_hook``: the rate at which shards identify.
"""

from __future__ import annotations

import asyncio
from typing import Any, cast

import aiohttp
import discord
import wavelink
import yarl
from discord.gateway import DiscordWebSocket
from discord.http import Route

from tonearm.backoff import Backoff
from tonearm.discord.invite import invite_link
from tonearm.discord.rest import RestClient
from tonearm.errors import DiscordAway, DiscordError, LeaseLost, Refused, SettingsError
from tonearm.redis.sessions import SavedGateway
from tonearm.sentences import Sentence
from tonearm.telemetry import LOG, context
from voice_nodes import resuming
from voice_nodes.identifying import Turns
from voice_nodes.introduced import Introduced
from voice_nodes.lease import Tenure
from voice_nodes.listener import GuildListener, Report, ServerListener, Trouble
from voice_nodes.measuring import STUCK, count_trouble
from voice_nodes.whereabouts import EVERYBODY, Whereabouts

FATAL_CLOSES = frozenset({4004, 4010, 4011, 4012, 4013, 4014})
"""Close codes after which connecting again cannot help (Discord's documentation, *Gateway Close Event Codes*)."""

SEND_TIMEOUT = 2.0  # seconds, as the next two
LOGIN_TIMEOUT = 30.0  # discord.py asks for 25 s where Discord is troubled, and waits for minutes where it says nothing
READY_QUIET = 0.3  # a shard counts as ready when no further guild has come for so long


def point_at(api_url: str, gateway_url: str) -> None:
    """Tell discord.py where Discord answers, and to resume. For the whole process, before any client is made.

    Raises:
        StartFailed: discord.py is not as :mod:`voice_nodes.resuming` knows it.
    """
    resuming.install()
    discord.VoiceClient.warn_nacl = discord.VoiceClient.warn_dave = False  # Lavalink does the voice.
    Route.BASE = api_url
    DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL(gateway_url)


class Gateway(discord.Client):
    """One shard."""

    def __init__(
        self,
        *,
        shard: int,
        shard_count: int,
        listener: GuildListener,
        servers: ServerListener,
        turns: Turns,
        lease: Tenure,
        rest: RestClient | None = None,
    ) -> None:
        super().__init__(
            intents=discord.Intents(guilds=True, voice_states=True),
            shard_id=shard,
            shard_count=shard_count,
            member_cache_flags=discord.MemberCacheFlags.none(),
            chunk_guilds_at_startup=False,
            max_messages=None,
            guild_ready_timeout=READY_QUIET,
        )
        self.ready = asyncio.Event()
        self.resume_from: SavedGateway | None = None
        self._rest = rest
        self._whereabouts = Whereabouts()
        self._introduced = Introduced(listener.gateway_started)
        self._watchers: list[resuming.ON_EVENT] = [self._whereabouts.event, self._introduce]
        resuming.watch(self, self._tell_watchers)
        resuming.before_resume(self, self.until_held)
        self._left = False
        self._logging_in: asyncio.Task[None] | None = None
        self._listener = listener
        self._servers = servers
        self._turns = turns
        self._lease = lease
        self._backoff = Backoff(first=1.0, most=30.0)

    async def before_identify_hook(self, shard_id: int | None, *, initial: bool = False) -> None:
        await self._turns.take()

    async def run_forever(self, token: str) -> None:
        """Log in and stay connected, until :meth:`leave_behind`. A restored session is resumed during the log-in.

        Raises:
            LeaseLost: the shard is another's.
            SettingsError: Discord refuses the token or the intents; connecting again cannot help.
        """
        while not self._left:
            await self.until_held()
            try:
                await self._connect(token)
            except LeaseLost:
                continue  # Whether it is to be had again is seen above.
            except DiscordAway as error:
                LOG.info("The gateway is left: %s", error.detail, extra=context(shard=self.shard_id))
                continue
            except (discord.DiscordException, aiohttp.ClientError, OSError, TimeoutError, AttributeError) as error:
                # discord.py raises AttributeError when its very first connection is refused.
                LOG.warning("The gateway is not there: %r", error, extra=context(shard=self.shard_id))
            except RuntimeError:
                # discord.py connected again just as we left, with an HTTP session that is closed by now.
                if not self._left:
                    raise
            await self._backoff.wait()

    async def _connect(self, token: str) -> None:
        try:
            if not self.http.token:
                await self._log_in(token)
            if self.resume_from is None:
                # Not within connect: a connection is not to be held for nothing, nor for longer than it waits.
                await self._turns.come_near()
            await self.connect(reconnect=True)
        except discord.LoginFailure:
            raise SettingsError("TONEARM_DISCORD_BOT_TOKEN is refused by Discord.") from None
        except discord.PrivilegedIntentsRequired:
            raise SettingsError("Discord refuses the gateway intents of this bot.") from None
        except discord.ConnectionClosed as closed:
            if closed.code in FATAL_CLOSES:
                raise SettingsError(f"Discord closed the gateway with {closed.code}: {closed.reason}.") from None
            raise

    async def _log_in(self, token: str) -> None:
        if self.resume_from is None:
            async with asyncio.timeout(LOGIN_TIMEOUT):
                await self.login(token)
            return
        # The RESUME needs no more of the log-in than the HTTP session, which is open before its first request.
        self._logging_in = asyncio.create_task(self.login(token))
        self._logging_in.add_done_callback(_log_failure)
        await asyncio.sleep(0)

    async def restore(self, saved: SavedGateway, guilds: list[dict[str, Any]]) -> None:
        """Go on with the session of another process; to be called before :meth:`run_forever`. Where its guilds are not
        as they should be, another session is begun, as without any."""
        await self._async_setup_hook()
        try:
            self._whereabouts.take_over(guilds)
            resuming.restore(self, saved, guilds)
        except Exception:
            LOG.exception("The guilds of the session before can't be restored", extra=context(shard=self.shard_id))
            return
        self.resume_from = saved
        self.ready.set()

    async def until_held(self) -> None:
        """Wait until this shard may be acted for.

        Raises:
            LeaseLost: it is another's.
        """
        await self._lease.until_held()

    def drop_socket(self) -> None:
        """Cut the gateway's socket, with all that waits in it."""
        socket: DiscordWebSocket | None = self.ws
        if socket is not None:
            resuming.abort(socket.socket)

    def watch(self, on_event: resuming.ON_EVENT) -> None:
        """Tell of each event after it was taken."""
        self._watchers.append(on_event)

    def _introduce(self, name: str, data: dict[str, Any]) -> None:
        self._introduced.event(name, data, self.ws, first=not self.ready.is_set())

    def _tell_watchers(self, name: str, data: dict[str, Any]) -> None:
        for on_event in self._watchers:
            on_event(name, data)

    async def leave_behind(self) -> None:
        """Close the socket so that the session, and with it the bot's voice, outlives it.

        ``Client.close()`` would take the bot out of its channels, and 1000 would end the session.
        """
        self._left = True
        if self._logging_in is not None:
            self._logging_in.cancel()
        socket: DiscordWebSocket | None = self.ws
        if socket is not None:
            try:
                async with asyncio.timeout(1.0):
                    await socket.close(code=4000)
            except (TimeoutError, aiohttp.ClientError, OSError):
                LOG.debug("The gateway's socket did not close in time")
        await self.http.close()

    # What is known of a guild.

    def find_guild(self, guild: int) -> discord.Guild:
        """The guild.

        Raises:
            Refused: the bot is not a member of it.
        """
        found = self.get_guild(guild)
        if found is None:
            raise Refused(Sentence.NOT_A_MEMBER, link=invite_link(self.application_id or 0))
        return found

    def caller_channel(self, guild: int, user: int) -> int | None:
        """The voice channel in which ``user`` is, as far as the gateway has told."""
        state = self.find_guild(guild)._voice_state_for(user)
        return state.channel.id if state is not None and state.channel is not None else None

    async def fetch_caller_channel(self, guild: int, user: int, *, here: int | None = None) -> int | None:
        """The voice channel in which ``user`` is. Discord is asked where the gateway has not told, once for each user.

        With ``here`` it is enough to know whether they are in that channel: else the answer may be ``None`` although
        they are in another one.

        Raises:
            Refused: the bot is not a member of the guild.
            DiscordAway: Discord does not answer.
        """
        channel, known = self.caller_channel(guild, user), self._whereabouts
        if channel is not None or known.knows_user(guild, user) or self._rest is None:
            return channel
        if here is not None and known.knows_channel(guild, here):
            return None
        try:
            state = await self._rest.fetch_voice_state(guild, user, timeout=SEND_TIMEOUT)
        except DiscordError:
            return None  # In a channel that the bot may not see.
        if not known.knows_user(guild, user):  # Else the gateway has told meanwhile, and of something newer.
            known.told(guild, user)
            if state is not None and state["channel_id"]:
                self.find_guild(guild)._update_voice_state(cast(Any, state), int(state["channel_id"]))
        return self.caller_channel(guild, user)

    def require_entry(self, guild: int, channel: int) -> None:
        """Whether the bot may join and be heard.

        Raises:
            Refused: it lacks a permission there, or there is no room.
        """
        found = self.find_guild(guild)
        voice = found.get_channel(channel)
        if not isinstance(voice, discord.VoiceChannel | discord.StageChannel):
            raise Refused(Sentence.NO_CONNECT, channel=channel)
        may = voice.permissions_for(found.me)
        if not (may.view_channel and may.connect):
            raise Refused(Sentence.NO_CONNECT, channel=channel)
        if not may.speak:
            raise Refused(Sentence.NO_SPEAK, channel=channel)
        present = voice.voice_states
        full = bool(voice.user_limit) and len(present) >= voice.user_limit and not may.move_members
        if full and found.me.id not in present:
            raise Refused(Sentence.CHANNEL_FULL, channel=channel)

    def is_alone(self, guild: int, channel: int) -> bool | None:
        """Whether nobody but the bot is in ``channel``; ``None`` where the gateway has not told of everybody there."""
        voice = self.voice_channel(guild, channel)
        if voice is None or voice.guild.unavailable or self.user is None:
            return None
        if voice.voice_states.keys() - {self.user.id}:
            return False
        return True if self._whereabouts.knows_channel(guild, channel) else None

    def company(self, guild: int, channel: int) -> int:
        """How many others are in ``channel``, as far as the gateway has told."""
        voice = self.voice_channel(guild, channel)
        return 0 if voice is None or self.user is None else len(voice.voice_states.keys() - {self.user.id})

    def snapshot(self, guild: discord.Guild) -> dict[str, Any]:
        """What another process needs to know of ``guild`` to go on, for :meth:`restore`."""
        voice = guild.me.voice
        here = voice.channel.id if voice is not None and voice.channel is not None else None
        everybody = here is None or self._whereabouts.knows_channel(guild.id, here)
        return {**resuming.snapshot(guild), EVERYBODY: everybody}

    def is_unavailable(self, guild: int) -> bool:
        """Whether the bot is a member of a guild that has an outage."""
        found = self.get_guild(guild)
        return found is not None and found.unavailable

    def guilds_with_bot_in_voice(self) -> list[int]:
        """Where the bot is in a channel."""
        return [guild.id for guild in self.guilds if guild.me.voice is not None]

    def voice_channel(self, guild: int, channel: int) -> discord.VoiceChannel | discord.StageChannel | None:
        """The channel, if the bot knows it."""
        found = self.get_guild(guild)
        voice = found.get_channel(channel) if found else None
        return voice if isinstance(voice, discord.VoiceChannel | discord.StageChannel) else None

    async def send_voice_state(self, guild: discord.Guild, channel: discord.abc.Snowflake | None) -> None:
        """Op 4: be in ``channel``, or in none.

        Raises:
            DiscordAway: the gateway has no session that knows the guild, or does not take it in time.
            LeaseLost: the lease has run out, maybe while discord.py waited for its turn to send.
        """
        self._lease.check()
        if not self._introduced.knows(guild.id, self.ws):
            raise DiscordAway("op 4: no session that knows the guild")
        try:
            async with asyncio.timeout(min(SEND_TIMEOUT, self._lease.remaining())):
                await guild.change_voice_state(channel=channel, self_deaf=channel is not None)
        except (TimeoutError, AttributeError, ConnectionError, aiohttp.ClientError) as error:
            self._lease.check()
            raise DiscordAway(f"op 4: {error!r}") from None

    # Events, by discord.py's names.

    async def on_resumed(self) -> None:
        self._backoff.reset()

    async def on_ready(self) -> None:
        self._backoff.reset()
        self.ready.set()

    async def on_guild_remove(self, guild: discord.Guild) -> None:
        self._listener.guild_removed(guild.id)

    async def on_guild_join(self, guild: discord.Guild) -> None:
        self._listener.guild_joined(guild.id)

    async def on_guild_available(self, guild: discord.Guild) -> None:
        self._listener.guild_available(guild.id)

    async def on_voice_state_update(
        self, member: discord.Member, before: discord.VoiceState, after: discord.VoiceState
    ) -> None:
        if self.user is not None and member.id == self.user.id:
            self._listener.bot_moved(member.guild.id, after.channel.id if after.channel else None)
        elif before.channel != after.channel:
            channels = {state.channel.id for state in (before, after) if state.channel is not None}
            self._listener.company_changed(member.guild.id, channels)

    async def on_wavelink_track_end(self, event: wavelink.TrackEndEventPayload) -> None:
        if (guild := _guild_of(event.player)) is not None:
            self._listener.track_over(guild, _play_of(event.track), event.reason)

    async def on_wavelink_track_start(self, event: wavelink.TrackStartEventPayload) -> None:
        if (guild := _guild_of(event.player)) is not None:
            self._listener.track_started(guild, _play_of(event.track))

    async def on_wavelink_track_stuck(self, event: wavelink.TrackStuckEventPayload) -> None:
        if (guild := _guild_of(event.player)) is not None:
            count_trouble(STUCK, event.track.source)
            self._listener.track_over(guild, _play_of(event.track), "stuck")

    async def on_wavelink_track_exception(self, event: wavelink.TrackExceptionEventPayload) -> None:
        if (guild := _guild_of(event.player)) is not None:
            said, track = event.exception, event.track
            reason = str(said.get("message") or "it can't be read")
            trouble = Trouble(track.title, track.source, str(said.get("severity")), reason)
            self._listener.track_failed(guild, _play_of(track), trouble)

    async def on_wavelink_websocket_closed(self, event: wavelink.WebsocketClosedEventPayload) -> None:
        if (guild := _guild_of(event.player)) is not None:
            self._listener.voice_closed(guild, event.code.value)

    async def on_wavelink_node_ready(self, event: wavelink.NodeReadyEventPayload) -> None:
        self._servers.session_started(event.node, event.resumed)

    async def on_wavelink_node_disconnected(self, event: wavelink.NodeDisconnectedEventPayload) -> None:
        self._servers.session_away(event.node)

    async def on_wavelink_player_update(self, event: wavelink.PlayerUpdateEventPayload) -> None:
        if (guild := _guild_of(event.player)) is not None:
            report = Report(event.position, event.connected, event.ping)
            self._servers.player_reported(event.player.node, guild, report)

    async def on_error(self, event_method: str, /, *args: object, **kwargs: object) -> None:
        LOG.exception("An event of the gateway was not handled", extra=context(event=event_method))


def _log_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and task.exception() is not None:
        LOG.warning("Not logged in: %s", task.exception())


def _guild_of(player: wavelink.Player | None) -> int | None:
    return player.guild.id if player is not None and player.guild is not None else None


def _play_of(track: wavelink.Playable) -> str:
    data = track.raw_data.get("userData") or {}
    return str(data.get("play", ""))

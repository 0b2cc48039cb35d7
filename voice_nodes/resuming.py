"""Lets discord.py go on with a gateway session that another process began.

discord.py can resume its own session after a lost socket, but not one of a process that is gone: the session is not
to be had from outside, and the cache of guilds is empty, as a RESUME brings no GUILD_CREATE. So this module

- resumes a saved session: :class:`ResumingWebSocket` gives ``DiscordWebSocket.from_client`` session, sequence and URL;
- makes a reduced GUILD_CREATE of a cached guild (:func:`snapshot`), from which a new process rebuilds it
  (:func:`restore`);
- tells of each event after discord.py has taken it (:func:`watch`);
- has the latency of the gateway measured from the sending of a heartbeat (:class:`Punctual`).

It leans on these internals, which :func:`require_internals` checks when a process starts:
``DiscordWebSocket.from_client`` and its parameters, ``identify``, ``resume``, ``_keep_alive``;
``discord.client.DiscordWebSocket`` as the name that ``connect`` uses; ``discord.gateway.KeepAliveHandler`` and its
``get_payload``; ``ConnectionState.parsers``, ``hooks`` and
``call_hooks``, ``_add_guild_from_data``, ``_users``, ``user``;
``Guild._voice_states``; ``VoiceChannel._overwrites``.
"""

from __future__ import annotations

import contextlib
import inspect
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import discord
import discord.client
import discord.gateway
import yarl
from discord.gateway import DiscordWebSocket, KeepAliveHandler
from discord.guild import Guild
from discord.state import ConnectionState
from discord.user import ClientUser

from tonearm.errors import StartFailed
from tonearm.redis.sessions import SavedGateway
from tonearm.telemetry import LOG, context

BEFORE_RESUME = "before_resume"
"""The hook that is awaited immediately before a RESUME is sent, beside discord.py's own for an IDENTIFY."""

ON_EVENT = Callable[[str, dict[str, Any]], None]

_SHAPE = frozenset({"GUILD_CREATE", "GUILD_UPDATE", "CHANNEL_CREATE", "CHANNEL_UPDATE", "CHANNEL_DELETE"}) | frozenset(
    {"GUILD_ROLE_CREATE", "GUILD_ROLE_UPDATE", "GUILD_ROLE_DELETE"}
)
"""Events that change what :func:`snapshot` shows."""


class ResumingWebSocket(DiscordWebSocket):
    """A gateway socket whose first connection resumes the session in ``client.resume_from``, if there is one."""

    @classmethod
    async def from_client(cls, client: Any, **params: Any) -> ResumingWebSocket:
        # A client that is not ours, as tests of the twin have, connects as ever.
        await getattr(client, "until_held", _nothing)()
        saved: SavedGateway | None = getattr(client, "resume_from", None)
        if saved is not None and params.get("initial"):
            params |= {
                "resume": True,
                "session": saved.session,
                "sequence": saved.sequence,
                "gateway": yarl.URL(saved.url),
            }
        socket = await super().from_client(client, **params)
        if saved is not None:
            client.resume_from = None
        return socket

    async def identify(self) -> None:
        async with self._cut_where_it_fails():
            await super().identify()

    async def resume(self) -> None:
        async with self._cut_where_it_fails():
            # The lease may have run out since the connection was begun, and the session be another process's by now.
            await self.call_hooks(BEFORE_RESUME)
            await super().resume()

    @contextlib.asynccontextmanager
    async def _cut_where_it_fails(self) -> AsyncIterator[None]:
        try:
            yield
        except BaseException:
            # Else the heartbeats of a connection that nobody reads go on for a minute.
            if self._keep_alive is not None:
                self._keep_alive.stop()
            abort(self.socket)
            self.socket._response.close()  # which its reader would do
            raise


class Punctual(KeepAliveHandler):
    """Notes when a heartbeat was sent before it is: discord.py does it in its thread once it hears that it was sent,
    and measures an acknowledgement that is quicker than that against the heartbeat before."""

    def get_payload(self) -> dict[str, Any]:
        self._last_send = time.perf_counter()
        return super().get_payload()


def abort(socket: aiohttp.ClientWebSocketResponse | None) -> None:
    """Cut a WebSocket with what waits in it: nothing more is sent, not even a close."""
    connection = socket._response.connection if socket is not None else None
    if connection is not None and connection.transport is not None:
        connection.transport.abort()


async def _nothing() -> None:
    """Nobody forbids it."""


def install() -> None:
    """Have every client of this process connect through :class:`ResumingWebSocket`.

    Raises:
        StartFailed: discord.py is not as this module knows it.
    """
    require_internals()
    discord.client.DiscordWebSocket = ResumingWebSocket  # type: ignore[misc]
    discord.gateway.KeepAliveHandler = Punctual  # type: ignore[misc]


def require_internals() -> None:
    """See that discord.py still has what this module leans on.

    Raises:
        StartFailed: it has not; the sentence names what is missing.
    """
    known = inspect.signature(DiscordWebSocket.from_client).parameters
    missing = [name for name in ("initial", "gateway", "session", "sequence", "resume") if name not in known]
    for owner, name in (
        (discord.client, "DiscordWebSocket"),
        (discord.gateway, "KeepAliveHandler"),
        (KeepAliveHandler, "get_payload"),
        (DiscordWebSocket, "identify"),
        (DiscordWebSocket, "resume"),
        (ConnectionState, "call_hooks"),
        (ConnectionState, "_add_guild_from_data"),
        (ConnectionState, "parse_ready"),
        (Guild, "_update_voice_state"),
        (Guild, "_voice_state_for"),
        (Guild, "_voice_states"),
        (discord.VoiceChannel, "_overwrites"),
    ):
        if not hasattr(owner, name):
            missing.append(name)
    state = discord.Client(intents=discord.Intents(guilds=True))._connection
    missing += [name for name in ("parsers", "hooks", "_users", "user") if not hasattr(state, name)]
    if missing:
        raise StartFailed(
            f"discord.py {discord.__version__} lacks {', '.join(missing)}, which resuming a shard leans on: "
            "install the version that requirements/ names."
        )


def watch(client: discord.Client, on_event: ON_EVENT) -> None:
    """Call ``on_event(name, data)`` after discord.py has taken each event.

    An exception in one of discord.py's parsers would end ``Client.connect()`` without a word; here it is logged.
    """
    parsers: dict[str, Callable[[Any], None]] = client._connection.parsers
    for name, parse in tuple(parsers.items()):
        parsers[name] = _watched(name, parse, on_event)


def before_resume(client: discord.Client, hook: Callable[[], Awaitable[None]]) -> None:
    """Await ``hook`` immediately before each RESUME; what it raises ends the connection."""
    client._connection.hooks[BEFORE_RESUME] = hook  # type: ignore[assignment]


def _watched(name: str, parse: Callable[[Any], None], on_event: ON_EVENT) -> Callable[[Any], None]:
    def take(data: Any) -> None:
        try:
            parse(data)
            on_event(name, data)
        except Exception:
            LOG.exception("An event of the gateway was not taken", extra=context(event=name))

    return take


def touched(name: str, data: dict[str, Any], bot: int) -> int | None:
    """The guild whose snapshot an event changes, or may change."""
    if name in _SHAPE:
        return int(data["id"] if name in ("GUILD_CREATE", "GUILD_UPDATE") else data["guild_id"])
    if name == "VOICE_STATE_UPDATE" and data.get("guild_id"):
        return int(data["guild_id"])
    if name == "GUILD_MEMBER_UPDATE" and int(data["user"]["id"]) == bot:
        return int(data["guild_id"])
    return None


def snapshot(guild: discord.Guild) -> dict[str, Any]:
    """A reduced GUILD_CREATE: owner, roles of the bot, voice channels, and who is in the bot's channel.

    All that decides whether the bot may join a channel and be heard (Discord's documentation, Gateway Events,
    *Guild Create*); text channels and other people's voice are left out.
    """
    me = guild.me
    roles = {guild.id, *(role.id for role in me.roles)}
    subjects = roles | {me.id}
    here = me.voice.channel.id if me.voice is not None and me.voice.channel is not None else None
    return {
        "id": str(guild.id),
        "name": guild.name,
        "owner_id": str(guild.owner_id),
        "member_count": guild.member_count or 0,
        "roles": [
            {"id": str(role.id), "name": "", "permissions": str(role.permissions.value), "position": role.position}
            for role in guild.roles
            if role.id in roles
        ],
        "channels": [
            {
                "id": str(channel.id),
                "type": channel.type.value,
                "name": channel.name,
                "position": channel.position,
                "bitrate": channel.bitrate,
                "user_limit": channel.user_limit,
                "permission_overwrites": [
                    overwrite._asdict() for overwrite in channel._overwrites if overwrite.id in subjects
                ],
            }
            for channel in (*guild.voice_channels, *guild.stage_channels)
        ],
        "members": [
            {
                "user": reduced_user(me),
                "roles": [str(role.id) for role in me.roles if role.id != guild.id],
                "joined_at": None,
                "flags": 0,
                "communication_disabled_until": me.timed_out_until.isoformat() if me.timed_out_until else None,
            }
        ],
        "voice_states": [
            {
                "user_id": str(user),
                "channel_id": str(here),
                "session_id": state.session_id,
                "self_mute": state.self_mute,
                "self_deaf": state.self_deaf,
                "mute": state.mute,
                "deaf": state.deaf,
                "suppress": state.suppress,
            }
            for user, state in guild._voice_states.items()
            if here is not None and state.channel is not None and state.channel.id == here
        ],
    }


def reduced_user(user: discord.abc.User) -> dict[str, Any]:
    """A user object with what discord.py cannot do without."""
    return {"id": str(user.id), "username": user.name, "discriminator": user.discriminator, "avatar": None, "bot": True}


def restore(client: discord.Client, saved: SavedGateway, guilds: list[dict[str, Any]]) -> None:
    """Give a fresh client the user and the guilds of the process before. READY never comes after a RESUME."""
    connection = client._connection
    user = ClientUser(state=connection, data=saved.user)  # type: ignore[arg-type]
    connection.user = user
    connection._users[user.id] = user  # type: ignore[assignment]
    for guild in guilds:
        connection._add_guild_from_data(guild)  # type: ignore[arg-type]
    connection.call_handlers("ready")

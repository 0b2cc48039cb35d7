"""All gateway sessions: identify, resume, expire, and the events they are told."""

from __future__ import annotations

import asyncio
import hmac
import secrets
import time
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from playground.twin import payloads
from playground.twin.gateway.packing import packer
from playground.twin.gateway.session import Session
from playground.twin.gateway.settings import GUILD_MEMBERS, KNOWN, PRIVILEGED, GatewaySettings
from playground.twin.gateway.socket import GatewaySocket
from playground.twin.journal import Journal
from playground.twin.model import Guild, Json
from playground.twin.snowflakes import shard_of
from playground.twin.tasks import Tasks
from playground.twin.world import Event, World

IDENTIFY, PRESENCE, VOICE_STATE, RESUME, REQUEST_MEMBERS = 2, 3, 4, 6, 8
RECONNECT, INVALID_SESSION = 7, 9

VoiceRequest = Callable[[Session, int, int | None, bool, bool], Awaitable[None]]
"""Handles op 4: session, guild id, channel id or None, self_mute, self_deaf."""


class GatewayHub:
    """The gateway.

    Attributes:
        url: the URL clients connect to, told in READY; set when the server listens.
        on_voice: handles op 4.
        on_session_end: told the id of every session that has ended.
    """

    def __init__(self, world: World, journal: Journal, settings: GatewaySettings) -> None:
        self.settings = settings
        self.journal = journal
        self.url = ""
        self.sessions: dict[str, Session] = {}
        self.on_voice: VoiceRequest | None = None
        self.on_session_end: Callable[[str], None] = lambda _: None
        self.shard_count = 1
        """The count of the last IDENTIFY."""
        self._world = world
        self._sockets: set[GatewaySocket] = set()
        self._identified: dict[int, float] = {}
        self._starts_began = world.clock.now()
        self._tasks = Tasks()
        world.listen(self._tell)

    def _tell(self, event: Event) -> None:
        for session in list(self.sessions.values()):
            session.tell(event)

    async def close(self) -> None:
        """Close all connections and forget all sessions."""
        for session in self.sessions.values():
            if session.expiry is not None:
                session.expiry.cancel()
        for socket in self._sockets:
            socket.close(1001)
        await self._tasks.close()
        self.sessions.clear()

    async def connect(self, request: web.Request) -> web.StreamResponse:
        """Serve a connection; the query says version, encoding and compression."""
        ws = web.WebSocketResponse(timeout=0.5, compress=False, max_msg_size=1 << 20)
        await ws.prepare(request)
        compress = request.query.get("compress")
        pack = None if compress is None else packer(compress)
        socket = GatewaySocket(self, request, ws, pack)
        if request.query.get("v", "10") != "10":
            await ws.close(code=4012)
            return ws
        if request.query.get("encoding", "json") != "json" or (compress is not None and pack is None):
            self.journal.add("gateway", "unsupported", dict(request.query))
            await ws.close(code=4002)
            return ws
        self._sockets.add(socket)
        try:
            await socket.run()
        finally:
            self._sockets.discard(socket)
            self._gone(socket)
        return ws

    # --- what clients send -------------------------------------------------------------------------------------------

    def received(self, socket: GatewaySocket, op: int, data: Any) -> None:
        """Act on a payload other than a heartbeat."""
        if op in (IDENTIFY, RESUME):
            if socket.session is not None:
                self.journal.violation("already_authenticated", "IDENTIFY or RESUME in a running session")
                socket.close(4005)
            elif not isinstance(data, dict):
                socket.close(4002)
            elif op == IDENTIFY:
                self._identify(socket, data)
            else:
                self._resume(socket, data)
            return
        if socket.session is None:
            socket.close(4003)
        elif op == VOICE_STATE and isinstance(data, dict):
            self._voice(socket.session, data)
        elif op == REQUEST_MEMBERS and isinstance(data, dict):
            self._members(socket, socket.session, data)
        elif op != PRESENCE:
            self.journal.violation("gateway_opcode", f"opcode {op} is not one to send")
            socket.close(4001)

    def _identify(self, socket: GatewaySocket, data: Json) -> None:
        shard, count = data.get("shard") or (0, 1)
        code = self._refusal(data, shard, count)
        self.journal.add("gateway", "identify", {"shard": shard, "count": count, "refused": code})
        if code is not None:
            socket.close(code)
            return
        now, bucket = time.monotonic(), shard % self.settings.max_concurrency
        earliest = self._identified.get(bucket, float("-inf")) + self.settings.identify_interval
        if self.starts_reset_after() > 0 >= self.settings.session_starts:
            self._overdrawn(socket)
            return
        if now < earliest:
            self.journal.add(
                "gateway", "identify_limited", {"shard": shard, "bucket": bucket, "too_early_by": earliest - now}
            )
            socket.send_op(INVALID_SESSION, data=False)
            return
        self._identified[bucket] = now
        self.settings.session_starts -= 1
        self.shard_count = count
        session = Session(self._world, shard, count, int(data["intents"]), self.settings.replayed)
        self.sessions[session.id] = session
        self._attach(session, socket)
        self._tasks.start(self._send_guilds(session, self._greet(session)), f"guilds of session {session.id}")

    def starts_reset_after(self) -> float:
        """Return in how many seconds all session starts are there again; where that is over, they are from here on."""
        now, window = self._world.clock.now(), self.settings.session_starts_window
        if now >= self._starts_began + window:
            self._starts_began = now
            self.settings.session_starts = self.settings.session_starts_total
        return self._starts_began + window - now

    def _overdrawn(self, socket: GatewaySocket) -> None:
        """More session starts than there are: all sessions end, and the token is another one from now on."""
        self.journal.violation("session_starts_exceeded", "more IDENTIFYs than the day has session starts")
        self._world.token = f"twin.{secrets.token_urlsafe(24)}"
        self.journal.add("gateway", "token_reset", {})
        socket.close(4004)
        for session in list(self.sessions.values()):
            if session.socket is not None:
                session.socket.close(4004)
            self.end(session)

    def _refusal(self, data: Json, shard: Any, count: Any) -> int | None:
        if not hmac.compare_digest(str(data.get("token")), self._world.token):
            return 4004
        if not isinstance(shard, int) or not isinstance(count, int) or not 0 <= shard < count:
            return 4010
        intents = data.get("intents")
        if not isinstance(intents, int) or intents & ~KNOWN:
            return 4013
        if intents & PRIVILEGED & ~self.settings.privileged:
            return 4014
        mine = sum(shard_of(each.id, count) == shard for each in self._world.guilds.values() if each.bot_joined)
        return 4011 if mine > self.settings.guilds_per_shard else None

    def _greet(self, session: Session) -> list[Guild]:
        """Send READY, before anything else can be dispatched; return the guilds to send after it."""
        world = self._world
        mine = [
            guild
            for guild in world.guilds.values()
            if guild.bot_joined and shard_of(guild.id, session.count) == session.shard
        ]
        session.unsent = {guild.id for guild in mine}
        ready = {
            "v": 10,
            "user": payloads.own_user(world.bot),
            "guilds": [{"id": str(guild.id), "unavailable": True} for guild in mine],
            "session_id": session.id,
            "session_type": "normal",
            "resume_gateway_url": self.url,
            "shard": [session.shard, session.count],
            "application": {"id": str(world.application_id), "flags": 0, "flags_new": "0"},
            "private_channels": [],
            "presences": [],
            "relationships": [],
            "geo_ordered_rtc_regions": [],
            "user_settings": {},
            "guild_join_requests": [],
            "_trace": ["twin"],
        }
        session.dispatch("READY", ready)
        self.journal.add("gateway", "session_ready", self._about(session))
        return mine

    async def _send_guilds(self, session: Session, mine: list[Guild]) -> None:
        """Send the guilds, a few at a time so that others are served meanwhile."""
        for number, guild in enumerate(mine):
            if session.ended:
                return
            if number % 25 == 24:
                await asyncio.sleep(0)
            session.unsent.discard(guild.id)
            if guild.bot_joined and not guild.unavailable:
                session.dispatch("GUILD_CREATE", session.guild_create(guild.id, lazily=True))
        self.journal.add("gateway", "guilds_sent", self._about(session) | {"guilds": len(mine)})

    def _resume(self, socket: GatewaySocket, data: Json) -> None:
        if not hmac.compare_digest(str(data.get("token")), self._world.token):
            socket.close(4004)
            return
        session, sequence = self.sessions.get(str(data.get("session_id"))), data.get("seq")
        missed = session.missed(sequence) if session is not None and isinstance(sequence, int) else None
        if session is None or missed is None:
            self.journal.add("gateway", "resume_refused", {"session": data.get("session_id"), "seq": sequence})
            socket.send_op(INVALID_SESSION, data=False)
            return
        if session.socket is not None:
            session.socket.close(4000)
        self._attach(session, socket)
        for payload in missed:
            socket.send(payload)
        session.dispatch("RESUMED", {"_trace": ["twin"]})
        self.journal.add("gateway", "session_resumed", self._about(session) | {"replayed": len(missed)})

    def _voice(self, session: Session, data: Json) -> None:
        try:
            guild_id = int(data["guild_id"])
            channel_id = None if data.get("channel_id") is None else int(data["channel_id"])
        except (KeyError, TypeError, ValueError):
            self.journal.violation("voice_state_payload", "op 4 without a guild, or with a bad id", data=data)
            return
        mute, deaf = bool(data.get("self_mute")), bool(data.get("self_deaf"))
        known = {"guild_id": str(guild_id), "channel_id": channel_id and str(channel_id)}
        self.journal.add("gateway", "voice_request", known | self._about(session))
        if shard_of(guild_id, session.count) == session.shard and self.on_voice is not None:
            self._tasks.start(self._asked(session, guild_id, channel_id, mute, deaf), "op 4")

    async def _asked(self, session: Session, guild_id: int, channel_id: int | None, mute: bool, deaf: bool) -> None:
        if self.on_voice is not None:
            await self.on_voice(session, guild_id, channel_id, mute, deaf)

    def _members(self, socket: GatewaySocket, session: Session, data: Json) -> None:
        guild = self._world.guilds.get(int(data.get("guild_id") or 0))
        if guild is None or guild.unavailable or not guild.bot_joined:
            return
        wanted, query = data.get("user_ids"), data.get("query")
        if wanted is None and not query and not session.intents & GUILD_MEMBERS:
            socket.close(4014)
            return
        ids = [int(each) for each in (wanted if isinstance(wanted, list) else [wanted])] if wanted else None
        found = [
            payloads.member(self._world, guild, each)
            for each in (guild.members if ids is None else ids)
            if each in guild.members and self._world.users[each].name.lower().startswith((query or "").lower())
        ]
        found = found[: data.get("limit") or None]
        chunk: Json = {"guild_id": str(guild.id), "members": found, "chunk_index": 0, "chunk_count": 1}
        if ids is not None:
            chunk["not_found"] = [str(each) for each in ids if each not in guild.members]
        if data.get("nonce") is not None:
            chunk["nonce"] = data["nonce"]
        session.dispatch("GUILD_MEMBERS_CHUNK", chunk)

    # --- lives of sessions -------------------------------------------------------------------------------------------

    def _about(self, session: Session) -> Json:
        return {"session": session.id, "shard": session.shard, "count": session.count}

    def _attach(self, session: Session, socket: GatewaySocket) -> None:
        if session.expiry is not None:
            session.expiry.cancel()
            session.expiry = None
        session.socket, socket.session = socket, session

    def _gone(self, socket: GatewaySocket) -> None:
        session = socket.session
        if session is None or session.socket is not socket or session.ended:
            return
        session.socket = None
        code = socket.client_code
        self.journal.add("gateway", "socket_gone", self._about(session) | {"code": code})
        if code in (1000, 1001):
            self.end(session)
        else:
            loop = asyncio.get_running_loop()
            session.expiry = loop.call_later(self.settings.resume_window, self.end, session)

    def end(self, session: Session) -> None:
        """End a session; a RESUME of it is refused from now on, and its voice states go."""
        if session.ended:
            return
        session.ended = True
        if session.expiry is not None:
            session.expiry.cancel()
        self.sessions.pop(session.id, None)
        self.journal.add("gateway", "session_ended", self._about(session))
        self.on_session_end(session.id)

    # --- what tests do to sessions -----------------------------------------------------------------------------------

    def of_shard(self, shard: int | None) -> list[Session]:
        """Return the sessions of a shard; of all for None."""
        return [each for each in self.sessions.values() if shard is None or each.shard == shard]

    def drop(self, shard: int | None, code: int | None) -> None:
        """Close the sockets of a shard with a code, or cut the TCP connection for None; sessions stay resumable."""
        for session in self.of_shard(shard):
            if session.socket is not None and code is None:
                session.socket.abort()
            elif session.socket is not None and code is not None:
                session.socket.close(code)

    def reconnect(self, shard: int | None) -> None:
        """Ask the clients of a shard to reconnect (op 7)."""
        for session in self.of_shard(shard):
            if session.socket is not None:
                session.socket.send_op(RECONNECT)

    def forget(self, shard: int | None) -> None:
        """End the sessions of a shard and cut their connections, as if Discord had lost them."""
        for session in self.of_shard(shard):
            socket = session.socket
            self.end(session)
            if socket is not None:
                socket.abort()

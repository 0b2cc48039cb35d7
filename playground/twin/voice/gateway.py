"""The voice gateway: one conversation for each WebSocket."""

import asyncio
import json
import logging
from collections.abc import Callable
from typing import Final

from aiohttp import WSMsgType, web

from playground.twin.voice import protocol, rtp
from playground.twin.voice.protocol import Close, Json, Message, Refused
from playground.twin.voice.sessions import OnResumed, Session, Sessions

CLOSE_S: Final = 1.0
"""How long a client may take to answer a close frame."""
SEND_S: Final = 1.0
_MESSAGE_BYTES: Final = 16_384

log = logging.getLogger(__name__)


class Gateway:
    """Speaks voice gateway v8 with everyone who connects.

    `heartbeat_ms` is what HELLO asks for; a client that is silent for two intervals is closed with 4009.
    """

    def __init__(
        self,
        sessions: Sessions,
        udp: Callable[[], tuple[str, int]],
        heartbeat_ms: float,
        on_resumed: OnResumed | None = None,
    ) -> None:
        self.sessions = sessions
        self.on_resumed = on_resumed
        self.udp = udp
        self.heartbeat_ms = heartbeat_ms
        self._open: dict[web.WebSocketResponse, web.Request] = {}
        self._closing: set[asyncio.Task[bool]] = set()

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Answer one client. Any version but 8 is turned away with 400, before the upgrade."""
        if request.query.get("v") != str(protocol.VERSION):
            return web.Response(status=400, text="Only version 8 of the voice gateway is spoken here.\n")
        socket = web.WebSocketResponse(timeout=CLOSE_S, max_msg_size=_MESSAGE_BYTES)
        await socket.prepare(request)
        self._open[socket] = request
        try:
            await _Conversation(self, socket).run()
        finally:
            del self._open[socket]
        return socket

    async def close(self) -> None:
        """Close every socket with 1001 and wait for it."""
        for socket in list(self._open):
            self.drop(socket, 1001)
        while self._closing:
            await asyncio.wait(self._closing, timeout=2 * CLOSE_S)

    def drop(self, socket: web.WebSocketResponse, code: int) -> asyncio.Task[bool]:
        """Close a socket in the background; a client that does not answer is cut off."""
        reason = Close(code).reason if code in set(Close) else ""
        task = asyncio.create_task(socket.close(code=code, message=reason.encode()), name="voice close")
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)
        return task

    def abort(self, socket: web.WebSocketResponse) -> None:
        """Drop a socket's TCP connection without a close frame."""
        request = self._open.get(socket)
        if request is not None and request.transport is not None:
            request.transport.abort()

    async def tell(self, session: Session, message: Json) -> None:
        """Send a numbered message, or keep it for the RESUME."""
        message = session.numbered(message)
        if session.socket is not None:
            await send(session.socket, message)


async def send(socket: web.WebSocketResponse, message: Json) -> None:
    """Send one message; one that can't be sent within a second is left to the RESUME."""
    try:
        async with asyncio.timeout(SEND_S):
            await socket.send_str(json.dumps(message))
    except (ConnectionError, TimeoutError) as error:
        log.debug("cannot send op %s: %r", message["op"], error)


class _Conversation:
    def __init__(self, gateway: Gateway, socket: web.WebSocketResponse) -> None:
        self._gateway = gateway
        self._sessions = gateway.sessions
        self._socket = socket
        self._session: Session | None = None

    async def run(self) -> None:
        """Talk until either side closes."""
        await send(self._socket, protocol.hello(self._gateway.heartbeat_ms))
        try:
            code = await self._listen()
        except Refused as refused:
            code = refused.code
            await self._leave(code)
            await self._gateway.drop(self._socket, code)
        else:
            await self._leave(code)

    async def _listen(self) -> int:
        """Take messages; return the close code that the client left with. Raises `Refused`."""
        loop = asyncio.get_running_loop()
        patience = 2 * self._gateway.heartbeat_ms / 1_000
        deadline = loop.time() + patience
        while True:
            try:
                received = await self._socket.receive(timeout=max(0.0, deadline - loop.time()))
            except TimeoutError:
                raise Refused(Close.SESSION_TIMEOUT) from None
            if received.type is WSMsgType.BINARY:  # DAVE's key exchange
                raise Refused(Close.UNKNOWN_OPCODE)
            if received.type is not WSMsgType.TEXT:
                return self._socket.close_code or 1006
            message = protocol.decode(received.data)
            if isinstance(message, protocol.Heartbeat):
                deadline = loop.time() + patience
            if message is not None:
                await self._take(message)

    async def _leave(self, code: int) -> None:
        session = self._session
        if session is None or session.socket is not self._socket:
            return  # replaced, resumed elsewhere, or ended by the server
        if self._sessions.resumable(code):
            self._sessions.lost(session, code)
            return
        others = self._sessions.others(session)
        self._sessions.end(session, code)
        for other in others:
            await self._gateway.tell(other, protocol.client_disconnect(session.expectation.user_id))

    async def _take(self, message: Message) -> None:
        match message:
            case protocol.Heartbeat():
                await send(self._socket, protocol.heartbeat_ack(message.t))
            case protocol.Identify():
                await self._identify(message)
            case protocol.Resume():
                await self._resume(message)
            case protocol.SelectProtocol():
                await self._select(self._mine(), message)
            case protocol.Speaking():
                session = self._mine()
                session.spoke |= message.ssrc == session.ssrc

    def _mine(self) -> Session:
        """Return the session of this socket. Raises `Refused` if there is none yet, or it is over."""
        if self._session is None:
            raise Refused(Close.NOT_AUTHENTICATED)
        if self._session.socket is not self._socket:
            raise Refused(Close.SESSION_NO_LONGER_VALID)
        return self._session

    async def _identify(self, message: protocol.Identify) -> None:
        if self._session is not None:
            raise Refused(Close.ALREADY_AUTHENTICATED)
        session, old = self._sessions.identify(message)
        if old is not None:
            self._gateway.drop(old, Close.SESSION_NO_LONGER_VALID)
        self._session, session.socket = session, self._socket
        modes = self._sessions.conditions.modes(session.expectation.guild_id)
        await self._gateway.tell(session, protocol.ready(session.ssrc, *self._gateway.udp(), modes))
        for other in self._sessions.others(session):
            await self._gateway.tell(session, protocol.clients_connect([other.expectation.user_id]))
            await self._gateway.tell(other, protocol.clients_connect([session.expectation.user_id]))

    async def _resume(self, message: protocol.Resume) -> None:
        if self._session is not None:
            raise Refused(Close.ALREADY_AUTHENTICATED)
        session, missed = self._sessions.resume(message)
        if session.socket is not None:
            self._gateway.drop(session.socket, Close.SESSION_NO_LONGER_VALID)
        self._session, session.socket = session, self._socket
        await send(self._socket, protocol.resumed())
        for old in missed:
            await send(self._socket, old)
        if self._gateway.on_resumed is not None:
            self._gateway.on_resumed(session.expectation.guild_id, session.expectation.user_id, len(missed))

    async def _select(self, session: Session, message: protocol.SelectProtocol) -> None:
        if message.protocol != "udp":
            raise Refused(Close.UNKNOWN_PROTOCOL)
        if message.data.mode not in self._sessions.conditions.modes(session.expectation.guild_id):
            raise Refused(Close.UNKNOWN_ENCRYPTION_MODE)
        session.decrypt = rtp.decrypter(message.data.mode, session.key)
        await self._gateway.tell(session, protocol.session_description(message.data.mode, session.key))

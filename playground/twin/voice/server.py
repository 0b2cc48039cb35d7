"""The voice server: gateway, UDP and ears under one roof.

server = VoiceServer()
await server.start()
server.expect(guild_id, channel_id, bot_id, session_id, token)   # then VOICE_SERVER_UPDATE with server.endpoint
await server.listen(guild_id).hears(frequency=440, within=5)
"""

import logging
import ssl
import tempfile
from ipaddress import ip_address
from pathlib import Path

from aiohttp import web

from playground.twin.voice import certificates, protocol, rtp
from playground.twin.voice.conditions import Conditions
from playground.twin.voice.faulty import Fault, FaultyEndpoints
from playground.twin.voice.gateway import CLOSE_S, Gateway
from playground.twin.voice.listener import Listener
from playground.twin.voice.sessions import Expectation, OnClosed, OnResumed, Session, Sessions
from playground.twin.voice.udp import Receiver

HEARTBEAT_MS = 13_750.0
RESUME_WINDOW_S = 30.0

log = logging.getLogger(__name__)


class VoiceServer:
    """One voice server for any number of guilds, on a TLS WebSocket and one UDP port.

    `on_closed(guild_id, user_id, close_code)` is called when a client left, failed, fell silent, or did not
    resume in time; not for what `disconnect` or a newer identify ended; `on_resumed(guild_id, user_id, replayed)` after
    a RESUME. `host` is an IPv4 address; clients are told of 127.0.0.1 as `localhost`, of any other as it is.
    `heartbeat_ms` and `resume_window` (seconds) may be shortened by tests.
    """

    endpoint: str
    """`localhost:PORT` or `ADDRESS:PORT`, as VOICE_SERVER_UPDATE tells it; known once started."""
    ca_path: Path
    """The certificate (PEM) of the private authority that clients must trust; known once started."""

    def __init__(
        self,
        host: str = "127.0.0.1",
        *,
        on_closed: OnClosed | None = None,
        on_resumed: OnResumed | None = None,
        heartbeat_ms: float = HEARTBEAT_MS,
        resume_window: float = RESUME_WINDOW_S,
    ) -> None:
        self.host = host
        self.stray = 0
        """Datagrams that belong to no connection: late ones of ended sessions, noise."""
        self.conditions = Conditions()
        self._faulty = FaultyEndpoints(host)
        self._broken: dict[int, str] = {}
        self._tls: ssl.SSLContext | None = None
        self._listeners: dict[int, Listener] = {}
        self._touched: set[Listener] = set()
        self._sessions = Sessions(self.listen, self.conditions, resume_window, on_closed)
        self._gateway = Gateway(self._sessions, self._udp_address, heartbeat_ms, on_resumed)
        self._udp: Receiver | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Make certificates, open both ports. Raises `OSError` if there is no such address."""
        self._folder = tempfile.TemporaryDirectory(prefix="tonearm-voice-")
        self.ca_path, self._tls = certificates.make(Path(self._folder.name), ip_address(self.host))
        self._udp = Receiver(self.host, self._receive, self._batch_done)
        self._udp.start()
        app = web.Application()
        app.router.add_get("/{path:.*}", self._gateway.serve)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=CLOSE_S)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self.host, 0, ssl_context=self._tls)
        await site.start()
        name = "localhost" if self.host == "127.0.0.1" else self.host
        self.endpoint = f"{name}:{self._runner.addresses[0][1]}"
        log.info("voice gateway on wss://%s, UDP on %s port %d", self.endpoint, *self._udp_address())

    async def close(self) -> None:
        """Close all connections with 1001, and both ports. May be called again, and without a start."""
        for session in self._sessions:
            self._sessions.remove(session)
        await self._gateway.close()
        await self._faulty.close()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
        if self._udp is not None:
            self._udp.close()
            self._udp = None
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    def expect(self, guild_id: int, channel_id: int, user_id: int, session_id: str, token: str) -> None:
        """Take an identify with exactly these from now on, and no older ones of that user in that guild.

        An older connection goes on until it is disconnected or the new one identifies.
        """
        self.listen(guild_id)
        self._sessions.expect(Expectation(guild_id, channel_id, user_id, session_id, token))

    def mute(self, guild_id: int, user_id: int, muted: bool) -> None:
        """Say whether that user lacks SPEAK there: what they send then is received, and not heard."""
        self._sessions.mute(guild_id, user_id, muted)

    async def disconnect(self, guild_id: int, user_id: int, code: int = protocol.Close.DISCONNECTED) -> None:
        """Close a connection with this code; does nothing if there is none.

        After 4015 the client may resume, and identify anew. After any other code its session is over and its audio
        is dropped, before anything is awaited. Its token is void after the codes in `VOIDING`; then `expect` may
        announce a new one at once. Returns when the client has answered the close, at most a second later.
        """
        session = self._sessions.of(guild_id, user_id)
        resumable = self._sessions.resumable(code)
        if code in protocol.VOIDING:
            self._sessions.forget(guild_id, user_id)
        if session is None:
            return
        socket, others = session.socket, self._sessions.others(session)
        if resumable:
            self._sessions.lost(session, code)
        else:
            self._sessions.remove(session)
        if socket is not None:
            await self._gateway.drop(socket, code)
        if not resumable:
            for other in others:
                await self._gateway.tell(other, protocol.client_disconnect(user_id))

    def cut(self, guild_id: int, user_id: int) -> bool:
        """Drop a connection's TCP without a close frame: its client may resume. `False` if there is none."""
        session = self._sessions.of(guild_id, user_id)
        if session is None or session.socket is None:
            return False
        self._gateway.abort(session.socket)
        return True

    def is_connected(self, guild_id: int, user_id: int) -> bool:
        """Whether that user has a voice connection there, with a socket."""
        session = self._sessions.of(guild_id, user_id)
        return session is not None and session.socket is not None

    async def break_endpoint(self, guild_id: int, fault: Fault | None) -> None:
        """Let the guild's next servers be ones that fail like this; None mends it."""
        assert self._tls is not None
        if fault is None:
            self._broken.pop(guild_id, None)
        else:
            self._broken[guild_id] = await self._faulty.open(fault, self._tls)

    def endpoint_of(self, guild_id: int) -> str:
        """Return the endpoint to tell that guild of."""
        return self._broken.get(guild_id, self.endpoint)

    def listen(self, guild_id: int) -> Listener:
        """Return the ear in that guild. It listens from the first `expect` on, if not from now."""
        listener = self._listeners.get(guild_id)
        if listener is None:
            listener = self._listeners[guild_id] = Listener(guild_id, lambda: self.drops)
        return listener

    @property
    def drops(self) -> int:
        """Datagrams that the kernel dropped because they were not read in time: voids measurements."""
        return self._udp.drops if self._udp is not None else 0

    @property
    def connected(self) -> list[tuple[int, int]]:
        """The (guild id, user id) of every session, those that wait for a RESUME included."""
        return [(s.expectation.guild_id, s.expectation.user_id) for s in self._sessions]

    def _udp_address(self) -> tuple[str, int]:
        assert self._udp is not None
        return self.host, self._udp.port

    def _receive(self, packet: bytes, sender: tuple[str, int], arrival: int) -> None:
        ssrc = rtp.source(packet)
        if ssrc is not None:
            session = self._sessions.of_ssrc(ssrc)
            if session is not None:
                self._carry(session, packet, arrival)
                return
        discovery = rtp.discovery_response(packet, *sender)
        if discovery is not None and self._sessions.of_ssrc(discovery[0]) is not None:
            assert self._udp is not None
            self._udp.send(discovery[1], sender)
            return
        self.stray += 1

    def _carry(self, session: Session, packet: bytes, arrival: int) -> None:
        network = self.conditions.network(session.expectation.guild_id)
        if network is None:
            self._hear(session, packet, arrival)
            return

        def deliver(packet: bytes, arrival: int) -> None:
            self._hear(session, packet, arrival)
            session.listener.wake()

        network.carry(packet, arrival, deliver)

    def _hear(self, session: Session, packet: bytes, arrival: int) -> None:
        listener = session.listener
        self._touched.add(listener)
        if session.decrypt is None:
            listener.take_unheard()
            return
        try:
            frame = rtp.frame(packet, session.decrypt)
        except ValueError:
            listener.take_bad()
            return
        if session.muted or not session.spoke:
            listener.take_unheard()
            return
        listener.take(arrival, session.ssrc, frame)

    def _batch_done(self) -> None:
        for listener in self._touched:
            listener.wake()
        self._touched.clear()

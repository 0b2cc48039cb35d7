"""A voice server that keeps what it hears: gateway version 8 over TLS, UDP, both modes of encryption."""

from __future__ import annotations

import asyncio
import datetime
import itertools
import json
import secrets
import socket
import ssl
import struct
import time
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.x509.oid import NameOID
from nacl.bindings import crypto_aead_xchacha20poly1305_ietf_decrypt

from tests.support.audio_node.log import Log

SILENCE = b"\xf8\xff\xfe"
AES_GCM = "aead_aes256_gcm_rtpsize"
XCHACHA = "aead_xchacha20_poly1305_rtpsize"


@dataclass(frozen=True, slots=True)
class Packet:
    """An RTP packet after decryption; `at` is seconds on the monotonic clock."""

    ssrc: int
    sequence: int
    timestamp: int
    opus: bytes
    at: float

    @property
    def sound(self) -> bool:
        return self.opus != SILENCE


@dataclass
class Voice:
    """One voice session: its key and what came in under its SSRC."""

    ssrc: int
    session_id: str
    key: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    mode: str = AES_GCM
    packets: Log[Packet] = field(default_factory=Log)
    ops: Log[dict[str, Any]] = field(default_factory=Log)
    socket: web.WebSocketResponse | None = None
    transport: Any = None
    resumes: int = 0
    closed: asyncio.Event = field(default_factory=asyncio.Event)

    def opened(self, datagram: bytes) -> bytes:
        header, sealed, counter = datagram[:12], datagram[12:-4], datagram[-4:]
        if self.mode == XCHACHA:
            return crypto_aead_xchacha20poly1305_ietf_decrypt(sealed, header, counter + bytes(20), self.key)
        return AESGCM(self.key).decrypt(counter + bytes(8), sealed, header)

    async def sounds(self, number: int, *, start: int | None = None, timeout: float = 10.0) -> list[Packet]:
        """The next packets with sound in them."""
        first = len(self.packets.entries) if start is None else start
        found: list[Packet] = []

        def enough(packet: Packet) -> bool:
            if packet.sound:
                found.append(packet)
            return len(found) >= number

        await self.packets.until(enough, start=first, timeout=timeout)
        return found


def gaps(packets: list[Packet]) -> list[tuple[Packet, Packet]]:
    """Neighbours that don't follow on each other by sequence or timestamp."""
    return [
        (before, after)
        for before, after in itertools.pairwise(packets)
        if (after.sequence - before.sequence) & 0xFFFF != 1 or (after.timestamp - before.timestamp) & 0xFFFFFFFF != 960
    ]


class VoiceServer(asyncio.DatagramProtocol):
    """`answers` False: takes connections, says nothing. `refuse_with`: closes identify and resume with this code."""

    def __init__(self) -> None:
        self.voices: Log[Voice] = Log()
        self.answers = True
        self.modes = [AES_GCM, XCHACHA]
        self.refuse_with: int | None = None
        self.heartbeat_ms = 1000
        self.endpoint = ""
        self._by_ssrc: dict[int, Voice] = {}
        self._sequence = 0

    async def start(self, tls: ssl.SSLContext) -> None:
        app = web.Application()
        app.router.add_get("/", self._handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=tls).start()
        self.endpoint = f"localhost:{self._runner.addresses[0][1]}"
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * 1024 * 1024)
        sock.bind(("127.0.0.1", 0))
        self._port = sock.getsockname()[1]
        self._udp, _ = await asyncio.get_running_loop().create_datagram_endpoint(lambda: self, sock=sock)

    async def close(self) -> None:
        for voice in self.voices.entries:
            if voice.socket is not None and not voice.socket.closed:
                await voice.socket.close(code=4014)
        await self._runner.cleanup()
        self._udp.close()

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if len(data) == 74 and data[:2] == b"\0\1":
            answer = struct.pack(">HHI64sH", 2, 70, int.from_bytes(data[4:8]), addr[0].encode(), addr[1])
            self._udp.sendto(answer, addr)
            return
        version, kind, sequence, timestamp, ssrc = struct.unpack(">BBHII", data[:12])
        assert (version, kind) == (0x80, 0x78)
        voice = self._by_ssrc[ssrc]
        voice.packets.add(Packet(ssrc, sequence, timestamp, voice.opened(data), time.monotonic()))

    async def _handle(self, request: web.Request) -> web.WebSocketResponse:
        assert request.query["v"] == "8"
        ws = web.WebSocketResponse(timeout=0.2)
        await ws.prepare(request)
        voice: Voice | None = None
        if self.answers:
            await self._say(ws, 8, {"v": 8, "heartbeat_interval": self.heartbeat_ms})
        async for message in ws:
            if message.type is not aiohttp.WSMsgType.TEXT or not self.answers:
                continue
            body = json.loads(message.data)
            voice = await self._answer(request, ws, voice, body["op"], body["d"])
            if voice is not None:
                voice.ops.add(body)
        if voice is not None:
            voice.closed.set()
        return ws

    async def _answer(
        self, request: web.Request, ws: web.WebSocketResponse, voice: Voice | None, op: int, data: dict[str, Any]
    ) -> Voice | None:
        if op in (0, 7) and self.refuse_with is not None:
            await ws.close(code=self.refuse_with, message=b"refused")
            return None
        if op == 0:
            voice = Voice(secrets.randbits(31), data["session_id"], socket=ws, transport=request.transport)
            self._by_ssrc[voice.ssrc] = voice
            self.voices.add(voice)
            ready = {"ssrc": voice.ssrc, "ip": "127.0.0.1", "port": self._port, "modes": self.modes}
            await self._say(ws, 2, ready)
        elif op == 7:
            voice = next(v for v in self.voices.entries if v.session_id == data["session_id"])
            voice.socket, voice.transport = ws, request.transport
            await self._say(ws, 9, {})
            voice.resumes += 1
        elif op == 1:
            assert voice is not None
            voice.mode = data["data"]["mode"]
            assert voice.mode in self.modes
            await self._say(ws, 4, {"mode": voice.mode, "secret_key": list(voice.key), "dave_protocol_version": 0})
        elif op == 3:
            await self._say(ws, 6, {"t": data["t"]})
        return voice

    async def _say(self, ws: web.WebSocketResponse, op: int, data: dict[str, Any]) -> None:
        self._sequence += 1
        await ws.send_str(json.dumps({"op": op, "d": data, "seq": self._sequence}))


def make_ca(folder: Path) -> tuple[Path, ssl.SSLContext]:
    """A private certificate for localhost and 127.0.0.1: the file that trusts it, and the server's side of it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    names = [x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))]
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    ca, keyfile = folder / "ca.pem", folder / "key.pem"
    ca.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    keyfile.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(ca, keyfile)
    return ca, tls

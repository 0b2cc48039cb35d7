"""The twin's voice server with its control routes, and a small client that speaks to it over TLS and UDP."""

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import av
import numpy as np
from aiohttp import WSMsgType, web
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from nacl.bindings import crypto_aead_xchacha20poly1305_ietf_encrypt

from playground.twin.voice import control
from playground.twin.voice.client import ListenerClient
from playground.twin.voice.server import VoiceServer

GUILD, CHANNEL, BOT = 81_384_788_765_712_384, 381_870_553_235_193_857, 80_351_110_224_678_912
AES_GCM, XCHACHA = "aead_aes256_gcm_rtpsize", "aead_xchacha20_poly1305_rtpsize"
SILENCE = b"\xf8\xff\xfe"
WAIT = 5.0


def sine(frequency: float, seconds: float) -> np.ndarray:
    return 0.15 * np.sin(2 * np.pi * frequency * np.arange(round(seconds * 48_000)) / 48_000)


def opus(samples: np.ndarray, bit_rate: int | None = None) -> list[bytes]:
    """Encode a mono wave at 48 kHz to Opus frames of 20 ms, in stereo."""
    codec = av.CodecContext.create("libopus", "w")
    assert isinstance(codec, av.AudioCodecContext)
    codec.sample_rate, codec.layout, codec.format = 48_000, "stereo", "flt"
    if bit_rate is not None:
        codec.bit_rate = bit_rate
    payloads = []
    for start in range(0, samples.size - 959, 960):
        packed = np.repeat(samples[start : start + 960], 2).astype(np.float32).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(packed, "flt", "stereo")
        frame.sample_rate, frame.pts = 48_000, start
        payloads += [bytes(packet) for packet in codec.encode(frame)]
    return payloads


class VoiceClient:
    """Does what a voice client must, and nothing else."""

    def __init__(self, socket_: aiohttp.ClientWebSocketResponse) -> None:
        self.ws = socket_
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.setblocking(False)
        self.ssrc = self.seq_ack = -1
        self.sequence = 0xFFFE
        self.timestamp = 0xFFFF_FF00
        self.nonce = 0
        self.encrypt: Callable[[bytes, bytes, bytes], bytes]

    async def send(self, op: int, **data: object) -> None:
        await self.ws.send_json({"op": op, "d": data})

    async def receive(self, op: int) -> Any:
        message = await self.ws.receive_json(timeout=WAIT)
        assert message["op"] == op
        self.seq_ack = message.get("seq", self.seq_ack)
        return message["d"]

    async def closed(self) -> int:
        message = await self.ws.receive(timeout=WAIT)
        assert message.type is WSMsgType.CLOSE
        code: int = message.data
        return code

    async def identify(self, **other: str) -> None:
        said = {"server_id": str(GUILD), "user_id": str(BOT), "session_id": "session", "token": "token"}
        await self.send(0, **{**said, **other})

    async def connect(self, mode: str = AES_GCM, *, speak: bool = True, **other: str) -> None:
        await self.receive(8)
        await self.identify(**other)
        ready = await self.receive(2)
        self.ssrc = ready["ssrc"]
        self.udp.connect((ready["ip"], ready["port"]))
        address, port = await self.discover()
        assert (address, port) == self.udp.getsockname()
        await self.send(1, protocol="udp", data={"address": address, "port": port, "mode": mode})
        description = await self.receive(4)
        assert description["mode"] == mode
        key = bytes(description["secret_key"])
        if mode == AES_GCM:
            cipher = AESGCM(key)
            self.encrypt = lambda plain, header, nonce: cipher.encrypt(nonce + bytes(8), plain, header)
        else:
            self.encrypt = lambda plain, header, nonce: crypto_aead_xchacha20poly1305_ietf_encrypt(
                plain, header, nonce + bytes(20), key
            )
        if speak:
            await self.speak()

    async def speak(self) -> None:
        await self.send(5, speaking=1, delay=0, ssrc=self.ssrc)
        await self.heartbeat()  # an answer to a later message: the server has read this one

    async def heartbeat(self) -> None:
        await self.send(3, t=1_501_184_119_561, seq_ack=self.seq_ack)
        assert await self.receive(6) == {"t": 1_501_184_119_561}

    async def discover(self) -> tuple[str, int]:
        self.udp.send(struct.pack(">HHI66x", 1, 70, self.ssrc))
        async with asyncio.timeout(WAIT):
            answer = await asyncio.get_running_loop().sock_recv(self.udp, 100)
        kind, length, ssrc, address, port = struct.unpack(">HHI64sH", answer)
        assert (kind, length, ssrc) == (2, 70, self.ssrc)
        return address.rstrip(b"\0").decode(), port

    def packet(self, payload: bytes) -> bytes:
        header = struct.pack(">BBHII", 0x80, 0x78, self.sequence, self.timestamp, self.ssrc)
        self.nonce += 1
        nonce = struct.pack(">I", self.nonce)
        self.skip()
        return header + self.encrypt(payload, header, nonce) + nonce

    def skip(self, packets: int = 1) -> None:
        """Count packets that are never sent."""
        self.sequence = (self.sequence + packets) & 0xFFFF
        self.timestamp = (self.timestamp + 960 * packets) & 0xFFFFFFFF

    def play(self, payloads: Iterable[bytes]) -> None:
        """Send at once what otherwise would take 20 ms each."""
        for payload in payloads:
            self.udp.send(self.packet(payload))

    async def play_in_time(self, payloads: Iterable[bytes]) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        for payload in payloads:
            self.udp.send(self.packet(payload))
            due += 0.02
            await asyncio.sleep(max(0.0, due - loop.time()))


class Place:
    """A voice server, its control routes on HTTP, and how to get there."""

    def __init__(self, **options: Any) -> None:
        self.ended: asyncio.Queue[tuple[int, int, int]] = asyncio.Queue()
        self.server = VoiceServer(on_closed=lambda *what: self.ended.put_nowait(what), **options)
        self.http: aiohttp.ClientSession
        self.control_url = ""

    def expect(self, session_id: str = "session", token: str = "token", user_id: int = BOT) -> None:
        self.server.expect(GUILD, CHANNEL, user_id, session_id, token)

    @asynccontextmanager
    async def client(self) -> AsyncIterator[VoiceClient]:
        trust = ssl.create_default_context(cafile=str(self.server.ca_path))
        async with self.http.ws_connect(f"wss://{self.server.endpoint}/?v=8", ssl=trust) as ws:
            client = VoiceClient(ws)
            try:
                yield client
            finally:
                client.udp.close()

    async def listener(self) -> ListenerClient:
        return await ListenerClient(self.http, self.control_url, GUILD).open()

    async def told(self) -> tuple[int, int, int]:
        async with asyncio.timeout(WAIT):
            return await self.ended.get()


@asynccontextmanager
async def placed(**options: Any) -> AsyncIterator[Place]:
    place = Place(**options)
    await place.server.start()
    app = web.Application()
    app.add_routes(control.routes(place.server))
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    place.control_url = f"http://127.0.0.1:{runner.addresses[0][1]}/control"
    try:
        async with aiohttp.ClientSession() as place.http:
            yield place
    finally:
        await runner.cleanup()
        await place.server.close()

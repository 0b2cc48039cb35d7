"""A small voice client against the twin's voice server, over TLS, UDP and the control routes."""

import asyncio
import socket
import ssl
import struct
import time
import wave
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import av
import numpy as np
import pytest
from aiohttp import WSMsgType, web
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from nacl.bindings import crypto_aead_xchacha20poly1305_ietf_encrypt

from playground.twin.voice import control
from playground.twin.voice.client import ListenerClient
from playground.twin.voice.listener import NotHeard
from playground.twin.voice.server import VoiceServer

GUILD, CHANNEL, BOT = 81_384_788_765_712_384, 381_870_553_235_193_857, 80_351_110_224_678_912
AES_GCM, XCHACHA = "aead_aes256_gcm_rtpsize", "aead_xchacha20_poly1305_rtpsize"
SILENCE = b"\xf8\xff\xfe"
WAIT = 5.0


def sine(frequency: float, seconds: float) -> np.ndarray:
    return 0.15 * np.sin(2 * np.pi * frequency * np.arange(round(seconds * 48_000)) / 48_000)


def opus(samples: np.ndarray) -> list[bytes]:
    """Encode a mono wave to stereo frames of 20 ms."""
    codec = av.CodecContext.create("libopus", "w")
    assert isinstance(codec, av.AudioCodecContext)
    codec.sample_rate, codec.layout, codec.format = 48_000, "stereo", "flt"
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


@pytest.fixture
async def place() -> AsyncIterator[Place]:
    async with placed() as place:
        yield place


# Hearing


@pytest.mark.parametrize("mode", [AES_GCM, XCHACHA])
async def test_a_tone_is_heard(place: Place, mode: str) -> None:
    place.expect()
    listener = await place.listener()
    async with place.client() as client:
        await client.connect(mode)
        before = time.monotonic_ns()
        hearing = asyncio.ensure_future(listener.hears(440, within=WAIT))
        await client.play_in_time(opus(sine(440, 0.5)))
        sound = await hearing
        assert sound.frequency == pytest.approx(440, abs=1)
        report = await listener.wait_packets(25)
    assert report.unbroken, report
    assert report.largest_gap_ms < 200
    assert (report.packets, report.bad, report.unheard, report.ssrc) == (25, 0, 0, client.ssrc)
    first = await listener.wait_first_packet(after_ns=before)
    assert first == report.first_packet_ns
    assert 0 < first - before < 500_000_000


async def test_what_happens_to_packets_is_counted(place: Place) -> None:
    place.expect()
    listener = await place.listener()
    payloads = opus(sine(440, 0.2))
    async with place.client() as client:
        await client.connect()
        client.play(payloads)
        client.skip()
        client.play(payloads)
        again = client.packet(payloads[0])
        client.udp.send(again)
        client.udp.send(again)
        client.udp.send(again[:-1] + b"\xee")
        client.udp.send(struct.pack(">BBHII", 0x80, 0x78, 0, 0, 12_345) + bytes(30))
        report = await listener.wait_packets(23)
    assert (report.packets, report.lost, report.duplicates, report.bad) == (22, 1, 1, 1)
    assert report.step_errors == 0
    assert not report.unbroken


async def test_who_may_not_speak_is_not_heard(place: Place) -> None:
    place.expect()
    listener = await place.listener()
    payloads = opus(sine(440, 0.3))
    async with place.client() as client:
        await client.connect(speak=False)
        client.play(payloads)
        assert (await listener.wait_packets(15)).unheard == 15
        await client.speak()
        place.server.mute(GUILD, BOT, True)
        client.play(payloads)
        assert (await listener.wait_packets(30)).unheard == 30
        with pytest.raises(NotHeard, match="no packets"):
            await listener.hears(440, within=0)
        place.server.mute(GUILD, BOT, False)
        client.play(payloads)
        await listener.hears(440)
        assert (await listener.report()).lost == 0


async def test_tones_silence_and_the_file(place: Place, tmp_path: Path) -> None:
    place.expect()
    listener = await place.listener()
    await listener.follow()
    await listener.record()
    await listener.mark()
    async with place.client() as client:
        await client.connect()
        client.play(opus(np.concatenate([sine(440, 0.6), sine(550, 0.6)])))
        client.play([SILENCE] * 5)
        report = await listener.wait_packets(65)
        assert await listener.level() < -20
        assert await listener.hears_silence(for_ms=300) <= report.until_ns
        assert [round(start.frequency) for start in await listener.starts()] == [440, 550]
        with pytest.raises(NotHeard, match=r"Expected 440.0 ± 2.0 Hz .* heard no packets"):
            await listener.hears(440, within=0, tolerance=2)
        with pytest.raises(NotHeard, match="chirp"):
            await listener.chirp_position()
    path = await listener.save_wav(tmp_path / "heard.wav")
    with wave.open(str(path)) as file:
        assert file.getnframes() == 65 * 960


async def test_control_is_for_this_machine_and_well_formed_questions(place: Place) -> None:
    place.expect()
    url = f"{place.control_url}/voice"
    async with place.http.get(url) as response:
        told = await response.json()
    assert (told["endpoint"], told["ca_path"]) == (place.server.endpoint, str(place.server.ca_path))
    for path, body, status in (("1/hears", "{}", 400), ("x/hears", "{}", 404), ("1/mark", "", 200)):
        async with place.http.post(f"{url}/{path}", data=body) as response:
            assert response.status == status


# The gateway


@pytest.mark.parametrize(
    ("other", "code"),
    [
        ({"token": "wrong"}, 4004),
        ({"session_id": "wrong"}, 4006),
        ({"user_id": "1"}, 4006),
        ({"server_id": "1"}, 4011),
        ({"server_id": "none"}, 4020),
    ],
)
async def test_a_wrong_identify_is_closed(place: Place, other: dict[str, str], code: int) -> None:
    place.expect()
    async with place.client() as client:
        await client.receive(8)
        await client.identify(**other)
        assert await client.closed() == code
    assert place.ended.empty()


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("noise", 4002),
        ('{"op": 0, "d": {}}', 4002),
        ('{"op": 99, "d": {}}', 4001),
        ('{"op": 23, "d": {"transition_id": 0}}', 4001),
        ('{"op": 3, "d": 1501184119561}', 4020),
        ('{"op": 5, "d": {"speaking": 1, "delay": 0, "ssrc": 1}}', 4003),
        ('{"op": 7, "d": {"server_id": "1", "session_id": "session", "token": "token", "seq_ack": -1}}', 4006),
    ],
)
async def test_a_wrong_message_is_closed(place: Place, message: str, code: int) -> None:
    async with place.client() as client:
        await client.receive(8)
        await client.ws.send_str(message)
        assert await client.closed() == code


@pytest.mark.parametrize(("protocol", "mode", "code"), [("webrtc", AES_GCM, 4012), ("udp", "xsalsa20_poly1305", 4016)])
async def test_what_is_not_offered_is_refused(place: Place, protocol: str, mode: str, code: int) -> None:
    place.expect()
    async with place.client() as client:
        await client.receive(8)
        await client.identify()
        assert (await client.receive(2))["modes"] == [AES_GCM, XCHACHA]
        await client.send(1, protocol=protocol, data={"address": "127.0.0.1", "port": 1, "mode": mode})
        assert await client.closed() == code
    assert await place.told() == (GUILD, BOT, code)


async def test_one_mode_alone_can_be_offered(place: Place) -> None:
    place.server.conditions.offer(GUILD, [XCHACHA])
    place.expect()
    async with place.client() as client:
        await client.receive(8)
        await client.identify()
        assert (await client.receive(2))["modes"] == [XCHACHA]
        await client.send(1, protocol="udp", data={"address": "127.0.0.1", "port": 1, "mode": AES_GCM})
        assert await client.closed() == 4016


async def test_video_messages_are_tolerated_and_a_second_identify_is_not(place: Place) -> None:
    place.expect()
    async with place.client() as client:
        await client.connect()
        await client.send(15, any=100)
        await client.send(12, audio_ssrc=client.ssrc, video_ssrc=0, rtx_ssrc=0)
        await client.heartbeat()
        await client.identify()
        assert await client.closed() == 4005


@pytest.mark.parametrize("query", ["", "?v=4", "?v=9"])
async def test_only_version_8_is_spoken(place: Place, query: str) -> None:
    trust = ssl.create_default_context(cafile=str(place.server.ca_path))
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await place.http.ws_connect(f"wss://{place.server.endpoint}/{query}", ssl=trust)
    assert refused.value.status == 400


async def test_who_misses_heartbeats_is_closed() -> None:
    async with placed(heartbeat_ms=60) as place:
        place.expect()
        async with place.client() as client:
            await client.connect()
            assert await client.closed() == 4009
        assert await place.told() == (GUILD, BOT, 4009)
        assert place.server.connected == []


async def test_a_client_that_leaves_is_told_of(place: Place) -> None:
    place.expect()
    async with place.client() as client:
        await client.connect()
        assert place.server.connected == [(GUILD, BOT)]
    assert await place.told() == (GUILD, BOT, 1000)


async def test_a_kicked_client_is_not_heard_and_its_token_is_void(place: Place) -> None:
    place.expect()
    listener = await place.listener()
    async with place.client() as client:
        await client.connect()
        closing = asyncio.ensure_future(place.server.disconnect(GUILD, BOT))
        assert await client.closed() == 4014
        await closing
        client.play(opus(sine(440, 0.2)))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await client.discover()
    assert (await listener.report()).packets == 0
    async with place.client() as client:
        await client.receive(8)
        await client.identify()
        assert await client.closed() == 4011
    assert place.ended.empty()


async def test_a_newer_identify_replaces_the_older_connection(place: Place) -> None:
    place.expect()
    listener = await place.listener()
    tone = opus(sine(440, 0.3))
    async with place.client() as old, place.client() as new:
        await old.connect()
        old.play(tone)
        place.expect(token="another")
        await old.heartbeat()
        old.play(tone)
        assert (await listener.wait_packets(30)).packets == 30
        await new.connect(token="another")
        assert await old.closed() == 4006
        old.play(tone)
        new.play(tone)
        report = await listener.wait_packets(45)
    assert (report.packets, report.ssrc_changes, report.ssrc) == (45, 1, new.ssrc)
    assert await place.told() == (GUILD, BOT, 1000)


async def test_company_is_announced(place: Place) -> None:
    place.expect()
    place.expect(user_id=5, token="five")
    async with place.client() as first:
        await first.connect()
        async with place.client() as second:
            await second.receive(8)
            await second.identify(user_id="5", token="five")
            await second.receive(2)
            assert await second.receive(11) == {"user_ids": [str(BOT)]}
            assert await first.receive(11) == {"user_ids": ["5"]}
        assert await first.receive(13) == {"user_id": "5"}


# Resuming


async def cut(client: VoiceClient) -> None:
    """Lose the TCP connection without a close frame."""
    connection = client.ws._conn
    assert connection is not None
    assert connection.transport is not None
    connection.transport.abort()


async def resume(client: VoiceClient, seq_ack: int, token: str = "token") -> None:
    await client.receive(8)
    await client.send(7, server_id=str(GUILD), session_id="session", token=token, seq_ack=seq_ack)


async def test_music_goes_on_without_its_socket_and_the_session_resumes(place: Place) -> None:
    place.expect()
    listener = await place.listener()
    tone = opus(sine(440, 0.4))
    async with place.client() as client, place.client() as again:
        await client.connect()
        client.play(tone[:10])
        await cut(client)
        client.play(tone[10:])
        await listener.hears(440)
        await resume(again, client.seq_ack)
        assert await again.receive(9) is None
        again.seq_ack = client.seq_ack
        await again.heartbeat()
        report = await listener.report()
        assert (report.packets, report.lost, report.ssrc_changes) == (20, 0, 0)
    assert await place.told() == (GUILD, BOT, 1000)


async def test_missed_messages_come_again(place: Place) -> None:
    place.expect()
    async with place.client() as client, place.client() as again:
        await client.connect()
        await cut(client)
        await resume(again, -1)
        await again.receive(9)
        assert (await again.receive(2))["ssrc"] == client.ssrc
        assert (await again.receive(4))["dave_protocol_version"] == 0
        assert again.seq_ack == client.seq_ack == 2


@pytest.mark.parametrize(("seq_ack", "token", "code"), [(77, "token", 4006), (2, "wrong", 4004)])
async def test_a_wrong_resume_is_closed(place: Place, seq_ack: int, token: str, code: int) -> None:
    place.expect()
    async with place.client() as client, place.client() as again:
        await client.connect()
        await resume(again, seq_ack, token)
        assert await again.closed() == code
        await client.heartbeat()


async def test_after_a_crash_of_the_server_the_client_resumes(place: Place) -> None:
    place.expect()
    async with place.client() as client, place.client() as again:
        await client.connect()
        closing = asyncio.ensure_future(place.server.disconnect(GUILD, BOT, 4015))
        assert await client.closed() == 4015
        await closing
        await resume(again, client.seq_ack)
        await again.receive(9)
    assert await place.told() == (GUILD, BOT, 1000)


async def test_who_does_not_resume_in_time_is_gone() -> None:
    async with placed(resume_window=0.05) as place:
        place.expect()
        async with place.client() as client:
            await client.connect()
            await cut(client)
            assert await place.told() == (GUILD, BOT, 1006)
        async with place.client() as again:
            await resume(again, client.seq_ack)
            assert await again.closed() == 4006


async def test_closing_the_server_closes_its_clients() -> None:
    async with placed() as place:
        place.expect()
        async with place.client() as client:
            await client.connect()
            closing = asyncio.ensure_future(place.server.close())
            assert await client.closed() == 1001
            await closing
        assert place.ended.empty()
    assert not place.server.ca_path.exists()

"""The gateway of the twin's voice server: who is let in, what is refused, and who is told that somebody left."""

import asyncio
import ssl

import aiohttp
import pytest

from tests.support.twin.voice import AES_GCM, BOT, GUILD, XCHACHA, Place, opus, placed, sine


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

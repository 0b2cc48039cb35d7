"""Connections to the twin's voice server that break, and sessions that are resumed or are not."""

import asyncio

import pytest

from tests.support.twin.voice import BOT, GUILD, Place, VoiceClient, opus, placed, sine


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

"""What the twin's voice server hears of a client's packets, and what its listener tells of it."""

import asyncio
import struct
import time
import wave
from pathlib import Path

import numpy as np
import pytest

from playground.twin.voice.listener import NotHeard
from tests.support.twin.voice import AES_GCM, BOT, GUILD, SILENCE, WAIT, XCHACHA, Place, opus, sine


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

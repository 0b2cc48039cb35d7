"""Each tone is noted once, whatever happens to it on the way."""

from collections.abc import Callable, Iterable

import numpy as np
import pytest

from playground.twin.voice.rtp import SILENCE_FRAME
from playground.twin.voice.tones import ToneTracker

Wave = np.ndarray
Encode = Callable[[Wave], list[bytes]]
Sine = Callable[..., Wave]
MS = 1_000_000


class Ear:
    """Feeds a tracker a packet every 20 ms."""

    def __init__(self) -> None:
        self.tracker = ToneTracker()
        self.order = 0
        self.now = 0

    def hear(self, payloads: Iterable[bytes]) -> None:
        for payload in payloads:
            self.order += 1
            self.now += 20 * MS
            self.tracker.add(1, self.order, self.now, payload)

    @property
    def heard(self) -> list[int]:
        return [round(start.frequency) for start in self.tracker.starts]


def test_tones_in_a_row_are_noted_when_they_began(encode: Encode, sine: Sine) -> None:
    ear = Ear()
    ear.hear(encode(np.concatenate([sine(440), sine(460), sine(440)])))
    assert ear.heard == [440, 460, 440]
    for start, began_ms in zip(ear.tracker.starts, (20, 1_020, 2_020), strict=True):
        assert start.started_ns / MS == pytest.approx(began_ms, abs=60)


def test_a_pause_starts_nothing(encode: Encode, sine: Sine) -> None:
    ear = Ear()
    ear.hear([*encode(sine(440)), *[SILENCE_FRAME] * 5])
    ear.now += 3_000 * MS
    ear.hear(encode(sine(440)))
    assert ear.heard == [440]


def test_after_a_pause_the_first_packet_is_the_start(encode: Encode, sine: Sine) -> None:
    ear = Ear()
    ear.hear([*encode(sine(440)), *[SILENCE_FRAME] * 5])
    ear.now += 3_000 * MS
    began = ear.now + 20 * MS
    ear.hear(encode(sine(500)))
    assert [start.started_ns for start in ear.tracker.starts][1:] == [began]


@pytest.mark.parametrize("gone", [1, 3, 7])
def test_lost_packets_start_nothing(gone: int, encode: Encode, sine: Sine) -> None:
    ear = Ear()
    payloads = encode(sine(440, 2))
    ear.hear(payloads[:50])
    ear.order += gone
    ear.hear(payloads[50 + gone :])
    assert ear.heard == [440]


@pytest.mark.parametrize("phase", [0.5, 1.6, 3.14, 4.5])
def test_a_seek_within_a_tone_starts_nothing(phase: float, encode: Encode, sine: Sine) -> None:
    ear = Ear()
    ear.hear(encode(np.concatenate([sine(440), sine(440, phase=phase)])))
    assert ear.heard == [440]


def test_a_glide_starts_once(encode: Encode) -> None:
    time = np.arange(3 * 48_000) / 48_000
    ear = Ear()
    ear.hear(encode(0.2 * np.sin(2 * np.pi * (400 * time + 25 * time**2))))
    assert len(ear.heard) == 1


def test_another_connection_goes_on_with_the_tone(encode: Encode, sine: Sine) -> None:
    ear = Ear()
    ear.hear(encode(sine(440)))
    for order, payload in enumerate(encode(sine(440))):
        ear.tracker.add(2, order, ear.now + order * 20 * MS, payload)
    assert ear.heard == [440]

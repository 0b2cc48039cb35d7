"""An ear with known errors: frequency, level, and what Opus leaves of them."""

import io
import wave
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from playground.twin.voice import analysis

Wave = np.ndarray


@given(
    frequency=st.floats(60, 11_900),
    level=st.floats(-45, -3.1),
    phase=st.floats(0, 6.28),
    samples=st.integers(4_800, 14_400),
)
def test_a_tone_is_found_within_one_hertz(frequency: float, level: float, phase: float, samples: int) -> None:
    time = np.arange(samples) / 48_000
    tone = 10 ** (level / 20) * np.sqrt(2) * np.sin(2 * np.pi * frequency * time + phase)
    assert analysis.dominant_frequency(tone) == pytest.approx(frequency, abs=1)


def test_the_louder_of_two_tones_dominates(sine: Callable[..., Wave]) -> None:
    both = sine(440, 0.2, level=-20) + sine(660, 0.2, level=-23)
    assert analysis.dominant_frequency(both) == pytest.approx(440, abs=2)


@pytest.mark.parametrize("quiet", [np.zeros(9_600), np.zeros(0), np.full(9_600, 1e-3)])
def test_silence_has_no_frequency(quiet: Wave) -> None:
    assert analysis.dominant_frequency(quiet) == 0


def test_levels(sine: Callable[..., Wave]) -> None:
    assert analysis.level(np.array([1.0, -1.0])) == pytest.approx(0)
    assert analysis.level(np.sin(np.arange(48_000) / 10)) == pytest.approx(-3.01, abs=0.01)
    assert analysis.level(sine(440, level=-31)) == pytest.approx(-31, abs=0.01)
    assert analysis.level(np.zeros(10)) == analysis.level(np.zeros(0)) == analysis.FLOOR_DBFS


@pytest.mark.parametrize("frequency", [110.0, 440.0, 3_000.0, 11_000.0])
def test_opus_keeps_frequency_and_level(
    frequency: float, encode: Callable[[Wave], list[bytes]], sine: Callable[..., Wave]
) -> None:
    pcm = analysis.decode(encode(sine(frequency, 0.5, level=-20)))
    assert pcm.shape == (2, 24_000)
    assert analysis.dominant_frequency(analysis.mono(pcm)[-9_600:]) == pytest.approx(frequency, abs=1)
    assert analysis.level(pcm[:, -9_600:]) == pytest.approx(-20, abs=0.5)


def test_what_is_no_opus_is_silence(encode: Callable[[Wave], list[bytes]], sine: Callable[..., Wave]) -> None:
    tone = encode(sine(440, 0.2))
    pcm = analysis.decode([*tone, b"", b"\xff", b"\xf8\xff\xfe", *tone])
    assert pcm.shape == (2, 960 * (2 * len(tone) + 3))


def test_wav_holds_all_pieces(sine: Callable[..., Wave]) -> None:
    half = np.stack([sine(440, 0.5)] * 2).astype(np.float32)
    with wave.open(io.BytesIO(analysis.wav([half, half]))) as file:
        assert (file.getnframes(), file.getframerate(), file.getnchannels()) == (48_000, 48_000, 2)

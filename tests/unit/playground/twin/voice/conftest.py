"""What the unit tests of the twin's voice server share."""

from collections.abc import Callable

import av
import numpy as np
import numpy.typing as npt
import pytest

Wave = npt.NDArray[np.floating]
Encode = Callable[[Wave], list[bytes]]


@pytest.fixture
def encode() -> Encode:
    """Encode a mono wave at 48 kHz to Opus frames of 20 ms, in stereo."""

    def encoded(wave: Wave) -> list[bytes]:
        codec = av.CodecContext.create("libopus", "w")
        assert isinstance(codec, av.AudioCodecContext)
        codec.sample_rate, codec.layout, codec.format = 48_000, "stereo", "flt"
        codec.bit_rate = 128_000
        payloads = []
        for start in range(0, wave.size - 959, 960):
            samples = np.repeat(wave[start : start + 960], 2).astype(np.float32).reshape(1, -1)
            frame = av.AudioFrame.from_ndarray(samples, "flt", "stereo")
            frame.sample_rate, frame.pts = 48_000, start
            payloads += [bytes(packet) for packet in codec.encode(frame)]
        return payloads

    return encoded


@pytest.fixture
def sine() -> Callable[..., Wave]:
    """Make a sine of a frequency (Hz), length (s) and level (dBFS RMS)."""

    def made(frequency: float, seconds: float = 1.0, level: float = -20.0, phase: float = 0.0) -> Wave:
        time = np.arange(round(seconds * 48_000)) / 48_000
        return 10 ** (level / 20) * np.sqrt(2) * np.sin(2 * np.pi * frequency * time + phase)

    return made

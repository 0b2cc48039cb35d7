"""What the unit tests of the twin's voice server share."""

from collections.abc import Callable
from functools import partial

import numpy as np
import numpy.typing as npt
import pytest

from tests.support.twin.voice import opus

Wave = npt.NDArray[np.floating]
Encode = Callable[[Wave], list[bytes]]


@pytest.fixture
def encode() -> Encode:
    """Encode a mono wave at 48 kHz to Opus frames of 20 ms, in stereo."""
    return partial(opus, bit_rate=128_000)


@pytest.fixture
def sine() -> Callable[..., Wave]:
    """Make a sine of a frequency (Hz), length (s) and level (dBFS RMS)."""

    def made(frequency: float, seconds: float = 1.0, level: float = -20.0, phase: float = 0.0) -> Wave:
        time = np.arange(round(seconds * 48_000)) / 48_000
        return 10 ** (level / 20) * np.sqrt(2) * np.sin(2 * np.pi * frequency * time + phase)

    return made

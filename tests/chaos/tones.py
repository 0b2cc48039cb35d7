"""What is played: computed when it is wanted for the first time, and kept for the next run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from playground.library import SAMPLE_RATE, _amplitude, _faded, _write, chirp, tone

LONG = "long440"
LONG_HZ = 440.0
LONG_SECONDS = 200.0
SHORT = "brief660"
SHORT_HZ = 660.0
SHORT_SECONDS = 10.0
CHIRP = "chirp"
CHIRP_SECONDS = 150.0
LEVEL = -20.0
"""dBFS RMS."""


def make_tone(folder: Path, name: str, frequency: float, seconds: float) -> None:
    """Write a tone that is asked for by ``name``; WebM, which a node can start at any place."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.webm"
    if not path.exists():
        tone(path, frequency, seconds)


def make_marked(folder: Path, name: str, frequency: float, parts: Sequence[tuple[float, float]]) -> None:
    """Write a tone that tells its parts apart: each is so many Hz off ``frequency``, for so many seconds."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.webm"
    if path.exists():
        return
    pitch = np.concatenate([np.full(round(seconds * SAMPLE_RATE), frequency + off) for off, seconds in parts])
    wave = _amplitude(LEVEL) * np.sin(2 * np.pi * np.cumsum(pitch) / SAMPLE_RATE)
    _write(path, "webm", _faded(wave), {"title": f"{frequency:g} Hz", "artist": "Tonearm"})


def make_pair(folder: Path) -> None:
    """The long tone and the short one."""
    make_tone(folder, LONG, LONG_HZ, LONG_SECONDS)
    make_tone(folder, SHORT, SHORT_HZ, SHORT_SECONDS)


def make_chirp(folder: Path) -> None:
    """The one that tells the time."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / f"{CHIRP}.webm").exists():
        chirp(folder / f"{CHIRP}.webm", CHIRP_SECONDS)

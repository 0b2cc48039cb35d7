"""What is played: computed when it is wanted for the first time, and kept for the next run."""

from __future__ import annotations

from pathlib import Path

from playground.library import chirp, tone

LONG = "long440"
LONG_HZ = 440.0
LONG_SECONDS = 200.0
SHORT = "brief660"
SHORT_HZ = 660.0
SHORT_SECONDS = 10.0
CHIRP = "chirp"
CHIRP_SECONDS = 150.0


def make_tone(folder: Path, name: str, frequency: float, seconds: float) -> None:
    """Write a tone that is asked for by ``name``; WebM, which a node can start at any place."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.webm"
    if not path.exists():
        tone(path, frequency, seconds)


def make_pair(folder: Path) -> None:
    """The long tone and the short one."""
    make_tone(folder, LONG, LONG_HZ, LONG_SECONDS)
    make_tone(folder, SHORT, SHORT_HZ, SHORT_SECONDS)


def make_chirp(folder: Path) -> None:
    """The one that tells the time."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / f"{CHIRP}.webm").exists():
        chirp(folder / f"{CHIRP}.webm", CHIRP_SECONDS)

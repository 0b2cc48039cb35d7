"""The library says what is in it, and every format carries it."""

from pathlib import Path

import av
import numpy as np
import pytest

from playground.library import (
    ARTIST,
    chirp,
    chirp_frequency,
    chirp_seconds,
    make_library,
    tone,
)
from playground.twin.voice import analysis

FORMATS = ("mp3", "opus", "ogg", "flac", "webm")


def read(path: Path) -> tuple[np.ndarray, dict[str, str]]:
    """Return a file's samples, mixed to mono, and its tags in lower case."""
    with av.open(str(path)) as container:
        tags = dict(container.metadata) | dict(container.streams[0].metadata)
        resampler = av.AudioResampler("fltp", "stereo", 48_000)
        frames = [
            resampled.to_ndarray() for frame in container.decode(audio=0) for resampled in resampler.resample(frame)
        ]
    return np.concatenate(frames, axis=1).mean(axis=0), {key.lower(): value for key, value in tags.items()}


@pytest.mark.parametrize("fmt", FORMATS)
def test_a_tone_is_what_it_says(fmt: str, tmp_path: Path) -> None:
    wave, tags = read(tone(tmp_path / f"tone-440.{fmt}", 440, 2, level=-26))
    assert wave.size / 48_000 == pytest.approx(2, abs=0.06)
    middle = wave[24_000:72_000]
    assert analysis.dominant_frequency(middle) == pytest.approx(440, abs=0.5)
    assert analysis.level(middle) == pytest.approx(-26, abs=0.5)
    assert tags["title"] == "440 Hz"


def test_a_format_may_be_named(tmp_path: Path) -> None:
    path = tone(tmp_path / "stream", 500, 0.5, fmt="mp3")
    with av.open(str(path)) as container:
        assert container.format.name == "mp3"


@pytest.mark.parametrize(
    ("name", "frequency", "level"), [("a.wma", 440, -20), ("a.mp3", 13_000, -20), ("a.mp3", 440, -1)]
)
def test_what_cannot_be_is_refused(name: str, frequency: float, level: float, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"suffix|Hz|clip"):
        tone(tmp_path / name, frequency, 1, level=level)
    assert not (tmp_path / name).exists()


@pytest.mark.parametrize("fmt", ["opus", "mp3", "flac"])
def test_a_chirp_tells_the_time(fmt: str, tmp_path: Path) -> None:
    wave, _ = read(chirp(tmp_path / f"chirp.{fmt}", 20))
    for second in (1.0, 7.5, 18.0):
        window = wave[round((second - 0.1) * 48_000) : round((second + 0.1) * 48_000)]
        assert chirp_seconds(analysis.dominant_frequency(window)) == pytest.approx(second, abs=0.06)


def test_chirp_formulas_are_inverse() -> None:
    assert chirp_seconds(chirp_frequency(12.5)) == pytest.approx(12.5)


def test_a_chirp_ends_where_formats_do(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="12000 Hz"):
        chirp(tmp_path / "long.opus", 300)


def test_the_library(tmp_path: Path) -> None:
    pieces = make_library(tmp_path / "music")
    assert {piece.path.suffix[1:] for piece in pieces} == set(FORMATS)
    assert len({piece.frequency for piece in pieces}) == len({piece.title for piece in pieces}) == len(pieces)
    for piece in pieces:
        wave, tags = read(piece.path)
        assert (tags["title"], tags["artist"]) == (piece.title, ARTIST) == (piece.title, piece.artist)
        assert 10 <= piece.seconds <= 30
        assert wave.size / 48_000 == pytest.approx(piece.seconds, abs=0.06)
        assert np.abs(wave).max() < 0.9
        heard = [
            analysis.dominant_frequency(wave[start : start + 9_600])
            for start in range(24_000, wave.size - 96_000, 9_600)
        ]
        near = [abs(frequency - piece.frequency) < 3 for frequency in heard]
        assert np.mean(near) > 0.95


def test_the_same_call_writes_the_same_bytes(tmp_path: Path) -> None:
    for fmt in FORMATS:
        one, two = (tone(tmp_path / f"{name}.{fmt}", 440, 0.5).read_bytes() for name in "ab")
        assert one == two

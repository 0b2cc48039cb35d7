"""A small library of short music pieces of our own, and test signals.

Everything is computed: the same call writes the same bytes on every machine with the same encoders, and nobody
holds rights to it. Each piece is built upon one sustained tone, by which an ear that counts can tell it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Final, Literal, NamedTuple, get_args

import av
import numpy as np
import numpy.typing as npt

Format = Literal["mp3", "opus", "ogg", "flac", "webm"]
"""How a file is written, named by its suffix: `ogg` is Vorbis, `opus` is Opus in Ogg, `webm` is Opus too."""

SAMPLE_RATE: Final = 48_000
ARTIST: Final = "The Tonearm House Band"
CHIRP_START_HZ: Final = 400.0
CHIRP_HZ_PER_S: Final = 50.0
_HIGHEST_HZ: Final = 12_000.0
_FADE_S: Final = 0.005
_BIT_RATE: Final = 128_000

Samples = npt.NDArray[np.float32]


class Piece(NamedTuple):
    """A piece in the library; `frequency` (Hz) is the tone that dominates it, `seconds` its length."""

    title: str
    artist: str
    path: Path
    frequency: float
    seconds: float


class _Codec(NamedTuple):
    container: str
    name: str
    sample_format: str
    options: Mapping[str, str]


_CODECS: Final[Mapping[Format, _Codec]] = {
    "mp3": _Codec("mp3", "libmp3lame", "fltp", {}),
    "opus": _Codec("ogg", "libopus", "flt", {}),
    "ogg": _Codec("ogg", "vorbis", "fltp", {"strict": "experimental"}),
    "flac": _Codec("flac", "flac", "s16", {}),
    "webm": _Codec("webm", "libopus", "flt", {}),
}


# Test signals


def tone(
    path: Path,
    frequency: float,
    seconds: float = 10.0,
    fmt: Format | None = None,
    level: float = -20.0,
) -> Path:
    """Write a sine of that frequency (Hz) and level (dBFS RMS; at most -3) and return the path.

    The format is that of the suffix if none is given. Raises `ValueError` for an unknown format, a frequency
    above 12 kHz or a level above -3.
    """
    time = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    wave = _amplitude(level) * np.sin(2 * np.pi * _audible(frequency) * time)
    return _write(path, fmt, _faded(wave), {"title": f"{frequency:g} Hz", "artist": "Tonearm"})


def chirp(path: Path, seconds: float = 60.0, fmt: Format | None = None, level: float = -20.0) -> Path:
    """Write a rising tone that tells the time: `chirp_seconds` of its frequency is the place in the file.

    It rises from 400 Hz by 50 Hz/s. Raises `ValueError` if it is longer than 232 s, and as `tone` does.
    """
    _audible(chirp_frequency(seconds))
    time = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    phase = 2 * np.pi * (CHIRP_START_HZ * time + CHIRP_HZ_PER_S * time**2 / 2)
    wave = _amplitude(level) * np.sin(phase)
    return _write(path, fmt, _faded(wave), {"title": f"Chirp of {seconds:g} s", "artist": "Tonearm"})


def chirp_frequency(seconds: float) -> float:
    """Return the frequency (Hz) of a chirp at that place (s)."""
    return CHIRP_START_HZ + CHIRP_HZ_PER_S * seconds


def chirp_seconds(frequency: float) -> float:
    """Return the place (s) at which a chirp has that frequency (Hz)."""
    return (frequency - CHIRP_START_HZ) / CHIRP_HZ_PER_S


# The house band


@dataclass(frozen=True)
class _Score:
    """A piece on paper: chords of semitones above the root, broken into notes, over the root held throughout."""

    title: str
    fmt: Format
    root_hz: float
    beats_per_minute: int
    chords: tuple[tuple[int, ...], ...]
    rounds: int


_MAJOR, _MINOR = (0, 4, 7, 12), (0, 3, 7, 12)
_SCORES: Final = (
    _Score("Copper Morning", "mp3", 220.00, 100, (_MAJOR, (5, 9, 12, 17), (7, 11, 14, 19), _MAJOR), 2),
    _Score("Paper Lanterns", "opus", 293.66, 92, (_MINOR, (-4, 0, 3, 8), (3, 7, 10, 15), (-2, 2, 5, 10)), 2),
    _Score("Rain on the Ferry", "ogg", 246.94, 72, (_MINOR, (5, 8, 12, 17), _MINOR, (-5, 0, 3, 7)), 1),
    _Score("The Long Way Home", "flac", 196.00, 112, (_MAJOR, (-3, 0, 4, 9), (5, 9, 12, 17), (7, 11, 14, 19)), 2),
    _Score("Blue Kettle", "webm", 329.63, 126, ((0, 4, 7, 10), (5, 9, 12, 15), (0, 4, 7, 10), (7, 10, 14, 17)), 2),
    _Score("Small Hours", "mp3", 261.63, 66, ((0, 4, 7, 11), (-3, 0, 4, 7), (2, 5, 9, 12), (-5, -1, 2, 7)), 1),
)  # fmt: skip
_BEATS_PER_CHORD: Final = 4
_NOTES_PER_BEAT: Final = 2
_NOTE_S: Final = 0.9
_TAIL_S: Final = 1.5


def make_library(folder: Path) -> list[Piece]:
    """Write the demo's library into this folder, made if need be, and return what is in it.

    Six pieces of 12 to 30 seconds, in five formats, within about 2 seconds. Raises `OSError` if the folder can't
    be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    return [_perform(score, folder) for score in _SCORES]


def _perform(score: _Score, folder: Path) -> Piece:
    wave = _played(score)
    path = folder / f"{score.title.lower().replace(' ', '-')}.{score.fmt}"
    _write(path, score.fmt, wave, {"title": score.title, "artist": ARTIST})
    return Piece(score.title, ARTIST, path, score.root_hz, wave.shape[1] / SAMPLE_RATE)


def _played(score: _Score) -> Samples:
    """Return the piece in stereo, shape (2, n): broken chords that wander from ear to ear over a held root."""
    step = round(60 / score.beats_per_minute / _NOTES_PER_BEAT * SAMPLE_RATE)
    notes_per_chord = _BEATS_PER_CHORD * _NOTES_PER_BEAT
    chords = score.chords * score.rounds
    length = step * notes_per_chord * len(chords) + round(_TAIL_S * SAMPLE_RATE)
    stereo = np.zeros((2, length), np.float32)
    plucked: dict[int, Samples] = {}
    for number in range(notes_per_chord * len(chords)):
        chord = chords[number // notes_per_chord]
        up = number % (2 * len(chord) - 2)
        semitones = chord[up if up < len(chord) else 2 * len(chord) - 2 - up]
        if semitones not in plucked:
            plucked[semitones] = _pluck(score.root_hz * 2 ** (semitones / 12))
        right = 0.5 + 0.3 * np.sin(number * 0.7)
        begin = number * step
        note = plucked[semitones][: length - begin]
        stereo[0, begin : begin + note.size] += (1 - right) * note
        stereo[1, begin : begin + note.size] += right * note
    stereo += _held(score.root_hz, length)
    fade = np.minimum(1, np.arange(length, 0, -1) / (_TAIL_S * SAMPLE_RATE))
    return np.asarray(stereo * fade, np.float32)


def _pluck(frequency: float) -> Samples:
    """Return a note as of a string: partials that fade the sooner the higher they are."""
    time = np.arange(round(_NOTE_S * SAMPLE_RATE), dtype=np.float32) / SAMPLE_RATE
    note = np.zeros_like(time)
    for partial, strength in enumerate((1.0, 0.45, 0.2, 0.1), start=1):
        note += strength * np.exp(-(3 + 2 * partial) * time) * np.sin(2 * np.pi * partial * frequency * time)
    attack = np.minimum(1, time / 0.004)
    ending = np.minimum(1, (_NOTE_S - time) / 0.05)
    return np.asarray(0.16 * note * attack * ending, np.float32)


def _held(frequency: float, length: int) -> Samples:
    """Return the tone that the piece is built upon, swelling gently."""
    time = np.arange(length) / SAMPLE_RATE
    swell = np.minimum(1, time / 0.3) * (1 + 0.1 * np.sin(2 * np.pi * 0.2 * time))
    return np.asarray(0.2 * swell * np.sin(2 * np.pi * frequency * time), np.float32)


# Files


def _audible(frequency: float) -> float:
    if not 0 < frequency <= _HIGHEST_HZ:
        raise ValueError(f"{frequency:g} Hz is not between 0 and {_HIGHEST_HZ:g} Hz, which every format carries.")
    return frequency


def _amplitude(level: float) -> float:
    if level > -3:
        raise ValueError(f"A sine of {level:g} dBFS RMS would clip; -3 is the most.")
    return float(10 ** (level / 20) * np.sqrt(2))


def _faded(wave: npt.NDArray[np.floating]) -> Samples:
    """Return it in stereo, without a click at either end."""
    edge = np.minimum(1, np.arange(wave.size) / (_FADE_S * SAMPLE_RATE))
    faded = (wave * edge * edge[::-1]).astype(np.float32)
    return np.stack([faded, faded])


def _write(path: Path, fmt: Format | None, stereo: Samples, tags: Mapping[str, str]) -> Path:
    codec = _CODECS[fmt or _by_suffix(path)]
    with av.open(str(path), "w", format=codec.container, container_options={"fflags": "bitexact"}) as container:
        container.metadata.update(tags)
        stream = container.add_stream(codec.name, rate=SAMPLE_RATE, options=dict(codec.options))
        assert isinstance(stream, av.AudioStream)
        stream.layout = "stereo"
        stream.format = codec.sample_format
        stream.bit_rate = _BIT_RATE
        stream.codec_context.flags |= av.codec.context.Flags.bitexact
        frame = av.AudioFrame.from_ndarray(_laid_out(stereo, codec.sample_format), codec.sample_format, "stereo")
        frame.sample_rate = SAMPLE_RATE
        frame.pts = 0
        frame.time_base = Fraction(1, SAMPLE_RATE)
        for packet in (*stream.encode(frame), *stream.encode(None)):
            container.mux(packet)
    return path


def _laid_out(stereo: Samples, sample_format: str) -> npt.NDArray[np.float32] | npt.NDArray[np.int16]:
    """Return the samples as the encoder wants them: planar, or both channels by turns."""
    if sample_format == "fltp":
        return np.ascontiguousarray(stereo)
    packed = stereo.T.reshape(1, -1)
    if sample_format == "s16":
        return np.asarray(np.round(np.clip(packed, -1, 1) * 32767), np.int16)
    return np.ascontiguousarray(packed)


def _by_suffix(path: Path) -> Format:
    for fmt in get_args(Format):
        if path.suffix == f".{fmt}":
            known: Format = fmt
            return known
    raise ValueError(f"{path.name} has none of the suffixes {', '.join(get_args(Format))}.")

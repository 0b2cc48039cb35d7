"""Sound made for tests, and what was heard of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import av
import numpy as np

RATE = 48_000
CODECS = {
    ".opus": ("ogg", "libopus"),
    ".webm": ("webm", "libopus"),
    ".mp3": ("mp3", "libmp3lame"),
    ".flac": ("flac", "flac"),
}


def write_tone(path: Path, parts: Sequence[tuple[int, float]], **tags: str) -> Path:
    """Write parts of (frequency in Hz, seconds) one after the other, in the format that the suffix tells."""
    samples = np.concatenate(
        [np.sin(2 * np.pi * hertz * np.arange(int(seconds * RATE)) / RATE) for hertz, seconds in parts]
    )
    stereo = np.repeat((samples * 8000).astype(np.int16), 2).reshape(1, -1)
    container, codec = CODECS[path.suffix]
    with av.open(str(path), "w", format=container) as out:
        out.metadata.update(tags)
        stream = out.add_stream(codec, rate=RATE)
        stream.layout = "stereo"
        frame = av.AudioFrame.from_ndarray(stereo, format="s16", layout="stereo")
        frame.sample_rate = RATE
        frame.pts = 0
        for packet in stream.encode(frame):
            out.mux(packet)
        for packet in stream.encode(None):
            out.mux(packet)
    return path


def decode(frames: Iterable[bytes]) -> np.ndarray:
    """Opus frames of 20 ms as mono samples from -1 to 1."""
    context = av.CodecContext.create("libopus", "r")
    context.sample_rate = RATE
    context.layout = "stereo"
    decoded = [
        piece.to_ndarray().reshape(-1, 2).mean(axis=1) for frame in frames for piece in context.decode(av.Packet(frame))
    ]
    samples = np.concatenate(decoded)
    return samples / 32768 if np.abs(samples).max() > 2 else samples


def loudness(frames: Sequence[bytes]) -> float:
    """Root mean square of the later half, when filters have settled."""
    samples = decode(frames)
    samples = samples[len(samples) // 2 :]
    return float(np.sqrt(np.mean(samples**2)))


def pitch(frames: Sequence[bytes]) -> float:
    """The loudest frequency in Hz."""
    samples = decode(frames)
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(np.fft.rfftfreq(len(samples), 1 / RATE)[spectrum.argmax()])

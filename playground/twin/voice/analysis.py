"""What a few Opus frames sound like: decoded, how loud, which frequency."""

import io
import math
import wave
from collections.abc import Iterable, Sequence
from typing import Final

import av
import numpy as np
import numpy.typing as npt

from playground.twin.voice.rtp import FRAME_SAMPLES, SAMPLE_RATE

Pcm = npt.NDArray[np.float32]
"""Samples between -1 and 1 at 48 kHz: (2, n) for stereo."""

FLOOR_DBFS: Final = -120.0
"""What counts as no sound at all, and stands for minus infinity."""
SILENT_DBFS: Final = -50.0
_LOWEST_HZ: Final = 30.0


class Decoder:
    """An Opus decoder; it keeps its state from frame to frame, so each stream needs one of its own."""

    def __init__(self) -> None:
        self._codec = av.CodecContext.create("opus", "r")
        self._codec.sample_rate = SAMPLE_RATE
        self._codec.layout = "stereo"

    def decode(self, payload: bytes) -> Pcm:
        """Return the frame's samples, shape (2, n); 20 ms of silence for what is no Opus."""
        try:
            frames = self._codec.decode(av.Packet(payload)) if payload else []
        except (av.error.FFmpegError, ValueError):
            frames = []
        if not frames:
            return np.zeros((2, FRAME_SAMPLES), np.float32)
        return np.concatenate([_planar(frame) for frame in frames], axis=1)


def _planar(frame: "av.AudioFrame") -> Pcm:
    samples: Pcm = frame.to_ndarray().astype(np.float32, copy=False)
    return samples if samples.shape[0] == 2 else np.repeat(samples, 2, axis=0)


def decode(payloads: Iterable[bytes]) -> Pcm:
    """Decode consecutive frames from a fresh decoder. The first few are blurred: it has nothing to go on from."""
    decoder = Decoder()
    decoded = [decoder.decode(payload) for payload in payloads]
    return np.concatenate(decoded, axis=1) if decoded else np.zeros((2, 0), np.float32)


def level(pcm: npt.NDArray[np.floating]) -> float:
    """Return the RMS level in dBFS: 0 for a full-scale square wave, -3.01 for a full-scale sine."""
    if pcm.size == 0:
        return FLOOR_DBFS
    rms = math.sqrt(float(np.mean(np.square(pcm, dtype=np.float64))))
    return max(FLOOR_DBFS, 20 * math.log10(rms)) if rms > 0 else FLOOR_DBFS


def dominant_frequency(mono: npt.NDArray[np.floating], rate: int = SAMPLE_RATE) -> float:
    """Return the frequency in Hz with the most energy; 0.0 for silence, or fewer than 20 ms.

    The peak of a Hann-windowed spectrum, refined by a parabola through the logarithms of its neighbours: better
    than 1 Hz for a tone of 100 ms or longer.
    """
    if mono.size < rate // 50 or level(mono) <= SILENT_DBFS:
        return 0.0
    size = 1 << (2 * mono.size - 1).bit_length()
    spectrum = np.abs(np.fft.rfft(mono * np.hanning(mono.size), size))
    lowest = max(1, math.ceil(_LOWEST_HZ * size / rate))
    peak = lowest + int(np.argmax(spectrum[lowest:-1]))
    before, at, after = np.log(np.maximum(spectrum[peak - 1 : peak + 2], 1e-12))
    curve = float(before - 2 * at + after)
    offset = 0.5 * float(before - after) / curve if curve < 0 else 0.0
    return (peak + offset) * rate / size


def mono(pcm: Pcm) -> Pcm:
    """Mix both channels."""
    mixed: Pcm = pcm.mean(axis=0)
    return mixed


def wav(pieces: Sequence[Pcm]) -> bytes:
    """Return a 16-bit stereo WAV file of these pieces, one after the other."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        for piece in pieces:
            file.writeframes((np.clip(piece, -1, 1).T * 32767).astype("<i2").tobytes())
    return buffer.getvalue()

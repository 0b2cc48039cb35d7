"""What the audio node is told at its start: command line first, then `TONEARM_AUDIO_NODE_*`, then defaults."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ENV_PREFIX = "TONEARM_AUDIO_NODE_"


@dataclass(frozen=True, slots=True)
class Options:
    """Settings of one audio node. `port` 0 lets the system choose; `frame_buffer_ms` is lavaplayer's buffer.

    `stats_seconds` is how often clients are told figures, and of how long the frames in them are: Lavalink's minute.
    """

    port: int = 0
    host: str = "127.0.0.1"
    password: str = "youshallnotpass"  # noqa: S105 - Lavalink's own well-known default
    library: Path | None = None
    voice_ca: Path | None = None
    frame_buffer_ms: int = 400
    stats_seconds: float = 60.0
    name: str = "audio-node"


def parse(arguments: Sequence[str] | None = None, environ: Mapping[str, str] = os.environ) -> Options:
    """Read the options; raises SystemExit with a usage message where one can't be understood."""

    def default(name: str, fallback: str) -> str:
        return environ.get(ENV_PREFIX + name, "") or fallback

    parser = argparse.ArgumentParser(prog="python -m playground.audio_node", description=__doc__)
    parser.add_argument("--port", type=int, default=default("PORT", "0"), help="0: a free one")
    parser.add_argument("--host", default=default("HOST", "127.0.0.1"))
    parser.add_argument("--password", default=default("PASSWORD", "youshallnotpass"))
    parser.add_argument("--library", type=Path, default=default("LIBRARY", "") or None, help="folder to search in")
    parser.add_argument(
        "--voice-ca",
        type=Path,
        default=default("VOICE_CA", "") or None,
        help="PEM file of a private CA that voice servers may be certified by",
    )
    parser.add_argument(
        "--frame-buffer-ms",
        type=int,
        default=default("FRAME_BUFFER_MS", "400"),
        help="audio decoded ahead: less makes skips and filters heard sooner, more survives a busy machine",
    )
    parser.add_argument(
        "--stats-seconds",
        type=float,
        default=default("STATS_SECONDS", "60"),
        help="how often clients are told figures; Lavalink does so each minute",
    )
    parser.add_argument("--name", default=default("NAME", "audio-node"), help="how it calls itself in its log")
    given = parser.parse_args(arguments)
    for path in (given.library, given.voice_ca):
        if path is not None and not path.exists():
            parser.error(f"{path} does not exist")
    if given.frame_buffer_ms < 40:
        parser.error("--frame-buffer-ms must be at least 40 (two frames)")
    if given.stats_seconds < 1:
        parser.error("--stats-seconds must be at least 1")
    return Options(
        port=given.port,
        host=given.host,
        password=given.password,
        library=given.library,
        voice_ca=given.voice_ca,
        frame_buffer_ms=given.frame_buffer_ms,
        stats_seconds=given.stats_seconds,
        name=given.name,
    )

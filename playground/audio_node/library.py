"""Search over a folder of music: what stands in for the search engines that a real Lavalink would ask.

A track is found when every word of the query is in its title, its artist or its file's path. Files are looked at
once, and again when their size or time changes.
"""

from __future__ import annotations

import re
import threading
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

from playground.audio_node import tracks

SUFFIXES = frozenset({".mp3", ".ogg", ".opus", ".webm", ".mka", ".flac", ".wav", ".m4a", ".mp4"})
MAX_RESULTS = 20

_WORD = re.compile(r"\w+")


def words(text: str) -> list[str]:
    """The words of a text without case or accents: "Señor_Café.mp3" has senor, cafe, mp3."""
    plain = unicodedata.normalize("NFKD", text.casefold())
    plain = "".join(character for character in plain if not unicodedata.combining(character))
    return _WORD.findall(plain.replace("_", " "))


def rank(query: list[str], title: str, artist: str, path: str) -> int | None:
    """How badly a track fits: 0 all words in its title, 1 with its artist, 2 with its path, None not at all.

    A query word fits a word that it begins: "nev gon" finds "Never Gonna".
    """
    known: list[str] = []
    for level, text in enumerate((title, artist, path)):
        known += words(text)
        if query and all(any(word.startswith(part) for word in known) for part in query):
            return level
    return None


def playlist_entries(identifier: str) -> list[Path] | None:
    """The files of a folder or of a local .m3u list, in order; None when the identifier is neither."""
    if "://" in identifier or not identifier:
        return None
    path = Path(identifier)
    try:
        if path.is_dir():
            return music_files(path, recursive=False)
        if path.suffix.lower() in {".m3u", ".m3u8"} and path.is_file():
            lines = path.read_text("utf-8", errors="replace").splitlines()
            entries = [line.strip() for line in lines]
            return [path.parent / entry for entry in entries if entry and not entry.startswith("#")]
    except (OSError, ValueError):
        return None
    return None


def music_files(folder: Path, *, recursive: bool = True) -> list[Path]:
    """Files of a folder that look like music, sorted by path."""
    found = folder.rglob("*") if recursive else folder.glob("*")
    return sorted(path for path in found if path.suffix.lower() in SUFFIXES and path.is_file())


class Library:
    """The searchable tracks of a folder. Blocks on the disk; safe to use from several threads."""

    def __init__(self, folder: Path, load: Callable[[str], Any]) -> None:
        self._folder = folder
        self._load = load
        self._lock = threading.Lock()
        self._known: dict[Path, tuple[tuple[int, int], Any | None]] = {}

    def search(self, query: str) -> list[Any]:
        """Tracks that fit, best first, at most MAX_RESULTS."""
        wanted = words(query)
        ranked: list[tuple[int, str, Any]] = []
        for path, track in self._tracks():
            info = track.getInfo()
            relative = str(path.relative_to(self._folder))
            level = rank(wanted, tracks.text(info.title) or "", tracks.text(info.author) or "", relative)
            if level is not None:
                ranked.append((level, relative, track))
        ranked.sort(key=lambda entry: entry[:2])
        return [track.makeClone() for _level, _path, track in ranked[:MAX_RESULTS]]

    def _tracks(self) -> list[tuple[Path, Any]]:
        with self._lock:
            present: dict[Path, tuple[tuple[int, int], Any | None]] = {}
            for path in music_files(self._folder):
                try:
                    status = path.stat()
                except OSError:
                    continue
                mark = (status.st_mtime_ns, status.st_size)
                known = self._known.get(path)
                present[path] = known if known is not None and known[0] == mark else (mark, self._probe(path))
            self._known = present
            return [(path, track) for path, (_mark, track) in present.items() if track is not None]

    def _probe(self, path: Path) -> Any | None:
        try:
            found = self._load(str(path))
        except tracks.LookupFailed:
            return None
        return None if isinstance(found, tracks.Playlist) else found

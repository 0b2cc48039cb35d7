"""lavaplayer, as the rest of the node sees it: look tracks up, encode and decode them, make players.

Everything of the JVM stays behind this module and `tracks`. https://github.com/lavalink-devs/lavaplayer
"""

from __future__ import annotations

import base64
import binascii
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import jpype

from playground.audio_node import jvm, tracks
from playground.audio_node.filters import BANDS, Filters
from playground.audio_node.library import Library, playlist_entries

PACKAGE = "com.sedmelluq.discord.lavaplayer."
SEARCH_PREFIXES = ("ytsearch:", "ytmsearch:", "scsearch:", "search:", "local:")
FOREVER_MS = 10 * 365 * 24 * 3600 * 1000
MAX_FRAME = 4096
"""Bytes; an Opus frame of 20 ms is at most 1,275."""

log = logging.getLogger(__name__)

EVENTS = frozenset({"TrackStartEvent", "TrackEndEvent", "TrackExceptionEvent", "TrackStuckEvent"})

Listener = Callable[[str, dict[str, Any]], None]
"""Called in a thread of the JVM's choosing with an event's type and its fields as JSON."""


class Engine:
    """One lavaplayer manager. Look-ups block (disk, network) and belong into a thread; the rest is quick."""

    def __init__(self, frame_buffer_ms: int, library: Path | None) -> None:
        jvm.start()
        self.jvm_version = jvm.version()
        self._classes = {
            name: jpype.JClass(PACKAGE + name)
            for name in (
                "track.AudioTrack",
                "track.AudioPlaylist",
                "track.AudioReference",
                "track.TrackMarker",
                "tools.io.MessageInput",
                "tools.io.MessageOutput",
                "filter.equalizer.EqualizerFactory",
                "track.playback.MutableAudioFrame",
            )
        }
        local = jpype.JClass(PACKAGE + "source.local.LocalAudioSourceManager")()
        http = jpype.JClass(PACKAGE + "source.http.HttpAudioSourceManager")()
        self._manager = jpype.JClass(PACKAGE + "player.DefaultAudioPlayerManager")()
        self._manager.registerSourceManager(local)
        self._manager.registerSourceManager(http)
        self._manager.setFrameBufferDuration(frame_buffer_ms)
        self._manager.setUseSeekGhosting(True)
        # A paused player is not asked for frames; it must not be taken for forgotten.
        self._manager.setPlayerCleanupThreshold(FOREVER_MS)
        configuration = self._manager.getConfiguration()
        configuration.setFilterHotSwapEnabled(True)
        configuration.setOutputFormat(jpype.JClass(PACKAGE + "format.StandardAudioDataFormats").DISCORD_OPUS)
        self.source_names = [str(source.getSourceName()) for source in (local, http)]
        self._library = Library(library, self._load_one) if library is not None else None
        self._runtime = jpype.java.lang.Runtime.getRuntime()
        self._base64 = jpype.java.util.Base64.getEncoder()

    # Looking up

    def load(self, identifier: str) -> Any | tracks.Playlist | None:
        """A track, several, or None for nothing found. Blocks. Raises tracks.LookupFailed.

        An identifier is a path, a file: or http(s): address, a folder or .m3u file (a playlist), or a search
        prefix followed by words to look for in the library.
        """
        for prefix in SEARCH_PREFIXES:
            if identifier.startswith(prefix):
                found = self._library.search(identifier.removeprefix(prefix)) if self._library else []
                return tracks.Playlist(f"Search results for: {identifier}", found, search=True) if found else None
        if identifier.startswith("file:"):
            identifier = unquote(urlsplit(identifier).path)
        entries = playlist_entries(identifier)
        if entries is not None:
            loaded = [track for entry in entries if (track := self._load_quietly(str(entry))) is not None]
            return tracks.Playlist(Path(identifier).stem, loaded) if loaded else None
        return self._load_one(identifier)

    def _load_one(self, identifier: str) -> Any | tracks.Playlist | None:
        if not identifier:
            return None
        try:
            item = self._manager.loadItemSync(self._classes["track.AudioReference"](identifier, None))
        except jpype.JException as error:
            raise tracks.LookupFailed(str(error.stacktrace())) from None
        if isinstance(item, self._classes["track.AudioTrack"]):
            return item
        if isinstance(item, self._classes["track.AudioPlaylist"]):
            return tracks.Playlist(str(item.getName()), list(item.getTracks()), bool(item.isSearchResult()))
        return None

    def _load_quietly(self, identifier: str) -> Any | None:
        try:
            return self._load_one(identifier)
        except tracks.LookupFailed:
            return None

    # Encoding

    def encode(self, track: Any) -> str:
        """The track as the string that Lavalink would give for it, its position included."""
        out = jpype.java.io.ByteArrayOutputStream()
        self._manager.encodeTrack(self._classes["tools.io.MessageOutput"](out), track)
        return str(self._base64.encodeToString(out.toByteArray()))

    def decode(self, encoded: str) -> Any:
        """The track of an encoded string. Raises tracks.DecodeFailed."""
        try:
            raw = base64.b64decode(encoded, validate=True)
            stream = jpype.java.io.ByteArrayInputStream(jpype.JArray(jpype.JByte)(raw))
            holder = self._manager.decodeTrack(self._classes["tools.io.MessageInput"](stream))
        except (binascii.Error, ValueError) as error:
            raise tracks.DecodeFailed(str(error)) from error
        except jpype.JException as error:
            raise tracks.DecodeFailed(str(error.toString())) from None
        track = None if holder is None else holder.decodedTrack
        if track is None:
            raise tracks.DecodeFailed("no known source plays it")
        return track

    def track_json(self, track: Any) -> dict[str, Any]:
        """Lavalink's track object, with the client's own `userData` in it."""
        return {
            "encoded": self.encode(track),
            "info": tracks.info_json(track),
            "pluginInfo": {"probeInfo": _probe(track)},
            "userData": tracks.user_data(track),
        }

    # Playing

    def create_player(self, listener: Listener) -> Any:
        """A lavaplayer player whose events go to `listener`."""
        player = self._manager.createPlayer()

        def on_event(event: Any) -> None:
            kind = str(event.getClass().getSimpleName())
            if kind not in EVENTS:
                return
            try:
                listener(kind, self._event_fields(kind, event))
            except Exception:  # an error must not travel into the JVM's thread
                log.exception("could not pass on a %s", kind)

        player.addListener(jpype.JProxy(PACKAGE + "player.event.AudioEventListener", dict={"onEvent": on_event}))
        return player

    def _event_fields(self, kind: str, event: Any) -> dict[str, Any]:
        fields: dict[str, Any] = {"track": self.track_json(event.track)}
        if kind == "TrackEndEvent":
            first, *rest = str(event.endReason.name()).lower().split("_")
            fields["reason"] = first + "".join(word.capitalize() for word in rest)
        elif kind == "TrackExceptionEvent":
            fields["exception"] = tracks.exception_json(event.exception)
        elif kind == "TrackStuckEvent":
            fields["thresholdMs"] = int(event.thresholdMs)
        return fields

    def frame(self) -> tuple[Any, memoryview]:
        """A frame to be filled again and again, and the bytes it is filled into (its length is in the frame)."""
        buffer = jpype.java.nio.ByteBuffer.allocateDirect(MAX_FRAME)
        frame = self._classes["track.playback.MutableAudioFrame"]()
        frame.setBuffer(buffer)
        return frame, memoryview(buffer).cast("B")

    def marker(self, position_ms: int, reached: Callable[[], None]) -> Any:
        """A marker for a track; `reached` is called, in a thread of the JVM, when it is played or sought past."""

        def handle(state: Any) -> None:
            if str(state.name()) in {"REACHED", "BYPASSED", "LATE"}:
                reached()

        handler = jpype.JProxy(PACKAGE + "track.TrackMarkerHandler", dict={"handle": handle})
        return self._classes["track.TrackMarker"](position_ms, handler)

    def equalizer(self, filters: Filters) -> Any | None:
        """lavaplayer's equaliser with these gains, None where nothing is to be equalised."""
        if not filters.equalizes:
            return None
        factory = self._classes["filter.equalizer.EqualizerFactory"]()
        for band in range(BANDS):
            factory.setGain(band, filters.gains.get(band, 0.0))
        return factory

    def memory(self) -> dict[str, int]:
        """The JVM's heap in bytes, as the `memory` object of the stats."""
        free, total = int(self._runtime.freeMemory()), int(self._runtime.totalMemory())
        return {
            "free": free,
            "used": total - free,
            "allocated": total,
            "reservable": int(self._runtime.maxMemory()),
        }

    def close(self) -> None:
        """Stop the manager's threads. The JVM itself goes with the process."""
        self._manager.shutdown()


def _probe(track: Any) -> str:
    container = track.getContainerTrackFactory()
    parameters = container.parameters
    return str(container.probe.getName()) + (f"|{parameters}" if parameters else "")

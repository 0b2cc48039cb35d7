"""The player of a guild and its queue, as the voice node last wrote them down."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from interactions.api.operation import Call, Page, Reply, operation
from interactions.api.paging import decode_number, encode_cursor, next_link
from tonearm.music.track import Track


class TrackView(msgspec.Struct, frozen=True):
    """Something that can be played. ``length_ms`` is 0 for a stream."""

    title: str
    author: str
    length_ms: int
    uri: str | None
    artwork: str | None
    source: str
    is_stream: bool


class PlayingView(msgspec.Struct, frozen=True):
    """The track that plays: ``play_id`` names this start of it, ``position_ms`` was true at ``at`` of the player."""

    play_id: str
    track: TrackView
    requested_by: str
    position_ms: int


class PlayerView(msgspec.Struct, frozen=True):
    """A guild's player ``at`` a moment."""

    guild_id: str
    voice_channel_id: str | None
    text_channel_id: str | None
    playing: PlayingView | None
    paused: bool
    volume: int
    queue_length: int
    at: datetime


class EntryView(msgspec.Struct, frozen=True):
    """A track that waits; ``position`` 1 is the next one."""

    id: str
    position: int
    track: TrackView
    requested_by: str


class QueueView(msgspec.Struct, frozen=True):
    """A page of the queue, of ``length`` tracks in all."""

    data: list[EntryView]
    length: int
    next_cursor: str | None


@operation("GET", "/guilds/{guild_id}/player", scope="music:read", answer=PlayerView)
async def get_player(call: Call) -> Reply:
    """What the guild's player does."""
    seen = await call.parts.memory.fetch_queue(call.guild)
    player = seen.player
    playing = None
    if player.playing is not None:
        entry = player.playing.entry
        playing = PlayingView(
            player.playing.play, track_view(entry.track), str(entry.user), player.position_ms(seen.now_ms)
        )
    at = datetime.fromtimestamp(seen.now_ms / 1000, UTC)
    channels = _id(player.voice_channel), _id(player.text_channel)
    return Reply(PlayerView(str(call.guild), *channels, playing, player.paused, player.volume, seen.length, at))


@operation("GET", "/guilds/{guild_id}/queue", scope="music:read", query=Page, answer=QueueView)
async def get_queue(call: Call) -> Reply:
    """What waits, in its order. The cursor is a place: what is skipped meanwhile moves the rest towards the front."""
    page: Page = call.query
    first = decode_number(page.cursor) or 0
    seen = await call.parts.memory.fetch_queue(call.guild, first=first, most=page.limit)
    after = first + len(seen.entries)
    cursor = encode_cursor(after) if seen.entries and after < seen.length else None
    data = [
        EntryView(entry.id, first + n, track_view(entry.track), str(entry.user))
        for n, entry in enumerate(seen.entries, 1)
    ]
    return Reply(QueueView(data, seen.length, cursor), headers=next_link(f"/guilds/{call.guild}/queue", page, cursor))


def track_view(track: Track) -> TrackView:
    """A track, without what only Lavalink reads."""
    return TrackView(
        track.title, track.author, track.length_ms, track.uri, track.artwork, track.source, track.is_stream
    )


def _id(number: int | None) -> str | None:
    return str(number) if number else None

"""The file of an export: JSON, with a version of its own, so that what is inside of Tonearm may change.

Everything of it is checked when it comes back, what is not restored too: an unknown field, another version or a value
out of its bounds makes the whole of it invalid. Ids of Discord's are text, as in the API.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated, Literal

import msgspec

from tonearm.errors import InvalidDocument
from tonearm.music.guild_settings import MOST_SECONDS, GuildSettings
from tonearm.music.player import MAX_QUEUE, MAX_VOLUME, Player
from tonearm.music.track import Entry, Track
from tonearm.premium.grants import Event, Grant, Source
from tonearm.premium.plans import PlanId
from tonearm.premium.states import Kind, State
from tonearm.redis.guilds import KEPT_HISTORY, KEPT_LOG, LogEntry

VERSION = 1

MOST_BYTES = 16 * 1024 * 1024
"""A file may have so many: more than a full queue of long titles needs."""

MOST_EVENTS = 10_000

Id = Annotated[str, msgspec.Meta(pattern="^(0|[1-9][0-9]{0,18})$")]
Text = Annotated[str, msgspec.Meta(max_length=4_000)]
Word = Annotated[str, msgspec.Meta(max_length=300)]
Count = Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)]
Seconds = Annotated[int, msgspec.Meta(ge=0, le=MOST_SECONDS)]
Volume = Annotated[int, msgspec.Meta(ge=0, le=MAX_VOLUME)]
Moment = Annotated[datetime, msgspec.Meta(tz=True)]


class _Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pass


class SettingsPart(_Part, frozen=True):
    """What the guild has set."""

    default_volume: Volume
    alone_seconds: Seconds
    idle_seconds: Seconds
    always_on: bool
    announcements: bool


class TrackPart(_Part, frozen=True):
    """A track. ``encoded`` is Lavalink's own description, in base64."""

    encoded: Annotated[str, msgspec.Meta(min_length=1, max_length=20_000, pattern="^[A-Za-z0-9+/=_-]+$")]
    title: Text
    author: Text
    length_ms: Count
    uri: Text | None
    artwork: Text | None
    source: Word
    is_stream: bool


class EntryPart(_Part, frozen=True):
    """A track that somebody asked for."""

    track: TrackPart
    requested_by: Id


class PlayerPart(_Part, frozen=True):
    """The player when it was exported. ``playing`` goes before the queue when it is restored."""

    voice_channel_id: Id | None
    text_channel_id: Id | None
    playing: EntryPart | None
    position_ms: Count
    paused: bool
    volume: Volume


class LogPart(_Part, frozen=True):
    """Who did what."""

    at: Moment
    what: Word
    user_id: Id | None


class GrantPart(_Part, frozen=True):
    """Why the guild had a plan. Told, never restored."""

    id: Word
    source: Source
    plan: PlanId
    state: State
    starts_at: Moment
    ends_at: Moment | None
    payer: Word | None


class EventPart(_Part, frozen=True):
    """Something that happened to a grant. Told, never restored."""

    id: Word
    kind: Kind
    at: Moment
    plan: PlanId | None
    ends_at: Moment | None


class Document(_Part, frozen=True):
    """All of it."""

    format: Literal["tonearm-guild"]
    version: Literal[1]
    guild_id: Id
    exported_at: Moment
    settings: SettingsPart
    player: PlayerPart
    queue: Annotated[list[EntryPart], msgspec.Meta(max_length=MAX_QUEUE)]
    history: Annotated[list[EntryPart], msgspec.Meta(max_length=KEPT_HISTORY)]
    log: Annotated[list[LogPart], msgspec.Meta(max_length=KEPT_LOG)]
    grants: Annotated[list[GrantPart], msgspec.Meta(max_length=MOST_EVENTS)]
    events: Annotated[list[EventPart], msgspec.Meta(max_length=MOST_EVENTS)]

    def guild_settings(self) -> GuildSettings:
        """The settings."""
        return GuildSettings(**msgspec.structs.asdict(self.settings))

    def entries(self, name: str) -> list[Entry]:
        """What played and what waited, in order; the ids are made from ``name`` and the place."""
        parts = [*([self.player.playing] if self.player.playing else []), *self.queue]
        return [
            Entry(f"{name}:{n}", Track(**msgspec.structs.asdict(part.track)), int(part.requested_by))
            for n, part in enumerate(parts)
        ]


class _Envelope(msgspec.Struct, frozen=True):
    format: str
    version: int


def make_document(
    guild: int,
    now: datetime,
    *,
    settings: GuildSettings,
    player: Player,
    queue: Iterable[Entry],
    history: Iterable[Entry],
    log: Iterable[LogEntry],
    grants: Iterable[Grant],
    events: Iterable[Event],
) -> Document:
    """``guild`` as it is at ``now``; ``history`` and ``events`` have the latest first, ``log`` the latest last."""
    playing = player.playing
    return Document(
        "tonearm-guild",
        1,
        str(guild),
        now,
        SettingsPart(**msgspec.structs.asdict(settings)),
        PlayerPart(
            _id(player.voice_channel),
            _id(player.text_channel),
            _entry(playing.entry) if playing else None,
            player.position_ms(int(now.timestamp() * 1000)),
            player.paused,
            player.volume,
        ),
        [_entry(each) for each in queue],
        [_entry(each) for each in history],
        [LogPart(datetime.fromtimestamp(each.at_ms / 1000, UTC), each.what, _id(each.user)) for each in log],
        [GrantPart(g.id, g.source, g.plan, g.state_at(now), g.starts_at, g.ends_at, g.payer) for g in grants],
        [EventPart(each.id, each.kind, each.at, each.plan, each.ends_at) for each in events],
    )


def write_document(document: Document) -> bytes:
    """The file."""
    return msgspec.json.encode(document)


def read_document(raw: bytes) -> Document:
    """What a file says.

    Raises:
        InvalidDocument: it is too long, no export, one of another version, or something in it does not fit.
    """
    if len(raw) > MOST_BYTES:
        raise InvalidDocument(f"The file has more than {MOST_BYTES // 1024 // 1024} MiB.")
    try:
        envelope = msgspec.json.decode(raw, type=_Envelope)
        if envelope.format != "tonearm-guild":
            raise InvalidDocument("The file is no export of Tonearm.")
        if envelope.version != VERSION:
            raise InvalidDocument(f"The file has the version {envelope.version}; version {VERSION} can be read here.")
        return msgspec.json.decode(raw, type=Document)
    except msgspec.ValidationError as error:
        raise InvalidDocument(f"The file does not fit: {error}.") from None
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError, ValueError):
        raise InvalidDocument("The file is not JSON.") from None


def _entry(entry: Entry) -> EntryPart:
    t = entry.track
    track = TrackPart(t.encoded, t.title, t.author, t.length_ms, t.uri, t.artwork, t.source, t.is_stream)
    return EntryPart(track, str(entry.user))


def _id(number: int | None) -> str | None:
    return str(number) if number is not None else None

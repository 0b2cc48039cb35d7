"""Bodies of requests as types. https://lavalink.dev/api/rest.html (Update Player, Update Session).

Fields that this node does not know are ignored, as the real server does. A missing field and null differ.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from playground.audio_node.errors import RestError


class VoiceUpdate(msgspec.Struct, rename="camel"):
    """Where a player is to connect to. All four must be there and not empty."""

    token: str
    endpoint: str
    session_id: str
    channel_id: str


class TrackUpdate(msgspec.Struct, rename="camel"):
    """Which track is to play: an encoded one (null: none), or the first that an identifier leads to."""

    encoded: str | UnsetType | None = UNSET
    identifier: str | UnsetType = UNSET
    user_data: dict[str, Any] | UnsetType = UNSET

    @property
    def replaces(self) -> bool:
        """Whether this names a track (or none) rather than only new user data."""
        return self.encoded is not UNSET or self.identifier is not UNSET


class PlayerUpdate(msgspec.Struct, rename="camel"):
    """The body of PATCH player; everything may be missing. Times are milliseconds."""

    track: TrackUpdate | UnsetType = UNSET
    encoded_track: str | UnsetType | None = UNSET
    identifier: str | UnsetType = UNSET
    position: int | UnsetType | None = UNSET
    end_time: int | UnsetType | None = UNSET
    volume: int | UnsetType = UNSET
    paused: bool | UnsetType = UNSET
    filters: dict[str, Any] | UnsetType = UNSET
    voice: VoiceUpdate | UnsetType = UNSET

    def wanted_track(self) -> TrackUpdate:
        """The track wish, from `track` or from the two older fields beside it. Raises RestError for a mixture."""
        old = TrackUpdate(self.encoded_track, self.identifier)
        if self.track is not UNSET and old.replaces:
            raise RestError(400, "Cannot specify both track and encodedTrack/identifier")
        track = old if self.track is UNSET else self.track
        if track.encoded is not UNSET and track.identifier is not UNSET:
            raise RestError(400, "Cannot specify both encodedTrack and identifier")
        return track


class SessionUpdate(msgspec.Struct):
    """The body of PATCH session; the timeout is seconds."""

    resuming: bool | UnsetType = UNSET
    timeout: int | UnsetType = UNSET

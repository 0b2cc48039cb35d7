"""What Lavalink's players should do, and what they do."""

from __future__ import annotations

from typing import Any

import msgspec


class Wanted(msgspec.Struct, frozen=True):
    """What Lavalink's player should do: which track from where (ms), whether it is paused, how loud (per cent)."""

    play: str | None
    encoded: str | None
    position_ms: int
    paused: bool
    volume: int


class Actual(msgspec.Struct, frozen=True):
    """What Lavalink's player does. ``play`` is ``None`` when it plays nothing."""

    play: str | None
    position_ms: int
    paused: bool
    volume: int
    connected: bool


def actual_of(player: dict[str, Any]) -> Actual:
    """What a player does, of Lavalink's player object (Lavalink's documentation, REST API, *Player*)."""
    track, state = player["track"], player["state"]
    return Actual(
        play=str(track.get("userData", {}).get("play", "")) if track else None,
        position_ms=int(state["position"]),
        paused=bool(player["paused"]),
        volume=int(player["volume"]),
        connected=bool(state["connected"]),
    )


def request_for(wanted: Wanted, *, new_track: bool) -> dict[str, Any]:
    """The request that brings a player to ``wanted`` (Lavalink's documentation, REST API, *Update Player*)."""
    data: dict[str, Any] = {"paused": wanted.paused, "volume": wanted.volume}
    if new_track:
        data["track"] = {"encoded": wanted.encoded}
        if wanted.encoded is not None:
            data["track"]["userData"] = {"play": wanted.play}
            data["position"] = wanted.position_ms
    return data

"""What Lavalink's players should do, and what they do."""

from __future__ import annotations

import math
from typing import Any

import msgspec


class Wanted(msgspec.Struct, frozen=True):
    """What Lavalink's player should do: which track from where (ms), whether it is paused, how loud (per cent).

    ``seeks`` is how often somebody chose another position of this play.
    """

    play: str | None
    encoded: str | None
    position_ms: int
    paused: bool
    volume: int
    seeks: int = 0


class Actual(msgspec.Struct, frozen=True):
    """What Lavalink's player does. ``play`` is ``None`` when it plays nothing."""

    play: str | None
    position_ms: int
    paused: bool
    volume: int
    connected: bool


_CURVE = 0.0079
"""lavaplayer plays at ``tan(number * _CURVE)`` of the level (lavaplayer, *PcmVolumeProcessor*): 50 would be 42%."""


def number_for(percent: int) -> int:
    """Lavalink's volume for ``percent`` of the level, up to 200; 100 is 100, as then nothing is encoded again."""
    return 100 if percent == 100 else round(math.atan(percent / 100) / _CURVE)


def percent_of(number: int) -> int:
    """What :func:`number_for` was asked for, give or take one."""
    return 100 if number == 100 else round(math.tan(min(number, 150) * _CURVE) * 100)


def actual_of(player: dict[str, Any]) -> Actual:
    """What a player does, of Lavalink's player object (Lavalink's documentation, REST API, *Player*)."""
    track, state = player["track"], player["state"]
    return Actual(
        play=str(track.get("userData", {}).get("play", "")) if track else None,
        position_ms=int(state["position"]),
        paused=bool(player["paused"]),
        volume=percent_of(int(player["volume"])),
        connected=bool(state["connected"]),
    )


def request_for(wanted: Wanted, *, new_track: bool, seek: bool = False) -> dict[str, Any]:
    """The request that brings a player to ``wanted`` (Lavalink's documentation, REST API, *Update Player*).

    Its position goes along with a new track, and to ``seek``.
    """
    data: dict[str, Any] = {"paused": wanted.paused, "volume": number_for(wanted.volume)}
    if new_track:
        data["track"] = {"encoded": wanted.encoded}
        if wanted.encoded is not None:
            data["track"]["userData"] = {"play": wanted.play}
            data["position"] = wanted.position_ms
    elif seek:
        data["position"] = wanted.position_ms
    return data

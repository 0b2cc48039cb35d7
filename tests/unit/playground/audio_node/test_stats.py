"""Frames of a minute, and shares of the machine."""

from __future__ import annotations

from playground.audio_node.stats import CpuMeter, frame_stats


class Player:
    def __init__(self, frames: tuple[int, int] | None) -> None:
        self._frames = frames

    def take_frames(self) -> tuple[int, int] | None:
        return self._frames


def test_frames_are_averaged_over_players_that_played_through_the_minute() -> None:
    players = [Player((3000, 0)), Player((2980, 10)), Player(None)]
    assert frame_stats(players, 60) == {"sent": 2990, "nulled": 5, "deficit": 5}


def test_without_such_a_player_there_are_none() -> None:
    assert frame_stats([Player(None)], 60) is None
    assert frame_stats([], 60) is None


def test_a_shorter_time_has_fewer_frames() -> None:
    assert frame_stats([Player((240, 2))], 5) == {"sent": 240, "nulled": 2, "deficit": 8}


def test_shares_are_between_nothing_and_all() -> None:
    shares = CpuMeter().read()
    assert isinstance(shares["cores"], int)
    for name in ("systemLoad", "lavalinkLoad"):
        share = shares[name]
        assert isinstance(share, float)
        assert 0 <= share <= 1.5  # clocks tick coarsely

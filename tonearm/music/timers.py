"""When the bot leaves by itself: alone in its channel, or with nothing playing.

A timer is a time in the player's state. :func:`settled` sets and clears it with every change; who owns the player arms
it, and :class:`TimerDue` is what becomes of it. 24/7 is that none is set.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from tonearm.music.actions import Scene
from tonearm.music.change import Change
from tonearm.music.player import Player
from tonearm.premium.plans import Feature


class Timer(StrEnum):
    """The timers of a guild; each is the field ``<timer>_at_ms`` of its player."""

    ALONE = "alone"
    IDLE = "idle"


def due_ms(player: Player, timer: Timer) -> int | None:
    """When ``timer`` is due; ``None`` when it is not set."""
    return player.alone_at_ms if timer is Timer.ALONE else player.idle_at_ms


def stays(scene: Scene) -> bool:
    """Whether the bot stays whatever happens (24/7): the guild has set it, and the plan allows it.

    Where nobody knows the plan, what was allowed once holds.
    """
    return scene.settings.always_on and (not scene.plan_known or scene.plan.limit(Feature.ALWAYS_ON) > 0)


def settled(scene: Scene) -> Player:
    """The scene's player with its timers set, or cleared, and no louder than the plan allows.

    A volume beyond the plan is kept as a wish. A timer that is set keeps its time. Where it is not known whether
    anybody else is in the channel, that timer stays as it is; where the plan is not known, so does the volume, and no
    timer is set.
    """
    player = scene.player
    wished = max(player.volume, player.wished_volume)
    volume = min(wished, scene.plan.limit(Feature.VOLUME)) if scene.plan_known else player.volume
    here = player.voice_channel is not None and not stays(scene)
    idle = here and player.playing is None and (scene.plan_known or player.idle_at_ms is not None)
    alone = player.alone_at_ms is not None
    if scene.alone is not None and (scene.plan_known or not scene.alone):
        alone = scene.alone
    return msgspec.structs.replace(
        player,
        volume=volume,
        wished_volume=wished if wished > volume else 0,
        alone_at_ms=_due(player.alone_at_ms, here and alone, scene.now_ms, scene.settings.alone_seconds),
        idle_at_ms=_due(player.idle_at_ms, idle, scene.now_ms, scene.settings.idle_seconds),
    )


def _due(before_ms: int | None, runs: bool, now_ms: int, seconds: int) -> int | None:
    if not runs:
        return None
    return now_ms + seconds * 1000 if before_ms is None else before_ms


class TimerDue(msgspec.Struct, frozen=True):
    """A timer is due. It fires once, however late and however often that is told."""

    guild: int
    timer: Timer
    due_ms: int

    @property
    def id(self) -> str:
        """Under which it is committed."""
        return f"t:{self.guild}:{self.timer}:{self.due_ms}"

    def apply(self, scene: Scene) -> Change | None:
        """A player that has left, with its queue; ``None`` when the timer is not set any more, or somebody came."""
        player = scene.player
        if due_ms(player, self.timer) != self.due_ms or scene.now_ms < self.due_ms or stays(scene):
            return None
        if self.timer is Timer.ALONE and scene.alone is not True:
            return None
        left = msgspec.structs.replace(player, voice_channel=None, playing=None, paused=False)
        return Change(left, f"left {self.timer}", played=player.playing.entry if player.playing else None)


class Settle(msgspec.Struct, frozen=True):
    """Something beside the player changed that its timers or limits hang on: who is there, the plan, the settings."""

    cause: str

    @property
    def id(self) -> str:
        """Under which it is committed."""
        return f"e:settle:{self.cause}"

    def apply(self, scene: Scene) -> Change | None:
        """The settled player; ``None`` when nothing is different."""
        player = settled(scene)
        return None if player == scene.player else Change(player, "")

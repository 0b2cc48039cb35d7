"""What happens to a player without anybody's wish: tracks end, fail, and channels are taken away."""

from __future__ import annotations

import msgspec

from tonearm.music.actions import Scene, advance
from tonearm.music.change import Change
from tonearm.music.player import PlayerMessage
from tonearm.music.timers import Settle, TimerDue


class TrackOver(msgspec.Struct, frozen=True):
    """Lavalink is through with the track of this play: it ended, failed to load, or hung."""

    play: str
    failed: bool = False

    @property
    def id(self) -> str:
        """Under which it is committed, so that a replayed event does nothing."""
        return f"e:{self.play}:over"

    def apply(self, scene: Scene) -> Change | None:
        """The next track, or ``None`` when the event speaks of a play that is over already."""
        playing = scene.player.playing
        if playing is None or playing.play != self.play:
            return None
        return advance(scene, what="failed" if self.failed else "end", naturally=True)


class Disconnected(msgspec.Struct, frozen=True):
    """The bot was taken out of its channel, or could not get in. The queue is kept."""

    channel: int
    cause: str

    @property
    def id(self) -> str:
        """Under which it is committed."""
        return f"e:{self.cause}"

    def apply(self, scene: Scene) -> Change | None:
        """A player that is nowhere, or ``None`` when the player should be elsewhere anyway."""
        if scene.player.voice_channel != self.channel:
            return None
        playing = scene.player.playing
        player = msgspec.structs.replace(scene.player, voice_channel=None, playing=None, paused=False)
        return Change(player, "disconnected", played=playing.entry if playing else None)


class Moved(msgspec.Struct, frozen=True):
    """An admin moved the bot to another channel: it plays on there."""

    channel: int
    cause: str

    @property
    def id(self) -> str:
        """Under which it is committed."""
        return f"e:{self.cause}"

    def apply(self, scene: Scene) -> Change | None:
        """The same player in the other channel, or ``None`` when it should be nowhere or is there already."""
        if scene.player.voice_channel in (None, self.channel):
            return None
        return Change(msgspec.structs.replace(scene.player, voice_channel=self.channel), "moved")


class Announced(msgspec.Struct, frozen=True):
    """The message with the buttons is another one now, or none, ``instead_of`` the one before."""

    message: PlayerMessage | None
    instead_of: PlayerMessage | None = None

    @property
    def id(self) -> str:
        """Under which it is committed: the end of one message is not the end of the next."""
        after, before = (message.id if message else "none" for message in (self.message, self.instead_of))
        return f"e:message:{after}:{before}"

    def apply(self, scene: Scene) -> Change | None:
        """The same player with the other message; not logged, as nobody did it."""
        if scene.player.message == self.message:
            return None
        return Change(msgspec.structs.replace(scene.player, message=self.message), "")


Event = TrackOver | Disconnected | Moved | Announced | TimerDue | Settle

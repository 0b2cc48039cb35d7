"""What is done to a guild's player by those who keep its data: as jobs, as its owner alone may write it."""

from __future__ import annotations

from typing import ClassVar

import msgspec

from tonearm.music.actions import Scene, start
from tonearm.music.change import Change, QueueChange, Queued
from tonearm.music.player import Player
from tonearm.music.track import Entry
from tonearm.premium.plans import Feature


class Restore(msgspec.Struct, frozen=True, tag="restore"):
    """Put ``entries`` at the queue's end; in its channel, or the one that is named, what waits begins to play."""

    needs_caller: ClassVar[bool] = True

    entries: tuple[Entry, ...]

    def apply(self, scene: Scene) -> Change:
        player, here = scene.player, scene.caller_channel
        starts = player.playing is None and here is not None and player.voice_channel in (None, here)
        room = scene.most_waiting - scene.queue_length + int(starts)
        if room <= 0:
            scene.require(Feature.QUEUE_LENGTH, scene.queue_length + 1)
        taken = self.entries[: max(0, room)]
        waiting = (*((scene.first,) if scene.first else ()), *taken)
        queue = QueueChange(append=taken)
        if starts and waiting:
            text_channel = player.text_channel or here
            player = msgspec.structs.replace(player, voice_channel=here, text_channel=text_channel)
            player = start(player, waiting[0], scene.now_ms)
            queue = QueueChange(take_first=True, append=taken) if scene.first else QueueChange(append=taken[1:])
        left_out = len(self.entries) - len(taken)
        outcome = Queued((), scene.queue_length + 1, left_out=left_out, limit=scene.most_waiting)
        return Change(player, "restore", outcome, queue)


class Forget(msgspec.Struct, frozen=True, tag="forget"):
    """Keep nothing of the player: no queue, no history and no log. What plays ends, and the channel is left."""

    needs_caller: ClassVar[bool] = False

    def apply(self, scene: Scene) -> Change:
        return Change(Player(), "", queue=QueueChange(clear=True), forget=True)


AnySaved = Restore | Forget

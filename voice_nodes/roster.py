"""The guilds of one shard that are awake, and what each of them is told."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator, Mapping
from typing import Any

from tonearm.music.events import Disconnected, Moved, TrackOver
from tonearm.redis.removal import KEPT_MS
from tonearm.sentences import Sentence
from tonearm.telemetry import EVENTS_DROPPED
from voice_nodes.actor import GuildActor
from voice_nodes.converger import Converger
from voice_nodes.intake import Received
from voice_nodes.listener import Trouble
from voice_nodes.measuring import count_trouble

ENDED = frozenset({"finished", "loadFailed", "stuck"})
"""Lavalink's reasons after which the next track is due; the others are of our own making."""


class Roster(Mapping[int, GuildActor]):
    """The actors by guild; the listener of the gateway for what concerns guilds.

    ``make`` makes an actor, which ``spawn`` runs. ``entered`` is :meth:`Sound.entered`; ``forget`` has the state of a
    guild run out after so many ms, or kept after all (0).
    """

    def __init__(
        self,
        *,
        make: Callable[[int], GuildActor],
        spawn: Callable[[Coroutine[Any, Any, None]], None],
        entered: Callable[[int], bool],
        forget: Callable[[int, int], None],
    ) -> None:
        self._actors: dict[int, GuildActor] = {}
        self._make = make
        self._spawn = spawn
        self._entered = entered
        self._forget = forget

    def __getitem__(self, guild: int) -> GuildActor:
        return self._actors[guild]

    def __iter__(self) -> Iterator[int]:
        return iter(tuple(self._actors))

    def __len__(self) -> int:
        return len(self._actors)

    def wake(self, guild: int) -> GuildActor:
        """The actor of ``guild``, which works from now on."""
        actor = self._actors.get(guild)
        if actor is None:
            actor = self._actors[guild] = self._make(guild)
            self._spawn(self._work(actor))
        return actor

    async def _work(self, actor: GuildActor) -> None:
        try:
            await actor.run()
        except* Exception:
            self.ended(actor)  # The next event wakes another one; who is cut short is kept, to lay down what it has.
            raise

    def ended(self, actor: GuildActor) -> None:
        """``actor`` takes nothing more."""
        if self._actors.get(actor.guild) is actor:
            del self._actors[actor.guild]

    def receive(self, received: Received) -> None:
        """Give a job to its guild."""
        self.wake(received.job.guild).submit(received)

    @property
    def playing(self) -> int:
        """How many players play something."""
        return sum(actor.plays for actor in self._actors.values())

    @property
    def listeners(self) -> int:
        """How many others are in the channels where something plays."""
        return sum(actor.listeners for actor in self._actors.values())

    def tell(self, guild: int, what: Callable[[Converger], None]) -> None:
        """Tell the sound of ``guild``, if it is awake."""
        if guild in self._actors:
            what(self._actors[guild].converger)

    def terms_changed(self, guild: int | None) -> None:
        """The plan or the settings of a guild, or of any, may be others now."""
        for each in self._actors if guild is None else self._actors.keys() & {guild}:
            self._actors[each].settle("terms")

    # What the gateway and Lavalink say.

    def bot_moved(self, guild: int, channel: int | None) -> None:
        actor = self._actors.get(guild)
        if actor is None:
            return
        before = actor.voice_channel
        if channel is not None:
            if channel != before:
                actor.submit(Moved(channel, f"moved:{channel}:{actor.now_ms()}"))
            return
        # Before the first voice state of a connection, this is the echo of our own leaving.
        if before is not None and self._entered(guild):
            actor.submit(Disconnected(before, f"taken out:{before}:{actor.now_ms()}"))

    def company_changed(self, guild: int, channels: set[int]) -> None:
        actor = self._actors.get(guild)
        if actor is not None and actor.voice_channel in channels:
            actor.settle("company")

    def track_over(self, guild: int, play: str, reason: str) -> None:
        if reason not in ENDED:
            return
        if guild in self._actors and self._actors[guild].converger.start_again(play):
            return
        if play:
            self.wake(guild).submit(TrackOver(play, failed=reason != "finished"))
        else:
            EVENTS_DROPPED.labels("TrackOver").inc()

    def track_started(self, guild: int, play: str) -> None:
        if guild in self._actors:
            self._actors[guild].first_sound.heard(play)

    def track_failed(self, guild: int, play: str, trouble: Trouble) -> None:
        actor = self._actors.get(guild)
        if actor is not None and actor.converger.excuses(play):
            return
        count_trouble(trouble.severity, trouble.source)
        if actor is not None:
            text = Sentence.TRACK_BROKEN.format(query=trouble.title, reason=trouble.reason.rstrip("."))
            actor.announcer.say(text, f"broken:{guild}:{play}")

    def voice_closed(self, guild: int, code: int) -> None:
        self.tell(guild, lambda converger: converger.voice_closed(code))

    def gateway_started(self, guild: int) -> None:
        self.tell(guild, Converger.gateway_lost)

    def guild_removed(self, guild: int) -> None:
        self._forget(guild, KEPT_MS)
        actor = self._actors.get(guild)
        if actor is not None and actor.voice_channel is not None:
            actor.submit(Disconnected(actor.voice_channel, f"removed:{guild}:{actor.now_ms()}"))

    def guild_joined(self, guild: int) -> None:
        self._forget(guild, 0)

    def guild_available(self, guild: int) -> None:
        self.tell(guild, Converger.guild_available)
        if guild in self._actors:
            self._actors[guild].settle("available")

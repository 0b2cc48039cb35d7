"""What people can wish for, and what each wish does. One class an action, each with one pure ``apply``.

An action is what a job carries. It says which look-ups it needs (``needs``); the voice node makes them, fills a
:class:`Scene` with what it found, and commits the :class:`~tonearm.music.change.Change` that ``apply`` returns.
"""

from __future__ import annotations

from typing import ClassVar, Protocol

import msgspec

from tonearm.errors import Refused
from tonearm.music.change import (
    Change,
    Left,
    Paused,
    QueueChange,
    Queued,
    Resumed,
    Skipped,
    Sought,
    Started,
    Stopped,
    VolumeSet,
    Where,
)
from tonearm.music.guild_settings import GuildSettings
from tonearm.music.player import HEARD_AFTER_MS, MAX_QUEUE, MAX_VOLUME, Player, Playing, next_play
from tonearm.music.track import Entry, Loaded
from tonearm.premium.gate import require_feature
from tonearm.premium.plans import FREE, Feature, Plan
from tonearm.sentences import Sentence
from tonearm.wording import clock


class Scene(msgspec.Struct, frozen=True):
    """Everything an action may look at besides its own words.

    ``asked_ms`` is when the job was handed over, ``seen_play`` the play that was current at that moment: what the
    person saw when they asked. ``plan`` and ``settings`` are the guild's; ``plan_known`` is ``False`` where nobody
    could be asked. ``alone`` is whether nobody else is in the player's channel, ``None`` where that is not known.
    """

    job: str
    user: int
    now_ms: int
    asked_ms: int
    text_channel: int
    player: Player
    queue_length: int = 0
    first: Entry | None = None
    caller_channel: int | None = None
    seen_play: str | None = None
    loaded: Loaded | None = None
    plan: Plan = FREE
    plan_known: bool = True
    settings: GuildSettings = GuildSettings()
    alone: bool | None = None

    @property
    def most_waiting(self) -> int:
        """Tracks that may wait."""
        return min(MAX_QUEUE, self.plan.limit(Feature.QUEUE_LENGTH))

    def require(self, feature: Feature, wanted: int = 1) -> None:
        """The guild's plan allows it.

        Raises:
            Refused: it does not.
        """
        require_feature(self.plan, feature, wanted, known=self.plan_known)


class Action(Protocol):
    """What a job can carry."""

    needs_caller: ClassVar[bool]

    def apply(self, scene: Scene) -> Change:
        """The new state.

        Raises:
            Refused: it can't be done, with the sentence for the caller.
        """
        ...


def start(player: Player, entry: Entry, now_ms: int, *, heard_from_ms: int | None = None) -> Player:
    """``player`` with ``entry`` playing from its beginning."""
    play = next_play(player.last_play, now_ms)
    playing = Playing(play, entry, 0, now_ms, now_ms if heard_from_ms is None else heard_from_ms)
    return msgspec.structs.replace(player, playing=playing, paused=False, last_play=play)


def advance(scene: Scene, *, what: str, naturally: bool) -> Change:
    """The next track of the queue, or silence when there is none."""
    playing = scene.player.playing
    played = playing.entry if playing else None
    if scene.first is None:
        player = msgspec.structs.replace(scene.player, playing=None, paused=False)
        return Change(player, what, played=played)
    heard_from = scene.now_ms + HEARD_AFTER_MS if naturally and playing else None
    player = start(scene.player, scene.first, scene.now_ms, heard_from_ms=heard_from)
    if naturally:  # Nobody wished for the next one: a pause just before the end, or of what then failed, holds.
        player = msgspec.structs.replace(player, paused=scene.player.paused)
    return Change(player, what, queue=QueueChange(take_first=True), played=played)


def require_same_channel(scene: Scene) -> None:
    """Only who is in the player's channel may change what it plays.

    Raises:
        Refused: the caller is elsewhere.
    """
    here = scene.player.voice_channel
    if here is None:
        raise Refused(Sentence.NOT_CONNECTED)
    if scene.caller_channel != here:
        raise Refused(Sentence.OTHER_CHANNEL, channel=here)


def require_playing(scene: Scene, play: str | None) -> Playing:
    """The track that plays, if it is still the one that the caller meant.

    ``play`` comes from a button; a command means what was heard when it was given.

    Raises:
        Refused: nothing plays, or the track that was meant is over.
    """
    playing = scene.player.playing
    meant = play or scene.seen_play
    if playing is None:
        raise Refused(Sentence.TRACK_ENDED if meant else Sentence.NOTHING_PLAYING)
    if meant is not None and meant != playing.play:
        raise Refused(Sentence.TRACK_ENDED)
    return playing


class Play(msgspec.Struct, frozen=True, tag="play", omit_defaults=True):
    """Play ``query`` (a URL or words) at the end of the queue, as the next track, or now."""

    needs_caller: ClassVar[bool] = True

    query: str
    where: Where = Where.END

    def apply(self, scene: Scene) -> Change:
        if scene.caller_channel is None:
            raise Refused(Sentence.NOT_IN_VOICE)
        player = scene.player
        busy = player.playing is not None and player.voice_channel is not None
        if busy and player.voice_channel != scene.caller_channel:
            raise Refused(Sentence.OTHER_CHANNEL, channel=player.voice_channel)
        if scene.loaded is None or not scene.loaded.tracks:
            raise Refused(Sentence.NOTHING_FOUND, query=self.query)
        player = msgspec.structs.replace(player, voice_channel=scene.caller_channel, text_channel=scene.text_channel)
        entries = [Entry(f"{scene.job}:{n}", track, scene.user) for n, track in enumerate(scene.loaded.tracks)]
        if player.playing is None or self.where is Where.NOW:
            return self._start(scene, player, entries)
        return self._queue(scene, player, entries)

    def _start(self, scene: Scene, player: Player, entries: list[Entry]) -> Change:
        first, rest = entries[0], tuple(entries[1 : 1 + max(0, scene.most_waiting - scene.queue_length)])
        in_front = self.where is not Where.END
        return Change(
            start(player, first, scene.now_ms),
            "play",
            Started(
                first.track,
                len(rest),
                scene.loaded.playlist if scene.loaded else None,
                len(entries) - 1 - len(rest),
                scene.most_waiting,
            ),
            QueueChange(prepend=rest) if in_front else QueueChange(append=rest),
            played=player.playing.entry if player.playing else None,
        )

    def _queue(self, scene: Scene, player: Player, entries: list[Entry]) -> Change:
        room = scene.most_waiting - scene.queue_length
        if scene.queue_length >= MAX_QUEUE:
            raise Refused(Sentence.QUEUE_FULL, limit=MAX_QUEUE)
        if room <= 0:
            scene.require(Feature.QUEUE_LENGTH, scene.queue_length + 1)
        taken = tuple(entries[:room])
        in_front = self.where is Where.NEXT
        outcome = Queued(
            tuple(entry.track for entry in taken),
            1 if in_front else scene.queue_length + 1,
            scene.loaded.playlist if scene.loaded else None,
            len(entries) - len(taken),
            scene.most_waiting,
        )
        queue = QueueChange(prepend=taken) if in_front else QueueChange(append=taken)
        return Change(player, "queue", outcome, queue)


class Pause(msgspec.Struct, frozen=True, tag="pause", omit_defaults=True):
    """Silence at this position. Pausing what is paused changes nothing."""

    needs_caller: ClassVar[bool] = True

    play: str | None = None

    def apply(self, scene: Scene) -> Change:
        require_same_channel(scene)
        playing = require_playing(scene, self.play)
        return _hold(scene, playing, paused=True)


class Resume(msgspec.Struct, frozen=True, tag="resume", omit_defaults=True):
    """Go on from the position where it was paused."""

    needs_caller: ClassVar[bool] = True

    play: str | None = None

    def apply(self, scene: Scene) -> Change:
        require_same_channel(scene)
        playing = require_playing(scene, self.play)
        return _hold(scene, playing, paused=False)


def _hold(scene: Scene, playing: Playing, *, paused: bool) -> Change:
    position = scene.player.position_ms(scene.now_ms)
    moved = msgspec.structs.replace(playing, position_ms=position, at_ms=scene.now_ms)
    player = msgspec.structs.replace(scene.player, playing=moved, paused=paused)
    track = playing.entry.track
    outcome = Paused(track, position) if paused else Resumed(track, position)
    return Change(player, "pause" if paused else "resume", outcome)


class Skip(msgspec.Struct, frozen=True, tag="skip", omit_defaults=True):
    """End this track, and no other."""

    needs_caller: ClassVar[bool] = True

    play: str | None = None

    def apply(self, scene: Scene) -> Change:
        require_same_channel(scene)
        playing = require_playing(scene, self.play)
        if self.play is None and scene.asked_ms < playing.heard_from_ms:
            # The frame buffer still holds the end of the track before: it is that one the caller hears and means.
            raise Refused(Sentence.TRACK_ENDED)
        change = advance(scene, what="skip", naturally=False)
        following = scene.first.track if scene.first else None
        return msgspec.structs.replace(change, outcome=Skipped(playing.entry.track, following))


class Stop(msgspec.Struct, frozen=True, tag="stop", omit_defaults=True):
    """Silence, and an empty queue. The bot stays in its channel."""

    needs_caller: ClassVar[bool] = True

    play: str | None = None

    def apply(self, scene: Scene) -> Change:
        require_same_channel(scene)
        if self.play is not None:
            require_playing(scene, self.play)
        playing = scene.player.playing
        if playing is None and scene.queue_length == 0:
            raise Refused(Sentence.NOTHING_PLAYING)
        player = msgspec.structs.replace(scene.player, playing=None, paused=False)
        return Change(
            player,
            "stop",
            Stopped(scene.queue_length),
            QueueChange(clear=True),
            played=playing.entry if playing else None,
        )


class Leave(msgspec.Struct, frozen=True, tag="leave"):
    """Leave the voice channel. The queue is kept for the next ``/play``."""

    needs_caller: ClassVar[bool] = True

    def apply(self, scene: Scene) -> Change:
        require_same_channel(scene)
        here = scene.player.voice_channel
        assert here is not None
        playing = scene.player.playing
        player = msgspec.structs.replace(scene.player, voice_channel=None, playing=None, paused=False)
        return Change(player, "leave", Left(here), played=playing.entry if playing else None)


class Seek(msgspec.Struct, frozen=True, tag="seek", omit_defaults=True):
    """Go to a position of this track, in ms from its beginning. Paused it stays paused."""

    needs_caller: ClassVar[bool] = True

    position_ms: int
    play: str | None = None

    def apply(self, scene: Scene) -> Change:
        require_same_channel(scene)
        playing = require_playing(scene, self.play)
        track = playing.entry.track
        if track.is_live:
            raise Refused(Sentence.LIVE_CANT_SEEK)
        if not 0 <= self.position_ms < track.length_ms:
            raise Refused(Sentence.SEEK_RANGE, length=clock(track.length_ms))
        moved = msgspec.structs.replace(
            playing, position_ms=self.position_ms, at_ms=scene.now_ms, seeks=playing.seeks + 1
        )
        player = msgspec.structs.replace(scene.player, playing=moved)
        return Change(player, "seek", Sought(track, self.position_ms))


class SetVolume(msgspec.Struct, frozen=True, tag="volume"):
    """The volume, in per cent of the track's own."""

    needs_caller: ClassVar[bool] = True

    volume: int

    def apply(self, scene: Scene) -> Change:
        if not 0 <= self.volume <= MAX_VOLUME:
            raise Refused(Sentence.VOLUME_RANGE, limit=MAX_VOLUME)
        require_same_channel(scene)
        scene.require(Feature.VOLUME, self.volume)
        player = msgspec.structs.replace(scene.player, volume=self.volume, wished_volume=0)
        return Change(player, "volume", VolumeSet(self.volume))


AnyAction = Play | Pause | Resume | Skip | Stop | Leave | Seek | SetVolume

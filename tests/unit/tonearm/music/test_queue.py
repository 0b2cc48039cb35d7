"""Whole evenings: any sequence of actions and events against a plain list of songs."""

import contextlib

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.support.scenes import HERE, NOW, changed, loaded, scene
from tonearm.errors import Refused
from tonearm.music.actions import AnyAction, Leave, Pause, Play, Resume, SetVolume, Skip, Stop
from tonearm.music.change import Change, Where
from tonearm.music.events import Disconnected, TrackOver
from tonearm.music.player import Player
from tonearm.music.track import Entry


class Evening(RuleBasedStateMachine):
    """The player and its queue, next to what a person would expect: what is on, and the songs that wait."""

    @initialize()
    def begin(self) -> None:
        self.player = Player()
        self.queue: list[Entry] = []
        self.on: str | None = None
        self.waiting: list[str] = []
        self.added: list[str] = []
        self.over: list[str] = []
        self.plays: list[str] = []
        self.now = NOW
        self.jobs = 0

    def do(self, action: AnyAction, *songs: str) -> bool:
        self.jobs += 1
        before = scene(
            self.player,
            job=f"i:{self.jobs}",
            now_ms=self.now,
            asked_ms=self.now,
            queue_length=len(self.queue),
            first=self.queue[0] if self.queue else None,
            loaded=loaded(*songs) if songs else None,
        )
        with contextlib.suppress(Refused):
            self.take(action.apply(before))
            return True
        return False

    def take(self, change: Change) -> None:
        left = changed(self.queue, change.queue)
        if change.queue.clear:
            self.over += [entry.track.title for entry in self.queue]
        if change.played is not None:
            self.over.append(change.played.track.title)
        if change.player.playing is not None and change.player.playing.play not in self.plays:
            self.plays.append(change.player.playing.play)
        self.player, self.queue = change.player, left

    def songs(self, number: int) -> list[str]:
        made = [f"{self.jobs}.{n}" for n in range(number)]
        self.added += made
        return made

    @rule(number=st.integers(1, 4), where=st.sampled_from(Where))
    def play(self, number: int, where: Where) -> None:
        songs = self.songs(number)
        assert self.do(Play("x", where), *songs)
        if self.on is None or where is Where.NOW:
            self.on, songs = songs[0], songs[1:]
        if where is Where.END:
            self.waiting += songs
        else:
            self.waiting[:0] = songs

    @rule()
    def skip(self) -> None:
        # Long enough after the start that the track has been heard.
        self.now += 2_000
        assert self.do(Skip()) == (self.on is not None)
        if self.on is not None:
            self.on = self.waiting.pop(0) if self.waiting else None

    @rule(failed=st.booleans())
    def track_over(self, failed: bool) -> None:
        if self.player.playing is None:
            return
        event = TrackOver(self.player.playing.play, failed)
        first = self.queue[0] if self.queue else None
        change = event.apply(scene(self.player, now_ms=self.now, queue_length=len(self.queue), first=first))
        assert change is not None
        self.take(change)
        self.on = self.waiting.pop(0) if self.waiting else None

    @rule(back=st.integers(1, 5))
    def an_old_event_or_button(self, back: int) -> None:
        if len(self.plays) <= back:
            return
        old = self.plays[-1 - back]
        assert TrackOver(old).apply(scene(self.player)) is None
        for kind in (Skip, Pause, Resume, Stop):
            assert not self.do(kind(old))

    @rule()
    def stop(self) -> None:
        if self.do(Stop()):
            self.on, self.waiting = None, []

    @rule(kicked=st.booleans())
    def away(self, kicked: bool) -> None:
        if self.player.voice_channel is None:
            return
        if kicked:
            change = Disconnected(HERE, "x").apply(scene(self.player))
            assert change is not None
            self.take(change)
        else:
            assert self.do(Leave())
        self.on = None

    @rule(action=st.sampled_from([Pause(), Resume(), SetVolume(30)]))
    def hold(self, action: AnyAction) -> None:
        self.do(action)

    @rule(ms=st.integers(0, 10_000))
    def wait(self, ms: int) -> None:
        self.now += ms

    @invariant()
    def it_is_as_expected(self) -> None:
        playing = self.player.playing
        assert (playing.entry.track.title if playing else None) == self.on
        assert [entry.track.title for entry in self.queue] == self.waiting

    @invariant()
    def no_song_is_lost_or_doubled(self) -> None:
        on = [self.on] if self.on else []
        assert sorted(self.added) == sorted([*self.over, *on, *self.waiting])
        assert len({entry.id for entry in self.queue}) == len(self.queue)

    @invariant()
    def plays_only_grow(self) -> None:
        numbers = [int(play, 36) for play in self.plays]
        assert numbers == sorted(set(numbers))


TestEvening = Evening.TestCase
TestEvening.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)

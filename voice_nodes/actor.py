"""One guild, one actor: the single writer of its player.

It takes jobs and events in order. For each: look-ups, which may be repeated; the new state, by a pure
function; one commit. Then the converger brings Lavalink and Discord to the state, and the announcer the message with
the buttons.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec

from tonearm.cache import TermsCache
from tonearm.errors import LeaseLost
from tonearm.jobs.doing import doing
from tonearm.jobs.job import Answer, DeadLetter, Result
from tonearm.music.actions import Play, Scene
from tonearm.music.change import Change
from tonearm.music.events import Disconnected, Event, TrackOver
from tonearm.music.player import Player
from tonearm.music.timers import Settle, TimerDue, settled
from tonearm.redis import dead, guilds
from tonearm.redis.client import Client, Refusal
from tonearm.sentences import Sentence
from tonearm.telemetry import EVENTS_DROPPED, JOB_SECONDS, JOBS, LOG, TRACK_ENDS, context, traces
from voice_nodes import replying
from voice_nodes.announcer import Announcer
from voice_nodes.converger import JOIN_FAILED, Converger
from voice_nodes.first_sound import FirstSound
from voice_nodes.gateway import Gateway
from voice_nodes.intake import Received
from voice_nodes.judging import Judge
from voice_nodes.lavalink import Sound
from voice_nodes.lease import Lease
from voice_nodes.patience import patiently
from voice_nodes.replying import Verdict
from voice_nodes.terms import GuildTerms
from voice_nodes.timers import Timers

IDLE_SECONDS = 600.0
"""After this long without a job, the actor of a guild whose player is nowhere ends."""


class GuildActor:
    """The writer of one guild."""

    def __init__(
        self,
        guild: int,
        *,
        shard: int,
        redis: Client,
        lease: Lease,
        gateway: Gateway,
        sound: Sound,
        announcer: Announcer,
        on_deferred: Callable[[str], None],
        on_end: Callable[[], object],
        terms: TermsCache | None = None,
    ) -> None:
        self.guild = guild
        self.announcer = announcer
        self.converger = Converger(guild, gateway=gateway, sound=sound, now_ms=lease.now_ms, submit=self.submit)
        self._shard = shard
        self._redis = redis
        self._lease = lease
        self._gateway = gateway
        self._on_deferred = on_deferred
        self._on_end = on_end
        self._terms = GuildTerms(guild, terms, lease.now_ms)
        self._judge = Judge(
            guild,
            shard=shard,
            redis=redis,
            lease=lease,
            gateway=gateway,
            sound=sound,
            terms=self._terms,
            view=lambda: self._view,
            scene=self._scene,
        )
        self.first_sound = FirstSound(lease.now_ms)
        self._timers = Timers(guild, now_ms=lease.now_ms, submit=self.submit)
        self._token = ""
        self._counted: str | None = None
        self._inbox: asyncio.Queue[Received | Event] = asyncio.Queue()
        self._view = guilds.GuildView(player=Player())

    def submit(self, item: Received | Event) -> None:
        """Have ``item`` done after everything that came before it."""
        self._inbox.put_nowait(item)

    @property
    def voice_channel(self) -> int | None:
        """Where the player should be."""
        return self._view.player.voice_channel

    @property
    def plays(self) -> bool:
        """Whether it plays something."""
        return self._view.player.playing is not None

    @property
    def listeners(self) -> int:
        """How many others are where it plays something."""
        here = self._view.player.voice_channel
        return self._gateway.company(self.guild, here) if self.plays and here is not None else 0

    def settle(self, cause: str) -> None:
        """Something beside the player changed on which its timers and limits hang."""
        if self._view.player.voice_channel is not None:
            self.submit(Settle(f"{cause}:{self._lease.now_ms()}"))

    def now_ms(self) -> int:
        """Redis' clock."""
        return self._lease.now_ms()

    async def lay_down(self) -> None:
        """The shard is given up in the middle of a job: that this node began it must not count against it.

        Raises:
            RedisError: Redis doesn't answer.
        """
        if self._counted is not None:
            await dead.forgive_attempt(self._redis, self._shard, self._counted)

    async def finished(self) -> None:
        """Wait until nothing is in hand and nothing waits."""
        await self._inbox.join()

    async def run(self) -> None:
        """Work until cancelled, or until there has been nothing to do for a while; then ``on_end`` is called.

        Raises:
            LeaseLost: the shard is another's.
        """
        await self._look()
        if not self._view.player.last_play:
            await self._terms.refresh()
        self._view = self._begun(self._view)
        while True:
            async with asyncio.TaskGroup() as tasks:
                parts = (self.converger, self.announcer, self._timers)
                helpers = [tasks.create_task(self._lease.persist(part.run)) for part in parts]
                self._show()
                await self._work()
                for helper in helpers:
                    helper.cancel()
            if self._inbox.empty():
                # At once with this look, so that nothing can be given to an actor that has ended.
                self._on_end()
                return

    async def _look(self) -> None:
        """See how the guild is; again after Redis was away, as it may have come back with less than we saw."""
        self._token = self._lease.token
        view = await patiently(lambda: guilds.fetch_view(self._redis, self._shard, self.guild), self._lease)
        self._view = self._begun(view)

    def _begun(self, view: guilds.GuildView) -> guilds.GuildView:
        """A guild's first player has the volume that the guild has set."""
        if view.player.last_play:
            return view
        player = msgspec.structs.replace(view.player, volume=self._terms.settings.default_volume)
        return msgspec.structs.replace(view, player=player)

    async def _work(self) -> None:
        while True:
            try:
                async with asyncio.timeout(IDLE_SECONDS):
                    item = await self._inbox.get()
            except TimeoutError:
                if self._view.player.voice_channel is None and self._inbox.empty():
                    return
                continue
            try:
                if self._token != self._lease.token:
                    await self._look()
                if isinstance(item, Received):
                    with doing(item.job) as span:
                        span.note(outcome=await self._do(item))
                else:
                    await self._take_note(item)
            except (LeaseLost, asyncio.CancelledError):
                raise
            except Exception:
                LOG.exception("A guild's event was not handled", extra=context(guild=self.guild))
            finally:
                self._inbox.task_done()

    async def _do(self, received: Received) -> str:
        job = received.job
        kind = "unreadable" if received.unreadable else type(job.action).__struct_config__.tag
        self._counted = job.id if received.again else None
        verdict = await self._judge.judge(received)
        try:
            committed = await self._conclude(received, verdict)
        except Refusal as error:
            LOG.exception("A job can't be written", extra=context(job=job.id, guild=self.guild))
            verdict = self._judge.give_up(job, f"can't be written: {error}")
            committed = await self._conclude(received, verdict)
        self._counted = None
        outcome = verdict.outcome
        if committed.deferred:
            self._on_deferred(job.id)
        if committed.again:
            outcome = "again"
        JOBS.labels(kind, outcome).inc()
        JOB_SECONDS.labels(kind).observe(max(0, self._lease.now_ms() - received.asked_ms) / 1000)
        LOG.info(
            "Job done",
            extra=context(
                job=job.id, guild=self.guild, kind=kind, outcome=outcome, deferred=committed.deferred or None
            ),
        )
        return outcome

    async def _conclude(self, received: Received, verdict: Verdict) -> guilds.Committed:
        result = None
        if received.job.result_to is not None:
            result = replying.result(verdict.change, verdict.outcome, verdict.reason, given_up=bool(verdict.given_up))
        return await self._commit(
            received.job.id,
            verdict.change,
            received=received,
            answer=verdict.answer,
            result=result,
            reason=verdict.given_up,
        )

    async def _take_note(self, event: Event) -> None:
        if isinstance(event, Settle | TimerDue):
            await self._terms.refresh()
        scene = self._scene(job=event.id, user=0, asked_ms=self._lease.now_ms(), text_channel=0)
        change = event.apply(scene)
        if change is None:
            if isinstance(event, Settle):
                self._show()  # the plan is to be judged again at another time
            else:
                EVENTS_DROPPED.labels(type(event).__name__).inc()
            return
        if isinstance(event, TrackOver):
            TRACK_ENDS.labels(change.what).inc()
        await self._commit(event.id, change)
        if isinstance(event, Disconnected) and event.cause.startswith(JOIN_FAILED):
            self.announcer.say(Sentence.JOIN_FAILED.value.format(channel=event.channel), event.cause)
        if isinstance(event, TimerDue) and self._terms.settings.announcements:
            self.announcer.say(replying.left(event.timer, scene.player.voice_channel), event.id)

    def _scene(self, player: Player | None = None, **known: object) -> Scene:
        player = player or self._view.player
        here = player.voice_channel
        return Scene(
            now_ms=self._lease.now_ms(),
            player=player,
            queue_length=self._view.queue_length,
            first=self._view.first,
            alone=None if here is None else self._gateway.is_alone(self.guild, here),
            **self._terms.for_scene(),
            **known,  # type: ignore[arg-type]
        )

    def _settled(self, change: Change, id: str) -> Change:
        """``change`` with the timers that follow from it, and within the plan."""
        scene = self._scene(change.player, job=id, user=0, asked_ms=0, text_channel=0)
        return msgspec.structs.replace(change, player=settled(scene))

    async def _commit(
        self,
        id: str,
        change: Change | None,
        *,
        received: Received | None = None,
        answer: Answer | None = None,
        result: Result | None = None,
        reason: str = "",
    ) -> guilds.Committed:
        """Write it, and show what is so now. With a ``reason`` the job goes to the dead letters."""
        job = received.job if received else None
        change = self._settled(change, id) if change else None
        letter = None
        if received is not None and reason:
            kept = None if received.unreadable else msgspec.structs.replace(received.job, reply=None)
            letter = DeadLetter(id, self.guild, reason, self._lease.now_ms(), kept)
        with traces.span("commit"):
            committed = await patiently(
                lambda: guilds.commit(
                    self._redis,
                    shard=self._shard,
                    guild=self.guild,
                    token=self._lease.token,
                    id=id,
                    now_ms=self._lease.now_ms(),
                    before=self._view,
                    change=change,
                    stream_entry=received.entry if received else "",
                    user=job.user if job else None,
                    answer=answer,
                    reply=job.reply if job else None,
                    dead=letter,
                    result=result,
                    result_to=(job.result_to if job else None) or "",
                    kept_history=self._terms.kept_history,
                ),
                self._lease,
            )
        before = self._view.player.playing
        self._view = self._begun(committed.view)
        started = committed.view.player.playing
        if not committed.again and started is not None and (before is None or before.play != started.play):
            self.converger.begins(started.play)
            if received is not None and isinstance(received.job.action, Play) and before is None:
                self.first_sound.wait(started.play, received.asked_ms)
        self.first_sound.now_playing(started.play if started is not None else None, by_person=received is not None)
        if change is not None:
            self._show()
        return committed

    def _show(self) -> None:
        self.converger.show(self._view.player)
        self.announcer.show(self._view)
        self._timers.show(self._view.player, self._terms.judge_again_ms)

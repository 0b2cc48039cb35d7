"""One guild, one actor: the single writer of its player.

It takes jobs and events in order. For each: look-ups, which may be repeated; the new state, by a pure
function; one commit. Then the converger brings Lavalink and Discord to the state, and the announcer the message with
the buttons.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec

from tonearm.discord import cards
from tonearm.errors import LeaseLost, Refused, UserError
from tonearm.jobs.job import Answer, Job
from tonearm.music.actions import Play, Scene
from tonearm.music.change import Change
from tonearm.music.events import Disconnected, Event, TrackOver
from tonearm.music.player import Player
from tonearm.music.track import Loaded, Track
from tonearm.postgres.pool import Pool
from tonearm.postgres.settings import GuildSettings
from tonearm.redis import guilds
from tonearm.redis.client import FAILURES, Client
from tonearm.sentences import Sentence
from tonearm.telemetry import EVENTS_DROPPED, JOB_SECONDS, JOBS, LOG, TRACK_ENDS, context
from voice_nodes.announcer import Announcer
from voice_nodes.backoff import Backoff
from voice_nodes.converger import JOIN_FAILED, Converger
from voice_nodes.defaults import default_volume
from voice_nodes.gateway import Gateway
from voice_nodes.intake import Received
from voice_nodes.lavalink import Sound
from voice_nodes.lease import Lease

T = TypeVar("T")

EPHEMERAL = 1 << 6
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
        pool: Pool | None = None,
    ) -> None:
        self.guild = guild
        self.announcer = announcer
        self.converger = Converger(guild, gateway=gateway, sound=sound, now_ms=lease.now_ms, submit=self.submit)
        self._shard = shard
        self._redis = redis
        self._lease = lease
        self._gateway = gateway
        self._sound = sound
        self._on_deferred = on_deferred
        self._on_end = on_end
        self._pool = pool
        self._first_volume = GuildSettings().default_volume
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

    def now_ms(self) -> int:
        """Redis' clock."""
        return self._lease.now_ms()

    async def finished(self) -> None:
        """Wait until nothing is in hand and nothing waits."""
        await self._inbox.join()

    async def run(self) -> None:
        """Work until cancelled, or until there has been nothing to do for a while; then ``on_end`` is called.

        Raises:
            LeaseLost: the shard is another's.
        """
        self._view = await self._patiently(lambda: guilds.fetch_view(self._redis, self._shard, self.guild))
        if not self._view.player.last_play:
            self._first_volume = await default_volume(self._pool, self.guild)
        self._view = self._begun(self._view)
        while True:
            async with asyncio.TaskGroup() as tasks:
                helpers = [tasks.create_task(self.converger.run()), tasks.create_task(self.announcer.run())]
                self._show()
                await self._work()
                for helper in helpers:
                    helper.cancel()
            if self._inbox.empty():
                # At once with this look, so that nothing can be given to an actor that has ended.
                self._on_end()
                return

    def _begun(self, view: guilds.GuildView) -> guilds.GuildView:
        """A guild's first player has the volume that the guild has set."""
        if view.player.last_play:
            return view
        player = msgspec.structs.replace(view.player, volume=self._first_volume)
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
                if isinstance(item, Received):
                    await self._do(item)
                else:
                    await self._take_note(item)
            except (LeaseLost, asyncio.CancelledError):
                raise
            except Exception:
                LOG.exception("A guild's event was not handled", extra=context(guild=self.guild))
            finally:
                self._inbox.task_done()

    async def _do(self, received: Received) -> None:
        job = received.job
        kind = type(job.action).__struct_config__.tag
        change: Change | None = None
        try:
            change = await self._decide(received)
            answer = self._answer(job, change)
            outcome = "done"
        except UserError as refusal:
            answer = _private(str(refusal))
            outcome = refusal.sentence.name.lower()
        except LeaseLost:
            raise
        except Exception:
            LOG.exception("A job failed", extra=context(job=job.id, guild=self.guild))
            answer = _private(Sentence.INTERNAL.value.format(id=job.id))
            outcome = "internal"
        committed = await self._commit(job.id, change, received=received, answer=answer)
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

    async def _decide(self, received: Received) -> Change:
        job = received.job
        now = self._lease.now_ms()
        waited = now - received.asked_ms
        if waited > job.valid_ms:
            raise Refused(Sentence.NOT_DONE_IN_TIME, seconds=waited // 1000)
        caller = self._gateway.caller_channel(self.guild, job.user) if job.action.needs_caller else None
        loaded = await self._look_up(job, caller)
        scene = self._scene(
            job=job.id,
            user=job.user,
            asked_ms=received.asked_ms,
            text_channel=job.text_channel,
            caller_channel=caller,
            seen_play=received.seen_play,
            loaded=loaded,
        )
        return job.action.apply(scene)

    async def _look_up(self, job: Job, caller: int | None) -> Loaded | None:
        """What the action needs to know of the world; the cheap reasons to refuse come before the dear look-ups."""
        if not isinstance(job.action, Play):
            await self._sound.require_alive(self.guild)
            return None
        if caller is None:
            raise Refused(Sentence.NOT_IN_VOICE)
        if caller != self._view.player.voice_channel:
            self._gateway.require_entry(self.guild, caller)
        return await self._sound.fetch_tracks(job.action.query, self.guild)

    async def _take_note(self, event: Event) -> None:
        scene = self._scene(job=event.id, user=0, asked_ms=self._lease.now_ms(), text_channel=0)
        change = event.apply(scene)
        if change is None:
            EVENTS_DROPPED.labels(type(event).__name__).inc()
            return
        if isinstance(event, TrackOver):
            TRACK_ENDS.labels(change.what).inc()
        await self._commit(event.id, change)
        if isinstance(event, Disconnected) and event.cause.startswith(JOIN_FAILED):
            self.announcer.say(Sentence.JOIN_FAILED.value.format(channel=event.channel), event.cause)

    def _scene(self, **known: object) -> Scene:
        return Scene(
            now_ms=self._lease.now_ms(),
            player=self._view.player,
            queue_length=self._view.queue_length,
            first=self._view.first,
            **known,  # type: ignore[arg-type]
        )

    def _answer(self, job: Job, change: Change) -> Answer:
        now = self._lease.now_ms()
        queue = change.queue
        length = (0 if queue.clear else self._view.queue_length) - int(queue.take_first)
        length += len(queue.prepend) + len(queue.append)
        if job.reply is not None and job.reply.component:
            body = cards.player_message(change.player, max(0, length), following=self._following(change), now_ms=now)
        else:
            assert change.outcome is not None
            body = cards.outcome(change.outcome, change.player, queue_length=max(0, length), now_ms=now)
        return Answer(msgspec.Raw(msgspec.json.encode(body)), lasting=True)

    def _following(self, change: Change) -> Track | None:
        """The track after the current one, as far as it is known before the commit."""
        queue = change.queue
        if queue.prepend:
            return queue.prepend[0].track
        if queue.clear or queue.take_first:
            return None
        return self._view.first.track if self._view.first else None

    async def _commit(
        self, id: str, change: Change | None, *, received: Received | None = None, answer: Answer | None = None
    ) -> guilds.Committed:
        """Write it, and show what is so now."""
        job = received.job if received else None
        committed = await self._patiently(
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
            )
        )
        before = self._view.player.playing
        self._view = self._begun(committed.view)
        started = committed.view.player.playing
        if not committed.again and started is not None and (before is None or before.play != started.play):
            self.converger.begins(started.play)
        if change is not None:
            self._show()
        return committed

    def _show(self) -> None:
        self.converger.show(self._view.player)
        self.announcer.show(self._view)

    async def _patiently(self, call: Callable[[], Awaitable[T]]) -> T:
        """``call``, again and again while Redis is away and the shard is ours."""
        backoff = Backoff()
        while True:
            self._lease.check()
            try:
                return await call()
            except FAILURES as error:
                LOG.warning("Redis does not answer: %r", error, extra=context(guild=self.guild))
            await backoff.wait()


def _private(text: str) -> Answer:
    body = cards.sentence(text)
    body["flags"] = body.get("flags", 0) | EPHEMERAL
    return Answer(msgspec.Raw(msgspec.json.encode(body)), private=True)

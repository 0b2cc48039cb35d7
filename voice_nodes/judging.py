"""What becomes of a job: the look-ups that it needs, what it does to its guild, and how often that is tried."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from tonearm.errors import Away, LeaseLost, Refused, UserError
from tonearm.jobs.job import WHERE_IT_PLAYS, Job
from tonearm.music.actions import Play, Scene
from tonearm.music.change import Change
from tonearm.music.saved import Forget, Restore
from tonearm.music.track import Loaded
from tonearm.redis import dead
from tonearm.redis.client import Client
from tonearm.redis.guilds import GuildView
from tonearm.sentences import Sentence
from tonearm.telemetry import LOG, context
from voice_nodes import replying
from voice_nodes.gateway import Gateway
from voice_nodes.intake import Received
from voice_nodes.lavalink import Sound
from voice_nodes.lease import Lease
from voice_nodes.patience import patiently
from voice_nodes.replying import Verdict
from voice_nodes.terms import GuildTerms

MOST_ATTEMPTS = 3
"""A job that fails in a way that nobody expected, or whose node does not live to its end, is given up after so many."""

RETRY_AFTER = (0.1, 0.4, 1.6)
"""Seconds between attempts of a job that needs something which is away."""


class Judge:
    """One guild's. ``view`` is how the guild is at the moment, ``scene`` makes of it what an action looks at."""

    def __init__(
        self,
        guild: int,
        *,
        shard: int,
        redis: Client,
        lease: Lease,
        gateway: Gateway,
        sound: Sound,
        terms: GuildTerms,
        view: Callable[[], GuildView],
        scene: Callable[..., Scene],
    ) -> None:
        self._guild = guild
        self._shard = shard
        self._redis = redis
        self._lease = lease
        self._gateway = gateway
        self._sound = sound
        self._terms = terms
        self._view = view
        self._scene = scene

    async def judge(self, received: Received) -> Verdict:
        """Try it as often as that may help. Later jobs of the guild wait meanwhile."""
        job = received.job
        if received.unreadable:
            return self.give_up(job, received.unreadable)
        if received.again:
            tries, done = await patiently(
                lambda: dead.count_attempt(self._redis, self._shard, job.id, self._lease.token), self._lease
            )
            if done:
                return Verdict("again")
            if tries >= MOST_ATTEMPTS:  # and once before it was taken over
                return self.give_up(job, f"was begun {tries} times and never finished: it may end its node")
        attempt = 0
        while True:
            attempt += 1
            try:
                change = await self._lease.persist(lambda: self._decide(received))
                return Verdict("done", replying.done(job, change, self._view(), self._lease.now_ms()), change)
            except LeaseLost:
                raise
            except UserError as error:
                reason = f"{type(error).__name__} ({error.sentence.name})"
                # A person is told at once, and may ask again; what nobody waits for is tried again by us.
                if job.is_awaited or not isinstance(error, Away):
                    sentence = str(error)
                    return Verdict(error.sentence.name.lower(), replying.private(sentence), reason=sentence)
                last = attempt > len(RETRY_AFTER)
            except Exception as error:
                LOG.exception("A job failed", extra=context(job=job.id, guild=self._guild, attempt=attempt))
                reason = type(error).__name__
                last = attempt >= MOST_ATTEMPTS
            wait = 0.0 if last else RETRY_AFTER[attempt - 1]
            if last or self._lease.now_ms() + wait * 1000 > received.asked_ms + job.valid_ms:
                return self.give_up(job, f"{reason}, {attempt} times")
            await asyncio.sleep(wait)

    def give_up(self, job: Job, reason: str) -> Verdict:
        """What is answered to a job that goes to the dead letters."""
        LOG.error("A job is given up: %s", reason, extra=context(job=job.id, guild=self._guild))
        return Verdict("dead", replying.private(Sentence.INTERNAL.value.format(id=job.id)), given_up=reason)

    async def _decide(self, received: Received) -> Change:
        job = received.job
        now = self._lease.now_ms()
        waited = now - received.asked_ms
        if waited > job.valid_ms:
            raise Refused(Sentence.NOT_DONE_IN_TIME, seconds=waited // 1000)
        caller = await self._caller_channel(job)
        loaded = await self._look_up(job, caller)
        await self._terms.refresh()
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

    async def _caller_channel(self, job: Job) -> int | None:
        """Where its caller is, or acts as though they were."""
        if not job.action.needs_caller:
            return None
        if job.voice_channel is None:
            # To all wishes but one it is the same whether somebody is elsewhere or nowhere.
            here = None if isinstance(job.action, Play) else self._view().player.voice_channel
            return await self._gateway.fetch_caller_channel(self._guild, job.user, here=here)
        return self._view().player.voice_channel if job.voice_channel == WHERE_IT_PLAYS else job.voice_channel

    async def _look_up(self, job: Job, caller: int | None) -> Loaded | None:
        """What the action needs to know of the world; the cheap reasons to refuse come before the dear look-ups."""
        if isinstance(job.action, Play) and caller is None:
            raise Refused(Sentence.NOT_IN_VOICE)
        if isinstance(job.action, Play | Restore) and caller and caller != self._view().player.voice_channel:
            self._gateway.require_entry(self._guild, caller)
        if isinstance(job.action, Play):
            return await self._sound.fetch_tracks(job.action.query, self._guild)
        if not isinstance(job.action, Forget):
            await self._sound.require_alive(self._guild)
        return None

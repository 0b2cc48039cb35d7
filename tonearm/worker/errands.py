"""What each errand does, once in effect, and what is answered."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import msgspec

from tonearm.cache import TermsCache
from tonearm.discord.components import Message, private
from tonearm.discord.office import NOTHING_SOLD, always_on_message, plan_message, settings_message
from tonearm.errors import Refused
from tonearm.jobs.errand import (
    ChangeSettings,
    ErrandJob,
    ManagePlan,
    SetAlwaysOn,
    ShowPlan,
    ShowSettings,
    StartTrial,
    Subscribe,
)
from tonearm.jobs.job import Answer
from tonearm.music.guild_settings import GuildSettings
from tonearm.postgres import grants, guild_settings, trials
from tonearm.postgres.errands import do_once
from tonearm.postgres.pool import Connection, Pool
from tonearm.premium.gate import require_feature
from tonearm.premium.grants import TRIAL, Event, Grant, Source, judge
from tonearm.premium.plans import FREE, PREMIUM, Feature, Plan, PlanId, Shelf
from tonearm.premium.states import Kind
from tonearm.sentences import Sentence
from tonearm.worker.till import Till, payer_of


def wall_clock() -> datetime:
    """Now."""
    return datetime.now(UTC)


class Office:
    """Does errands. ``base`` is what a guild has without any grant; ``shelf`` is what Discord sells, and ``prices``
    what Stripe sells at ``till``, where there is one.
    """

    def __init__(
        self,
        pool: Pool,
        cache: TermsCache,
        *,
        shelf: Shelf,
        base: Plan = FREE,
        prices: Shelf = NOTHING_SOLD,
        till: Till | None = None,
        clock: Callable[[], datetime] = wall_clock,
    ) -> None:
        self._pool = pool
        self._cache = cache
        self._shelf = shelf
        self._base = base
        self._prices = prices if till is not None else NOTHING_SOLD
        self._till = till
        self._clock = clock

    async def do(self, job: ErrandJob) -> Answer:
        """Do it, unless it was done before, and say what its person is to see.

        Raises:
            Refused: it can't be done. Nothing was changed.
            FAILURES: PostgreSQL doesn't answer, or refuses. It may have been done; doing it again is safe.
        """
        match job.action:
            case ShowPlan():
                theirs = await grants.fetch_grants(self._pool, job.guild)
                used = await trials.fetch_used(self._pool, job.guild, payer_of(job))
                return _answer(job, self._plan(job, theirs, self._clock(), trial=not any(used)))
            case StartTrial():
                return await self._start_trial(job)
            case Subscribe(plan):
                return _answer(job, await self._require_till().subscribe(job, PlanId(plan)))
            case ManagePlan():
                return _answer(job, await self._require_till().manage(job))
            case ShowSettings():
                settings = await guild_settings.fetch_guild_settings(self._pool, job.guild)
                return _answer(job, settings_message(settings))
            case SetAlwaysOn(on):
                return await self._changing(job, lambda connection: self._set_always_on(connection, job, on))
            case ChangeSettings() as change:
                return await self._changing(job, lambda connection: self._change(connection, job, change))

    async def _changing(self, job: ErrandJob, work: Callable[[Connection], Awaitable[Answer]]) -> Answer:
        answer = await do_once(self._pool, job.id, self._clock(), work)
        # After a crash in between it is done again, and so is this.
        await self._cache.forget(job.guild)
        return answer

    async def _start_trial(self, job: ErrandJob) -> Answer:
        now = self._clock()
        event = Event(f"trial:{job.id}", Kind.START_TRIAL, now, PREMIUM.id, now + TRIAL, payer=payer_of(job))
        begun: grants.Recorded | None = None  # by the last attempt at the transaction

        async def begin(connection: Connection) -> Answer:
            nonlocal begun
            begun = await grants.record_in(
                connection, job.guild, Source.TRIAL, str(job.guild), event, now=now, asked=True
            )
            theirs = await grants.fetch_grants_in(connection, job.guild)
            return _answer(job, self._plan(job, theirs, now, trial=False))

        answer = await self._changing(job, begin)
        if begun is not None:
            grants.count(event.kind, begun)
        return answer

    async def _set_always_on(self, connection: Connection, job: ErrandJob, on: bool) -> Answer:
        after = await self._save(connection, job.guild, ChangeSettings(always_on=on))
        return Answer(msgspec.Raw(msgspec.json.encode(always_on_message(after))), lasting=True)

    async def _change(self, connection: Connection, job: ErrandJob, change: ChangeSettings) -> Answer:
        return _answer(job, settings_message(await self._save(connection, job.guild, change)))

    async def _save(self, connection: Connection, guild: int, change: ChangeSettings) -> GuildSettings:
        before = await guild_settings.fetch_in(connection, guild)
        after = _changed(before, change)
        theirs = await grants.fetch_grants_in(connection, guild)
        plan = judge(theirs, self._clock(), base=self._base).plan
        # What was saved under another plan stays; only what is new has to be allowed.
        if after.always_on and not before.always_on:
            require_feature(plan, Feature.ALWAYS_ON)
        if after.default_volume > before.default_volume:
            require_feature(plan, Feature.VOLUME, after.default_volume)
        if after != before:
            await guild_settings.save_in(connection, guild, after)
        return after

    def _plan(self, job: ErrandJob, theirs: tuple[Grant, ...], now: datetime, *, trial: bool) -> Message:
        access = judge(theirs, now, base=self._base)
        trial = trial and access.grant is None
        return plan_message(access, trial=trial, shelf=self._shelf, prices=self._prices, user=job.user)

    def _require_till(self) -> Till:
        if self._till is None:
            raise Refused(Sentence.NOT_SOLD)
        return self._till


def _changed(before: GuildSettings, change: ChangeSettings) -> GuildSettings:
    wanted = {name: value for name, value in msgspec.structs.asdict(change).items() if value is not None}
    return msgspec.structs.replace(before, **wanted)


def _answer(job: ErrandJob, body: Message) -> Answer:
    """For the caller only: a command's answer is private, and a click changes the message that was private already."""
    if job.reply is not None and job.reply.component:
        return Answer(msgspec.Raw(msgspec.json.encode(body)))
    return Answer(msgspec.Raw(msgspec.json.encode(private(body))), private=True)

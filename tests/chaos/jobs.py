"""Promise 7: nothing lost, nothing doubled, nothing out of order, whatever is killed meanwhile."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import time
import traceback
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import asdict
from http import HTTPStatus
from pathlib import Path
from typing import Any, TypeVar

import aiohttp

from playground.twin.client import TwinError
from playground.twin.messages import texts
from playground.twin.seen import RawReply, Reply, Unanswered
from tests.chaos.books import Books
from tests.chaos.checker import DONE, FAILED, REFUSED, SILENT, Found, Sent, Verdict, check
from tests.chaos.faults import Faults, Struck
from tests.chaos.outcome import Happened, Outcome, Watch
from tests.chaos.plan import PARTS, Job, Plan, beginnings, tone_hz
from tests.chaos.rooms import Room, open_rooms
from tests.chaos.script import QUEUED, Script
from tests.chaos.told import told
from tests.chaos.tones import make_marked
from tonearm.child_logs import Log

T = TypeVar("T")

PEOPLE = 2
FINAL_SECONDS = 180.0
"""How long a deferred answer may take before it counts as silence: until all that stands before it is mended."""
SETTLE_SECONDS = 90.0
LAST_TRIES, LAST_AGAIN, LAST_EVERY = 3, 2.0, 0.1
PATIENT_TRIES = 5
WATCH_SECONDS = 1.5
STRIKES = 3
"""So often a fault is tried where the twin does not answer, or nobody is there to be harmed; then it is missing."""


def make_tones(folder: Path, plan: Plan) -> None:
    """Write what the plan wants to hear; files that are there are kept."""
    asked = [*plan.jobs, *plan.last]
    for number in range(1 + max((job.tone for job in asked if job.tone is not None), default=0)):
        make_marked(folder, title(number), tone_hz(number), PARTS)


def title(number: int) -> str:
    """What a tone is asked for by."""
    return f"tone{number:04}"


class Jobs:
    """One run of a plan."""

    def __init__(self, script: Script, plan: Plan, guilds: int, log: Log) -> None:
        self._script = script
        self._cluster = script.cluster
        self._plan = plan
        self._guilds = guilds
        self._rooms: list[Room] = []
        self._replies: list[tuple[Job, Reply, int]] = []
        self._keys = itertools.count()
        self._sent: list[Sent] = []
        self._sent_ms: dict[str, int] = {}
        self._struck: list[Struck] = []
        self._watches: list[Watch] = []
        self._notes: list[str] = []
        self._missed: list[str] = []
        self._void: list[str] = []
        self._unjudged: set[int] = set()
        self._last: dict[int, Reply] = {}
        self._packets_lost = 0
        self._unwatched = 0
        self._write = log
        self._made = time.monotonic()
        self._ended: dict[str, tuple[int, str]] = {}

    async def run(self) -> Outcome:
        """Everything; the cluster is whole again in the end."""
        self._rooms = await open_rooms(self._cluster.twin, self._guilds, self._cluster.shape.shards, PEOPLE)
        await asyncio.gather(*(room.ear.follow() for room in self._rooms))
        books = Books(self._script, self._rooms)
        begun = asyncio.get_running_loop().time()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._guarded("faults", self._trouble(begun, tasks)))
            for job in self._plan.jobs:
                asking = self._ask(begun, job) if job.by_script else self._use(begun, job)
                tasks.create_task(self._guarded(job, asking))
            for deal in self._plan.deals:
                tasks.create_task(self._guarded(deal, books.deal(begun, deal)))
        self._log("the plan is over")
        await self._settle()
        self._log("settled")
        await self._watch(None)
        await asyncio.gather(*(self._guarded(job, self._insist(job, n)) for n, job in enumerate(self._plan.last)))
        await self._settle()
        self._log("settled again")
        await self._outcomes()
        outcome = await self._judge()
        await self._guarded("books", self._compare(books, outcome))
        outcome.missed += books.missed
        outcome.void = self._void + books.void
        return outcome

    async def _compare(self, books: Books, outcome: Outcome) -> None:
        outcome.books = await books.compare()

    async def _guarded(self, what: object, work: Coroutine[Any, Any, object]) -> None:
        """What breaks here is missed; it must not take the rest of a long run with it."""
        try:
            await work
        except Exception as error:
            self._write("chaos", "".join(traceback.format_exception(error)))
            self._missed.append(f"{what}: {error!r}")

    def _log(self, word: str) -> None:
        self._write("chaos", f"{time.monotonic() - self._made:6.1f} s: {word}")

    # People.

    async def _insist(self, job: Job, number: int) -> None:
        """All is mended: one guild after the other; whoever is refused or not answered asks again once or twice."""
        await asyncio.sleep(number * LAST_EVERY)
        for _ in range(LAST_TRIES):
            reply = await self._use(0.0, job)
            if reply is None:
                return
            self._last[id(job)] = reply
            outcome, word, text = _outcome(await reply.refresh())
            if outcome != REFUSED and (outcome != FAILED or reply.status is not None):
                return
            self._notes.append(f"guild {job.guild} asked again when all was mended: {word or text}")
            await asyncio.sleep(LAST_AGAIN)

    async def _use(self, begun: float, job: Job) -> Reply | None:
        await _until(begun + job.at)
        room = self._rooms[job.guild]
        options: dict[str, Any] = {}
        if job.tone is not None:
            options = {"query": title(job.tone), "where": job.where}
        elif job.percent is not None:
            options = {"percent": job.percent}
        now_ms = _wall_ms()
        person = room.people[job.person]
        try:
            reply = await person.command_with(room.guild, room.text, job.kind, options, twice=job.twice)
        except TwinError as error:
            self._missed.append(f"the twin would not send {job}: {error!r}")
            return None
        except TimeoutError as error:
            self._void.append(f"the twin did not say whether it sent {job}: {error!r}; guild {job.guild} is not judged")
            self._unjudged.add(job.guild)
            return None
        self._replies.append((job, reply, now_ms))
        # What comes of it is looked at in the end; a frozen HTTP process may answer this further delivery not at all.
        # What was refused is not delivered again: nothing is known of it, so it would be done after all.
        with suppress(Unanswered, TimeoutError):
            message = await reply.answer(timeout=FINAL_SECONDS)
            self._ended[reply.interaction_id] = (time.monotonic_ns(), message.text)
            if job.twice and told(message.text) == DONE:
                await reply.again()
        return reply

    async def _ask(self, begun: float, job: Job) -> None:
        """The same by a script, which asks again until it is told; and once more where it does so twice."""
        await _until(begun + job.at)
        room = self._rooms[job.guild]
        wish = {"guild_id": str(room.guild.id), "actor": str(room.people[job.person].id)}
        wish["voice_channel_id"] = str(room.voice.id)
        if job.tone is not None:
            wish |= {"query": title(job.tone), "where": str(job.where)}
        body = wish if job.percent is None else {**wish, "volume": job.percent}
        path, key = f"/music/{job.kind}", f"job-{next(self._keys):06}"
        now_ms, sent_ns = _wall_ms(), time.monotonic_ns()
        try:
            answer, _ = await self._script.insist(path, body, key, FINAL_SECONDS)
            told_ns = time.monotonic_ns()
            if answer.status == QUEUED:
                if job.twice:
                    await self._script.insist(path, body, key, FINAL_SECONDS)
                answer = await self._script.ended(answer, FINAL_SECONDS)
        except TimeoutError:
            self._missed.append(f"{job.kind} by script was not answered within {FINAL_SECONDS:g} s: {key}")
            return
        if answer.status >= 400:
            self._missed.append(f"{job.kind} by script was refused: {answer.status} {answer.word}: {answer.text}")
            return
        outcome, word = (DONE, "") if answer.word == DONE else (REFUSED, answer.word)
        name, tone = f"a:{answer.body['id']}", None if job.tone is None else title(job.tone)
        self._sent_ms[name] = now_ms
        about = (job.guild, job.kind, sent_ns, told_ns, outcome, answer.text, tone, job.where, job.percent)
        self._sent.append(Sent(name, *about, word, time.monotonic_ns()))

    async def _outcomes(self) -> None:
        """What every person reads in the end: an answer may have taken the place of another."""
        for job, reply, now_ms in self._replies:
            outcome, word, text = _outcome(await patiently(reply.refresh))
            name, slot = f"i:{reply.interaction_id}", f"{{s{self._rooms[job.guild].shard}}}"
            done = outcome == REFUSED and shows_done(reply.second)
            # Where Redis never heard of the delivery that was refused, nobody could put its sentence right.
            if done and not await self._cluster.redis.hexists(f"{slot}:job:{name}", "again"):
                outcome, word = DONE, ""
            if outcome != DONE and self._last.get(id(job)) is reply:
                self._missed.append(f"guild {job.guild}: no control when all was mended: {word} {text[:100]}")
            answered = None if outcome == FAILED else reply.answered_at_ns
            tone = None if job.tone is None else title(job.tone)
            about = (job.guild, job.kind, reply.sent_at_ns, answered, outcome, text, tone, job.where, job.percent)
            self._sent_ms[name] = now_ms
            ended, first = self._ended.get(reply.interaction_id, (None, ""))
            if outcome == REFUSED and first != text:  # it was told something else at first, and this at some time
                ended = time.monotonic_ns()
            self._sent.append(Sent(name, *about, word, ended, id(job) in self._last))

    # Faults.

    async def _trouble(self, begun: float, tasks: asyncio.TaskGroup) -> None:
        faults = Faults(self._cluster, self._rooms)

        async def strike(number: int) -> None:
            fault = self._plan.faults[number]
            self._log(f"{fault.kind} begins")
            for _ in range(STRIKES):
                try:
                    struck = await faults.strike(fault)
                except (TimeoutError, TwinError) as error:
                    self._notes.append(f"{fault.kind} could not be made at once: {error!r}")
                else:
                    self._log(f"{fault.kind} is mended: {struck.whom}")
                    self._struck.append(struck)
                    return

        for number, fault in enumerate(self._plan.faults):
            await _until(begun + fault.at)
            await self._watch(fault.kind.value)
            tasks.create_task(self._guarded(fault, strike(number)), name=fault.kind.value)

    async def _watch(self, kind: str | None) -> None:
        begun_ms, drops = _wall_ms(), 0
        try:
            # No busy twin may hold the next fault up.
            async with asyncio.timeout(None if kind is None else WATCH_SECONDS):
                reports = await asyncio.gather(*(patiently(room.ear.report) for room in self._rooms))
            self._packets_lost, drops = sum(report.lost for report in reports), reports[0].socket_drops
        except TimeoutError:
            self._unwatched += 1
        if self._watches:
            self._watches[-1].lost = self._packets_lost - self._watches[-1].lost_before
        if kind is not None:
            self._watches.append(Watch(kind, begun_ms, self._packets_lost))
        elif drops:
            self._missed.append(f"void: the kernel dropped {drops} datagrams, so nobody knows what was heard")

    # The end.

    async def _settle(self) -> None:
        """Wait until everybody is there, no job waits and no answer is owed."""
        redis, processes = self._cluster.redis, self._cluster.processes
        waiting: dict[str, int] = {}
        try:
            async with asyncio.timeout(SETTLE_SECONDS):
                await asyncio.gather(*(processes.wait_ready(name) for name in processes.names("")))
                await self._cluster.wait_owned()
                while True:
                    for shard in range(self._cluster.shape.shards):
                        waiting[f"jobs of shard {shard}"] = await redis.xlen(f"{{s{shard}}}:jobs")
                        waiting[f"answers of shard {shard}"] = await redis.zcard(f"{{s{shard}}}:outbox")
                    if not any(waiting.values()):
                        return
                    await asyncio.sleep(0.2)
        except TimeoutError:
            left = {what: count for what, count in waiting.items() if count}
            self._missed.append(f"not settled {SETTLE_SECONDS:g} s after all was mended: {left or 'not all are ready'}")

    async def _judge(self) -> Outcome:
        verdict = Verdict()
        done_ms: dict[str, int] = {}
        happened: list[Happened] = []
        kept: list[int] = []
        clock = time.time() - time.monotonic()
        by_guild: dict[int, list[Sent]] = defaultdict(list)
        for job in self._sent:
            by_guild[job.guild].append(job)
        dead = [await self._dead(shard) for shard in range(self._cluster.shape.shards)]

        async def judge(number: int, room: Room) -> None:
            found = await self._found(room, dead[room.shard])
            done_ms.update((entry["id"], entry["at_ms"]) for entry in found.log)
            one = check(by_guild[number], found)
            if number in self._unjudged:
                return
            if not one.good or one.befallen:
                kept.append(number)
                self._keep(number, by_guild[number], found, one, [s.started_ns for s in await room.ear.starts()])
            name = room.guild.name
            happened.extend(Happened(each.what, name, each.id, each.at_ms / 1000 - clock) for each in one.befallen)
            verdict.add(one)

        for number, room in enumerate(self._rooms):
            await self._guarded(f"the verdict on guild {number}", judge(number, room))
        if kept:
            self._notes.append(f"All that is known of a guild is in guild-N.json, for {', '.join(map(str, kept))}.")
        if self._unwatched:
            busy = f"{self._unwatched} of {len(self._watches)} times"
            self._notes.append(
                f"{busy} the twin was too busy to tell of lost packets: they are laid to the next fault."
            )
        planned = Counter(fault.kind for fault in self._plan.faults)
        found_out = (self._sent, planned, self._struck, self._watches, self._sent_ms, done_ms)
        return Outcome(verdict, *found_out, self._notes, self._missed, happened=happened)

    def _keep(self, number: int, sent: list[Sent], found: Found, verdict: Verdict, heard_at: list[int]) -> None:
        """Write down everything about a guild in which something was wrong."""
        about = {
            "verdict": asdict(verdict),
            "sent": [asdict(job) for job in sorted(sent, key=lambda job: job.sent)],
            "found": asdict(found),
            "heard_at_ns": heard_at,
        }
        path = self._cluster.folder / f"guild-{number}.json"
        path.write_text(json.dumps(about, indent=1, ensure_ascii=False), encoding="utf-8")

    async def _found(self, room: Room, dead: list[str]) -> Found:
        pipe = self._cluster.redis.pipeline(transaction=True)
        prefix = f"{{s{room.shard}}}:g:{room.guild.id}"
        pipe.lrange(f"{prefix}:log", 0, -1)
        pipe.hget(f"{prefix}:player", "state")
        pipe.zrange(f"{prefix}:queue", 0, -1)
        log, player, queue = await pipe.execute()
        starts = [start.frequency for start in await patiently(room.ear.starts)]
        return Found(
            [json.loads(entry) for entry in log],
            json.loads(player) if player else {},
            [id.decode() for id in queue],
            dead,
            [title(number) for number in beginnings(starts)],
        )

    async def _dead(self, shard: int) -> list[str]:
        """Ids of dead letters, in whatever form they are kept."""
        redis = self._cluster.redis
        found: set[str] = set()
        async for key in redis.scan_iter(match=f"{{s{shard}}}:dead*"):
            match await redis.type(key):
                case b"stream":
                    raw: Any = await redis.xrange(key)
                case b"zset":
                    raw = await redis.zrange(key, 0, -1)
                case b"hash":
                    raw = await redis.hgetall(key)
                case _:
                    raw = await redis.lrange(key, 0, -1)
            found.update(re.findall(r"i:\d{15,}|a:[0-9a-f]{64}", repr(raw)))
        return sorted(found)


async def patiently(ask: Callable[[], Awaitable[T]]) -> T:
    """Of a twin that is busy, when all is over: ask again.

    Raises:
        TimeoutError: it never answered.
    """
    for _ in range(PATIENT_TRIES - 1):
        with suppress(TimeoutError, aiohttp.ClientError):
            return await ask()
    return await ask()


def _outcome(reply: Reply) -> tuple[str, str, str]:
    """How it ended, the name of the sentence if it was one, and the text."""
    if reply.failed is not None:
        return FAILED, "", str(reply.reason)
    if not reply.ended or reply.message is None:
        return SILENT, "", repr(reply)
    text = reply.message.text
    sentence = told(text)
    return (DONE, "", text) if sentence == DONE else (REFUSED, sentence, text)


def shows_done(other: RawReply | None) -> bool:
    """Whether the answer to the other of two deliveries says that the job is done."""
    if other is None or other.status != HTTPStatus.OK:
        return False
    shown = (json.loads(other.body).get("data") or {}).get("components") or []
    return told("\n".join(each["content"] for each in texts(shown))) == DONE


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000


async def _until(moment: float) -> None:
    await asyncio.sleep(max(0.0, moment - asyncio.get_running_loop().time()))

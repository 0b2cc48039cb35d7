"""Promise 8: every failure has a sentence. Each dependency, in each trouble, under each class of command."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import Counter
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass

from playground.twin.client import TwinError
from playground.twin.seen import Reply, Unanswered
from tests.chaos.cluster import Cluster, Shape
from tests.chaos.part import Run
from tests.chaos.report import Result, Row, Sheet
from tests.chaos.rooms import Room, open_rooms
from tests.chaos.script import NO_ANSWER, QUEUED, Script
from tests.chaos.stalls import Stalls
from tests.chaos.told import DONE, UNKNOWN, told
from tests.chaos.tones import LONG, LONG_HZ, SHORT, make_pair
from tests.chaos.troubles import CLASSES, DEFERRED, FAILED, TROUBLES, Trouble

IN_TIME_MS = 2_500
STALL_MS = 500.0
TRIES = 3
"""A cell that is late while the machine stood still for so long is made again; the last time counts."""
SHARDS = 2
PEOPLE = 12
MENDED_SECONDS = 40.0
FINAL_SECONDS = 60.0
CLICKS = 5
ROUNDS, LONG_ROUNDS = 3, 10
ROUND_SECONDS, LONG_ROUND_SECONDS = 0.15, 0.6
"""Between two of a class, so that not all meet the same moment, and nobody is quicker than a guild may be."""


_TURNS = itertools.count()


@dataclass
class Asked:
    """One command, its first answer and, where that was a deferral, how it went on."""

    kind: str
    first_ms: float
    outcome: str
    deferred: bool
    text: str = ""


async def run(asked: Run) -> Result:
    """Three (or ten) commands of each class in each cell of the table."""
    folder = asked.tones / "long"
    make_pair(folder)
    shape = Shape(voice_nodes=2, workers=1, api=1, shards=SHARDS, troubled=True)
    result = Result("sentences")
    async with AsyncExitStack() as stack:
        stalls = stack.enter_context(Stalls())
        cluster = await stack.enter_async_context(Cluster(asked.folder, folder, shape, asked.log))
        script = await stack.enter_async_context(Script(cluster))
        rooms = await open_rooms(cluster.twin, SHARDS, SHARDS, PEOPLE)
        for room in rooms:
            await room.ask("play", query=LONG)
            await room.ask("play", query=SHORT)
            await room.ear.hears(LONG_HZ, within=15)
        sheet = Sheet(
            "Each dependency in trouble: what people read, and the slowest first answer (ms)",
            ("dependency", "trouble", *CLASSES, "control back (s)"),
        )
        for trouble in TROUBLES:
            if trouble.rare and not asked.long:
                continue
            begun = time.monotonic()
            for _ in range(TRIES):
                stalls.mark()
                answers, back = await _cell(script, rooms, trouble, LONG_ROUNDS if asked.long else ROUNDS)
                if all(_in_time(each) for each in answers) or stalls.worst_ms < STALL_MS:
                    break
                result.missed += _wrong(trouble, [each for each in answers if _in_time(each)], back)
                result.lines.append(
                    f"{trouble.dependency} {trouble.what}: {max(each.first_ms for each in answers):.0f} ms on a "
                    f"machine that stood still for {stalls.worst_ms:.0f} ms; made again"
                )
            _tell(result, sheet, trouble, answers, back)
            asked.log("chaos", f"{time.monotonic() - begun:6.1f} s: {trouble.dependency} {trouble.what}")
        result.missed += await cluster.complaints()
    result.sheets.append(sheet)
    return result


async def _cell(script: Script, rooms: list[Room], trouble: Trouble, rounds: int) -> tuple[list[Asked], float | None]:
    """Commands in the midst of a trouble, and how many seconds after it there was control again."""
    asking: list[asyncio.Task[Asked]] = []
    async with asyncio.TaskGroup() as tasks:
        async with trouble.make(script.cluster):
            first: list[asyncio.Future[None]] = []
            for number in range(rounds):
                for kind in CLASSES:
                    answered = asyncio.get_running_loop().create_future()
                    first.append(answered)
                    room = rooms[number % len(rooms)]
                    work = (
                        _call(script, room, answered)
                        if kind == "script"
                        else _ask(script.cluster, room, kind, answered)
                    )
                    asking.append(tasks.create_task(work, name=kind))
                await asyncio.sleep(ROUND_SECONDS if rounds == ROUNDS else LONG_ROUND_SECONDS)
            await asyncio.gather(*first)
        begun = time.monotonic()
        try:
            await asyncio.gather(*(_control_back(room) for room in rooms))
            back = time.monotonic() - begun
        except TimeoutError:
            back = None
    return [task.result() for task in asking], back


async def _ask(cluster: Cluster, room: Room, kind: str, answered: asyncio.Future[None]) -> Asked:
    try:
        try:
            reply = await _send(cluster, room, kind)
        finally:
            answered.set_result(None)
        first_ms = reply.elapsed_ms or 0.0
        if reply.failed is not None:
            return Asked(kind, first_ms, FAILED, False, str(reply.reason))
        if kind == "ping":
            return Asked(kind, first_ms, DONE if reply.type == 1 else UNKNOWN, False)
        deferred = reply.type in (5, 6)
        text = (await reply.answer(timeout=FINAL_SECONDS)).text
        return Asked(kind, first_ms, told(text), deferred, text)
    except Unanswered as unanswered:
        return Asked(kind, first_ms, DEFERRED, True, str(unanswered))
    except (TwinError, LookupError) as error:
        return Asked(kind, 0.0, UNKNOWN, False, repr(error))


async def _call(script: Script, room: Room, answered: asyncio.Future[None]) -> Asked:
    try:
        begun = time.monotonic()
        try:
            answer = await script.post("/music/volume", room, volume=20 + next(_TURNS) % 80)
        finally:
            first_ms = (time.monotonic() - begun) * 1000
            answered.set_result(None)
        deferred = answer.status == QUEUED
        if deferred:
            answer = await script.ended(answer, FINAL_SECONDS)
        return Asked("script", first_ms, answer.word, deferred, answer.text)
    except NO_ANSWER as error:
        return Asked("script", first_ms, FAILED, False, repr(error))


async def _send(cluster: Cluster, room: Room, kind: str) -> Reply:
    number = next(_TURNS)  # by turns, as nobody may send much
    match kind:
        case "play":
            return await room.say("play", number, query=SHORT)
        case "control":
            return await room.say("volume", number, percent=20 + number % 80)
        case "read":
            return await room.say("queue", number)
        case "premium":
            return await room.say("premium", number)
        case "help":
            return await room.say("help", number)
        case "button":
            return await _click(room, number)
        case _:
            return await cluster.twin.ping()


async def _click(room: Room, number: int) -> Reply:
    """Pause or Resume on the newest player, whichever it has. Others may change that between the look and the click."""
    for tries in range(CLICKS):
        messages = [each for each in await room.text.messages() if any(b.get("label") == "Skip" for b in each.buttons)]
        label = next(b["label"] for b in messages[-1].buttons if b.get("label") in ("Pause", "Resume"))
        try:
            return await room.people[number % PEOPLE].click(messages[-1], label)
        except TwinError:
            if tries == CLICKS - 1:
                raise
    raise AssertionError("the last try returns or raises")


async def _control_back(room: Room) -> None:
    """Until commands are done again, by the player and by a worker."""
    async with asyncio.timeout(MENDED_SECONDS):
        await _done_again(room, "volume", percent=50)
        await _done_again(room, "premium")


async def _done_again(room: Room, name: str, **options: int) -> None:
    while True:
        reply = await room.say(name, next(_TURNS), **options)
        with suppress(Unanswered):
            if reply.failed is None and told((await reply.answer(timeout=10)).text) == DONE:
                return
        await asyncio.sleep(0.25)


def _in_time(asked: Asked) -> bool:
    return asked.first_ms < IN_TIME_MS


def _wrong(trouble: Trouble, answers: list[Asked], back: float | None) -> list[str]:
    """What no machine that stood still excuses: what people read in time, and control that does not come back."""
    where = f"{trouble.dependency} {trouble.what}"
    found = [
        f"{where}, {each.kind}: {each.outcome}: {each.text[:150]!r}"
        for each in answers
        if not trouble.allows(each.kind, each.outcome, deferred=each.deferred)
    ]
    if back is None:
        found.append(f"{where}: no control {MENDED_SECONDS:g} s after it was mended")
    return found


def _tell(result: Result, sheet: Sheet, trouble: Trouble, answers: list[Asked], back: float | None) -> None:
    where = f"{trouble.dependency} {trouble.what}"
    wrong = _wrong(trouble, answers, back)
    result.missed += wrong
    cells, good = [], not wrong
    for kind in CLASSES:
        them = [each for each in answers if each.kind == kind]
        slowest = max(each.first_ms for each in them)
        words = Counter(f"later {each.outcome}" if each.deferred else each.outcome for each in them)
        said = ", ".join(word if len(words) == 1 else f"{times} {word}" for word, times in words.items())
        cells.append(f"{said} {slowest:.0f}")
        if slowest >= IN_TIME_MS:
            result.missed.append(f"{where}, {kind}: first answered after {slowest:.0f} ms")
            good = False
        result.figures.setdefault(where, {})[kind] = {"slowest_ms": round(slowest, 1), "told": dict(words)}
    sheet.rows.append(Row((trouble.dependency, trouble.what, *cells, "never" if back is None else f"{back:.1f}"), good))

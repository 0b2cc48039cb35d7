"""How long a function takes: cold from the POST to the emulator to the last byte, and warm.

Cold is a fresh process with the file cache warm and compiled modules; the emulator's own start is not counted. All of
it runs on one core; a share of a core is what a smaller function has.

What else the machine does makes every time longer. So what is judged in every run is processor time, beside that of a
plain function (see `beside`) in turn with it. How long it takes is judged where somebody says that the machine is
quiet.
"""

from __future__ import annotations

import itertools
import os
import statistics
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import redis.asyncio

from playground.stores.valkey import Valkey
from tests.lambda_check.emulated import Content, Emulated
from tests.lambda_check.scenes import Check
from tests.support.interactions.function import signed_event
from tests.support.interactions.signed import APPLICATION, KEY, command, interaction
from tests.support.interactions.stub_node import StubNode

BESIDE = Path(__file__).parent / "beside"

SMALL = 0.3
"""Of a core: what a function with 512 MB has."""

CFS = Path("/sys/fs/cgroup/cpu")
PERIOD_US = 100_000
WARM = 50
TRIES = 3
"""On a machine that is very busy Redis may not be reached in time, which is answered with a sentence and no figure."""

AHEAD_MS = 60_000
"""How far an interaction's making lies ahead, so that it is not too late on a machine that is very busy."""

_guilds = itertools.count(1 << 22, 1 << 22)


def ping() -> dict[str, Any]:
    """A PING of Discord's."""
    return signed_event(interaction(1))


def play() -> dict[str, Any]:
    """A /play in a guild of its own, so that no limit is reached."""
    asked = command("play", age_ms=-AHEAD_MS, query="anything")
    return signed_event({**asked, "guild_id": str(next(_guilds))})


@dataclass(frozen=True)
class Subject:
    """What is measured: a handler, what it is sent, and the body of its answer.

    ``promised_ms`` is promise 2, on a full core; ``most`` bounds the median ratio of its processor time to that of the
    subject called ``beside``.
    """

    what: str
    handler: str
    make: Callable[[], dict[str, Any]]
    answer: str
    promised_ms: float = 0
    beside: str = ""
    most: float = 0
    cold: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)
    warm: list[float] = field(default_factory=list)


NOTHING, PLAIN = "a function that does nothing", "a plain /play: PyNaCl and redis-py"
PING, DEFERRED = '{"type":1}', '{"type":5}'


def subjects(handler: str) -> list[Subject]:
    """Ours, whose handler is ``handler``, after what they are measured beside."""
    return [
        Subject(NOTHING, "nothing.ping", ping, PING),
        Subject("PING", handler, ping, PING, promised_ms=80, beside=NOTHING, most=1.5),
        Subject(PLAIN, "plain.play", play, DEFERRED),
        Subject("/play, deferred", handler, play, DEFERRED, promised_ms=180, beside=PLAIN, most=0.9),
    ]


async def measure(content: Content, folder: Path, *, rounds: int, core: int, quiet: bool) -> AsyncIterator[Check]:
    """A line for each subject, on all of ``core``; where the machine is ``quiet``, milliseconds are judged too, and all
    is measured again on a part of the core, as far as the kernel lets us have one, and not judged."""
    with kept_free(core):
        async for check in _measure(content, folder, rounds, core, quiet):
            yield check


@contextmanager
def kept_free(core: int) -> Iterator[None]:
    """This process, and what it starts otherwise, leaves ``core`` to what is measured, where there is another one."""
    all_of_them = os.sched_getaffinity(0)
    os.sched_setaffinity(0, all_of_them - {core} or all_of_them)
    try:
        yield
    finally:
        os.sched_setaffinity(0, all_of_them)


async def _measure(content: Content, folder: Path, rounds: int, core: int, quiet: bool) -> AsyncIterator[Check]:
    async with owned_valkey(folder) as url:
        settings = {
            "TONEARM_DISCORD_APPLICATION_ID": str(APPLICATION),
            "TONEARM_DISCORD_PUBLIC_KEY": KEY.verify_key.encode().hex(),
            "TONEARM_REDIS_URL": url,
            "TONEARM_INLINE_REPLY_MS": "0",
            "PYTHONPATH": str(BESIDE),
        }
        for share in (1.0, SMALL) if quiet else (1.0,):
            with part_of_a_core(share) as prefix:
                if prefix is None:
                    continue
                measured = subjects(content.handler)
                for number in range(rounds + 1):  # the first one warms the file cache
                    for each in measured:
                        found = replace(content, handler=each.handler)
                        before = ("taskset", "-c", str(core), *prefix)
                        warms = WARM * (number == rounds)
                        cold, processor, warm = await times(found, settings, before, each, warms)
                        if number:
                            each.cold.append(cold)
                            each.processor.append(processor)
                        each.warm.extend(warm)
                for each in measured:
                    good, said = figures(each, measured, quiet=quiet)
                    yield f"{each.what}, {share:g} of a core", good or share < 1, said


def figures(subject: Subject, measured: list[Subject], *, quiet: bool) -> tuple[bool, str]:
    """Whether what was measured on a full core is as it must be, and what it was."""
    cold = statistics.median(subject.cold)
    said = f"cold {cold:.0f} ms (worst of {len(subject.cold)}: {max(subject.cold):.0f})"
    good = True
    if subject.promised_ms:
        said += f", on a full core promised {subject.promised_ms:.0f}"
        good = not quiet or cold <= subject.promised_ms
    if subject.beside:
        (beside,) = (each for each in measured if each.what == subject.beside)
        ratio = statistics.median(
            ours / theirs for ours, theirs in zip(subject.processor, beside.processor, strict=True)
        )
        said += f"; of a processor {ratio:.2f} x {subject.beside} (at most {subject.most})"
        good = good and ratio <= subject.most
    return good, f"{said}; warm {statistics.median(subject.warm):.1f} ms"


async def times(
    content: Content, settings: dict[str, str], before: tuple[str, ...], subject: Subject, warms: int
) -> tuple[float, float, list[float]]:
    """Milliseconds of a cold invocation, those of a processor until then, and those of ``warms`` more invocations.

    Raises:
        AssertionError: one is answered otherwise than it should be.
    """
    for _ in range(TRIES):
        async with Emulated(content, settings, before=before) as function:
            found = [await timed(function, subject)]
            processor = function.processor_ms()
            found += [await timed(function, subject) for _ in range(warms)]
            log = function.log()
        if wrong := [answer for answer, _ in found if answer != (200, subject.answer)]:
            continue
        cold, *warm = (took for _, took in found)
        return cold, processor, warm
    raise AssertionError(f"{wrong[0]}\n{log}")


async def timed(function: Emulated, subject: Subject) -> tuple[tuple[int, str], float]:
    """Status and body of one answer, and the milliseconds until then."""
    sent = subject.make()
    began = time.perf_counter()
    answer = await function(sent)
    return (answer["statusCode"], answer["body"]), (time.perf_counter() - began) * 1000


@asynccontextmanager
async def owned_valkey(folder: Path) -> AsyncIterator[str]:
    """A Valkey whose one shard is somebody's, who takes the jobs."""
    async with Valkey(folder) as server, redis.asyncio.from_url(server.url, socket_timeout=10) as client:
        node = StubNode(client)
        await node.own(life_ms=600_000)
        yield server.url


@contextmanager
def part_of_a_core(share: float) -> Iterator[tuple[str, ...] | None]:
    """What goes before a command line that gets ``share`` of a core; ``None`` where the kernel does not let us."""
    if share >= 1:
        yield ()
        return
    group = CFS / f"tonearm-{os.getpid()}"
    try:
        group.mkdir()
        (group / "cpu.cfs_period_us").write_text(str(PERIOD_US))
        (group / "cpu.cfs_quota_us").write_text(str(int(PERIOD_US * share)))
    except OSError:
        yield None
        return
    try:
        yield ("sh", "-c", f'echo $$ > {group}/cgroup.procs && exec "$@"', "sh")
    finally:
        for _ in range(100):
            try:
                group.rmdir()
                break
            except OSError:
                time.sleep(0.05)

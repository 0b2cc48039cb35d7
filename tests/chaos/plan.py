"""What will happen, decided before anything does: the same seed makes the same plan."""

from __future__ import annotations

import random
from collections.abc import Iterable
from enum import IntEnum, StrEnum
from typing import Final, NamedTuple

FAULT_EVERY: Final = 2.6
"""Seconds from one fault to the next, at most, unless they are to come sooner. Not 3, as none is punctual."""
FIRST_FAULT: Final = 2.0
TAIL: Final = 4.0
"""Seconds of jobs after the last fault."""


class Kind(StrEnum):
    """What is done to the system."""

    VOICE_KILL = "voice node killed"
    VOICE_TERM = "voice node asked to end"
    VOICE_STOP = "voice node frozen"
    VOICE_ROLL = "all voice nodes replaced"
    HTTP_KILL = "HTTP process killed"
    HTTP_TERM = "HTTP process asked to end"
    HTTP_STOP = "HTTP process frozen"
    AUDIO_KILL = "audio node killed"
    AUDIO_TERM = "audio node asked to end"
    AUDIO_STOP = "audio node frozen"
    GATEWAY_CUT = "gateway socket cut"
    RESUME_REFUSED = "gateway RESUME refused"
    VOICE_MOVED = "voice server changed"
    VOICE_CUT = "voice socket cut"
    REDIS_KILL = "Redis killed, back with its AOF"
    REDIS_STOP = "Redis frozen"
    WORKER_KILL = "worker killed"
    WORKER_TERM = "worker asked to end"
    WORKER_STOP = "worker frozen"
    API_KILL = "API killed"
    API_TERM = "API asked to end"
    API_STOP = "API frozen"
    DATABASE_KILL = "PostgreSQL killed"
    DATABASE_STOP = "PostgreSQL frozen"
    REST_SLOW = "Discord REST slow"
    REST_500 = "Discord REST answers 500"
    REST_429 = "Discord REST answers 429"


LONGEST: Final = {Kind.REDIS_STOP: 5.0, Kind.REST_SLOW: 6.0, Kind.REST_500: 6.0, Kind.REST_429: 6.0}
"""Seconds that a fault lasts at most, where it is not 15."""
FROZEN: Final = (1.0, 15.0)


class Job(NamedTuple):
    """Somebody uses a command, or a script does through the API (``by_script``).

    ``tone`` is the number of the tone to play, never twice in a guild.
    """

    at: float
    guild: int
    person: int
    kind: str
    tone: int | None = None
    where: str | None = None
    percent: int | None = None
    twice: bool = False
    by_script: bool = False


class Deal(NamedTuple):
    """The next thing happens to a guild's subscription."""

    at: float
    guild: int


class Fault(NamedTuple):
    """Something is done to what ``target`` chooses, for so many seconds."""

    at: float
    kind: Kind
    target: int
    seconds: float


class Plan(NamedTuple):
    """Everything, in order of time (s). ``last`` comes when all is mended: one in each guild, which must be done."""

    jobs: list[Job]
    last: list[Job]
    faults: list[Fault]
    deals: list[Deal]
    seconds: float


BY_SCRIPT: Final = 0.1
"""The share of jobs that come through the API."""
DEAL_EVERY: Final = 1.0
"""Seconds, on average."""

MIX: Final[tuple[tuple[str, int], ...]] = (("play", 50), ("skip", 20), ("hold", 15), ("volume", 10), ("twice", 5))


def make_plan(
    seed: int,
    *,
    jobs: int,
    guilds: int,
    repeats: int,
    people: int = 2,
    longest: float = FROZEN[1],
    every: float = FAULT_EVERY,
) -> Plan:
    """``repeats`` faults of each kind, in any order, at most ``every`` seconds apart, and jobs all the while.

    No fault lasts longer than ``longest`` seconds.
    """
    random_faults, random_jobs = random.Random(f"{seed} faults"), random.Random(f"{seed} jobs")
    kinds = [kind for kind in Kind for _ in range(repeats)]
    random_faults.shuffle(kinds)
    at, planned = FIRST_FAULT, []
    for kind in kinds:
        most = min(longest, LONGEST.get(kind, FROZEN[1]))
        planned.append(Fault(at, kind, random_faults.randrange(1 << 16), random_faults.uniform(FROZEN[0], most)))
        at += random_faults.uniform(0.7, 1.0) * every
    seconds = max(at + TAIL, jobs / 20)
    tones = [0] * guilds
    asked = _jobs(random_jobs, jobs, tones, people, seconds)
    last = [Job(0.0, guild, 0, "play", tone, "end") for guild, tone in enumerate(tones)]
    source = random.Random(f"{seed} deals")
    moments = sorted(source.uniform(0, seconds - TAIL) for _ in range(int(seconds / DEAL_EVERY)))
    deals = [Deal(moment, source.randrange(guilds)) for moment in moments]
    return Plan(asked, last, planned, deals, seconds)


def _jobs(source: random.Random, count: int, tones: list[int], people: int, seconds: float) -> list[Job]:
    """``tones`` counts, for each guild, those that were asked for."""
    names, weights = [name for name, _ in MIX], [weight for _, weight in MIX]
    planned = []
    for at in sorted(source.uniform(0, seconds) for _ in range(count)):
        guild, person = source.randrange(len(tones)), source.randrange(people)
        chosen = source.choices(names, weights)[0]
        twice, by_script = chosen == "twice", source.random() < BY_SCRIPT
        if twice:
            chosen = source.choices(names[:-1], weights[:-1])[0]
        match chosen:
            case "play":
                where = source.choices(("end", "next", "now"), (80, 10, 10))[0]
                planned.append(Job(at, guild, person, "play", tones[guild], where, None, twice, by_script))
                tones[guild] += 1
            case "hold":
                planned.append(
                    Job(at, guild, person, source.choice(("pause", "resume")), None, None, None, twice, by_script)
                )
            case "volume":
                planned.append(Job(at, guild, person, "volume", None, None, source.randint(20, 100), twice, by_script))
            case _:
                planned.append(Job(at, guild, person, "skip", None, None, None, twice, by_script))
    return planned


FIRST_TONE_HZ: Final = 400.0
TONE_STEP_HZ: Final = 40.0


class Part(IntEnum):
    """Where in a tone it is."""

    OPENING = 0
    BRIDGE = 1
    REST = 2


PARTS: Final[tuple[tuple[float, float], ...]] = ((-13.0, 0.8), (0.0, 1.2), (13.0, 8.0))
"""How far each part is from the tone's own frequency (Hz), and how long it is (s). Whoever goes on elsewhere may be a
second off (promise 6), so the bridge is longer than that: an opening after the rest is another beginning."""
PART_HZ: Final = 5.0
"""So far from a part's frequency it is still that part."""


def tone_hz(number: int) -> float:
    """The frequency of a tone's bridge, Hz."""
    return FIRST_TONE_HZ + TONE_STEP_HZ * number


def tone_of(frequency: float) -> tuple[int, Part] | None:
    """The tone, and the part of it, that a heard frequency is; ``None`` for what is between two of them."""
    number = round((frequency - FIRST_TONE_HZ) / TONE_STEP_HZ)
    if number < 0:
        return None
    off = frequency - tone_hz(number)
    return next(((number, part) for part in Part if abs(off - PARTS[part][0]) <= PART_HZ), None)


def beginnings(frequencies: Iterable[float]) -> list[int]:
    """The tones that began, once for each time, from all that was heard: what the ear tells is a change of pitch.

    A tone begins where another was heard before it, and where its opening is heard though its rest had been. That it
    was begun again within its first two seconds is not heard.
    """
    begun: list[int] = []
    reached: tuple[int, Part] | None = None
    for frequency in frequencies:
        heard = tone_of(frequency)
        if heard is None:  # measured badly
            continue
        number, part = heard
        if reached is None or reached[0] != number or (part is Part.OPENING and reached[1] is Part.REST):
            begun.append(number)
            reached = heard
        else:
            reached = max(reached, heard)
    return begun

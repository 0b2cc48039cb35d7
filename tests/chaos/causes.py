"""What may be refused, left unanswered or befall a guild because of a fault, and until when after it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from tests.chaos.checker import NOT_JOINED, TAKEN_OUT
from tests.chaos.faults import Struck
from tests.chaos.plan import Kind
from tonearm.sentences import Sentence

NOT_DELIVERED: Final = "not delivered"
"""What stands for a sentence where there was no answer at all."""
HONEST: Final = frozenset(
    each.name for each in (Sentence.NOTHING_PLAYING, Sentence.NOT_CONNECTED, Sentence.TRACK_ENDED)
)
"""True at times without any fault, unless somebody wants to play: everybody is in the right channel."""


class Cause(NamedTuple):
    """Faults that explain something from when they begin until so many seconds after they are mended."""

    whose: str
    kinds: frozenset[Kind]
    after: float

    @property
    def words(self) -> str:
        """For the notes."""
        return f"{self.whose} + {self.after:g} s"


VOICE: Final = frozenset({Kind.VOICE_KILL, Kind.VOICE_TERM, Kind.VOICE_STOP, Kind.VOICE_ROLL})
HTTP: Final = frozenset({Kind.HTTP_KILL, Kind.HTTP_TERM, Kind.HTTP_STOP})
AUDIO: Final = frozenset({Kind.AUDIO_KILL, Kind.AUDIO_TERM, Kind.AUDIO_STOP})
REDIS: Final = frozenset({Kind.REDIS_KILL, Kind.REDIS_STOP})
REST: Final = frozenset({Kind.REST_SLOW, Kind.REST_500, Kind.REST_429})
GATEWAY: Final = frozenset({Kind.GATEWAY_CUT, Kind.RESUME_REFUSED})
CONNECTION: Final = frozenset({Kind.VOICE_MOVED, Kind.VOICE_CUT})

CONTROL_SECONDS: Final = 15.0
"""10 s until there is control after a kill, as promised, and 5 s for those who had to wait meanwhile."""
RESTART_SECONDS: Final = 8.0
"""0.3 s until a process is started again, some until it serves on a machine where all start and die, and the 3 s that
Discord waits."""
BACK_SECONDS: Final = 5.0
"""Clients try again within a second, and whoever asked just before still waits for 2.5 s."""

_STEERING: Final = ("Redis or voice nodes", REDIS | VOICE, CONTROL_SECONDS)

CAUSES: Final = {
    NOT_DELIVERED: Cause("HTTP", HTTP, RESTART_SECONDS),
    Sentence.TOO_LATE.name: Cause("HTTP", HTTP, RESTART_SECONDS),
    Sentence.MEMORY_AWAY.name: Cause("Redis", REDIS, BACK_SECONDS),
    Sentence.TOO_BUSY.name: Cause(*_STEERING),
    Sentence.NO_PLAYER.name: Cause(*_STEERING),
    Sentence.TOO_MANY_WAITING.name: Cause("all of these", REDIS | VOICE | AUDIO | REST, CONTROL_SECONDS),
    Sentence.SOUND_AWAY.name: Cause("voice or audio nodes", AUDIO | VOICE, CONTROL_SECONDS),
    Sentence.DISCORD_AWAY.name: Cause("REST, the gateway or voice nodes", REST | GATEWAY | VOICE, CONTROL_SECONDS),
}
"""By what people are told."""

BEFALLEN: Final = {
    TAKEN_OUT: Cause("that guild's voice connection", CONNECTION, CONTROL_SECONDS),
    NOT_JOINED: Cause(
        "voice or audio nodes, the gateway or that guild's voice connection",
        VOICE | AUDIO | GATEWAY | CONNECTION,
        CONTROL_SECONDS,
    ),
    "moved": Cause("nothing", frozenset(), 0.0),
    "failed": Cause("audio nodes", AUDIO, CONTROL_SECONDS),
}
"""By what befalls a guild: nobody takes the bot out or moves it, and every tone can be played."""


def explained(cause: Cause, begin: float, end: float, struck: Iterable[Struck], room: str | None = None) -> bool:
    """Whether one of the faults reaches into the time from ``begin`` to ``end`` (monotonic, s).

    Of those that are done to the voice connection of one guild, only that of ``room`` counts.
    """
    return any(
        s.fault.kind in cause.kinds
        and s.begun <= end
        and begin <= s.mended + cause.after
        and (s.fault.kind not in CONNECTION or s.whom == room)
        for s in struck
    )

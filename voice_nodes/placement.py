"""Which Lavalink server a player is placed on: the one with the least penalty. Pure: values in, a choice out.

The curves are those that Lavalink's own client uses for its load balancing (lavalink-devs/lavalink-client,
*DefaultLoadBalancer*), with two differences: a CPU that is half busy costs nothing yet, as that figure is a noisy one
and would drown the players'; and the region counts. A penalty of 1 is one more player.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

FRAMES = 3000
"""What a playing player should send in a minute (one frame each 20 ms)."""

FAR_AWAY = 100.0
"""The penalty of a server that is for other regions: so many players may be on the near ones first."""

ANYWHERE = 50.0
"""The same for a server that names no region, where another one names the right one."""

FAILED = 20.0
"""For each of the last calls, one after the other, that it did not answer."""

BUSY = 0.5
"""The share of a machine's CPU above which it counts."""

OVERLOADED_FRAMES = FRAMES * 0.03
"""Frames lost in a minute, of an average player, from which on people hear it."""

RELIEF = 0.5
"""A player is moved only to a server with at most this share of the penalty: each move is a gap."""


class Load(msgspec.Struct, frozen=True):
    """How a server is.

    ``players`` are everybody's; ``cpu`` is the machine's, from 0 to 1; ``nulled`` and ``deficit`` are frames a minute
    that an average player had to leave out, or was behind; ``failures`` are calls in a row that were not answered.
    """

    name: str
    players: int = 0
    cpu: float = 0.0
    nulled: int = 0
    deficit: int = 0
    failures: int = 0
    regions: tuple[str, ...] = ()

    @property
    def overloaded(self) -> bool:
        """Whether those who listen hear it."""
        return max(self.nulled, 0) + max(self.deficit, 0) > OVERLOADED_FRAMES


def region_of(endpoint: str | None) -> str:
    """What tells the region in a voice endpoint such as ``rotterdam1234.discord.media:443``, or in a channel's
    ``rtc_region``; empty when nothing is known."""
    return (endpoint or "").partition(":")[0].partition(".")[0].lower()


def penalty(load: Load, region: str = "") -> float:
    """How bad a place it is; 0 is an idle server in the right region."""
    busy = min(max(load.cpu - BUSY, 0.0), 1 - BUSY)
    cpu = float(1.05 ** (100 * busy)) * 10 - 10
    deficit = _frames(load.deficit) * 600
    nulled = _frames(load.nulled) * 600
    return load.players + cpu + deficit + nulled + load.failures * FAILED + _distance(load, region)


def _frames(count: int) -> float:
    share: float = min(max(count, 0), FRAMES) / FRAMES
    return float(1.03 ** (500 * share)) - 1.0


def _distance(load: Load, region: str) -> float:
    if not region:
        return 0.0
    if not load.regions:
        return ANYWHERE
    return 0.0 if any(region.startswith(each) for each in load.regions) else FAR_AWAY


def ranked(loads: Iterable[Load], region: str = "") -> list[Load]:
    """The best first. Equal ones are in the order of their names, whatever order they came in."""
    return sorted(loads, key=lambda load: (penalty(load, region), load.name))


def relief(loads: Iterable[Load]) -> tuple[str, str] | None:
    """From which server to which a player should be moved, as listeners hear that the first one has too many; or
    ``None``, as nearly always: who plays stays."""
    order = ranked(loads)
    if not order:
        return None
    best, worst = order[0], next((load for load in reversed(order) if load.overloaded and load.players), None)
    if worst is None or best.overloaded or penalty(best) > penalty(worst) * RELIEF:
        return None
    return worst.name, best.name

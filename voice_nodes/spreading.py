"""Which shards this node should hold, derived by each node on its own from what all nodes say of themselves. No I/O.

Rules, none of which needs anybody's agreement, as the lease in Redis decides who owns a shard:

- The nodes that stay have equal shares, which differ by one at most. Where they do, whoever holds more keeps more, and
  then the youngest come first: during a rollout they are those that stay.
- Who is below its share takes a free shard at once. One that has been free for ``grace`` seconds is taken by anybody.
- Who is above its share gives one shard away, but only when the same nodes have been there for ``settle`` seconds and
  none is leaving, and no other while a shard has no owner. So a shard moves at a death or a leave, and else one by one.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from tonearm.redis.members import Member, Seen

ABSENT_MS = 5_000
"""A node that is silent for this long is not counted on: its leases run out within 3 s, and others are to take them."""


def shares(holding: Mapping[str, tuple[int, int]], shard_count: int) -> dict[str, int]:
    """How many shards each node should hold, given how many it holds, and since when it is there (ms)."""
    if not holding:
        return {}
    each, over = divmod(shard_count, len(holding))

    def rank(name: str) -> tuple[bool, int, str]:
        held, since = holding[name]
        return (held <= each, -since, name)

    return {name: each + (place < over) for place, name in enumerate(sorted(holding, key=rank))}


class Spreading:
    """One node's view of the others, and what follows from it. All times are seconds of one monotonic clock."""

    def __init__(self, name: str, shard_count: int, *, settle: float = 30.0, grace: float = 2.0) -> None:
        self._name = name
        self._shard_count = shard_count
        self._settle = settle
        self._grace = grace
        self._members: dict[str, Member] = {}
        self._settled_since = float("-inf")
        self._free_since: dict[int, float] = {}
        self._given: int | None = None

    @property
    def members(self) -> Collection[Member]:
        """Who is there, this node among them once it was seen."""
        return self._members.values()

    def observe(self, seen: Sequence[Seen], now: float) -> None:
        """These nodes have been seen."""
        members = {each.member.name: each.member for each in seen if each.silent_ms < ABSENT_MS}
        if _essence(members) != _essence(self._members):
            self._settled_since = now
        self._members = members

    def unclaimed(self, held: Collection[int]) -> list[int]:
        """The shards that nobody says to hold, this node (which holds ``held``) included."""
        claimed = set(held)
        for member in self._members.values():
            if member.name != self._name:
                claimed.update(member.shards)
        return [shard for shard in range(self._shard_count) if shard not in claimed]

    def observe_free(self, free: Collection[int], now: float) -> None:
        """These shards, and no others, have no owner."""
        self._free_since = {shard: self._free_since.get(shard, now) for shard in free}

    def freed(self, shard: int, now: float) -> None:
        """The owner of ``shard`` gave it back just now."""
        self._free_since.setdefault(shard, now)

    def taken(self, shard: int, now: float) -> None:
        """This node took ``shard``, and would not give away the same one again at once."""
        self._free_since.pop(shard, None)
        if shard == self._given:
            self._given = None
            self._settled_since = now

    def share(self, held: Collection[int]) -> int:
        """How many shards this node, which holds ``held``, should hold."""
        staying = {
            member.name: (len(member.shards), member.since_ms)
            for member in self._members.values()
            if not member.leaving
        }
        if self._name not in staying:
            return 0
        staying[self._name] = (len(held), self._members[self._name].since_ms)
        return shares(staying, self._shard_count)[self._name]

    def may_take(self, shard: int, held: Collection[int], now: float) -> bool:
        """Whether this node may try to take ``shard``."""
        me = self._members.get(self._name)
        if me is None or me.leaving:
            return False
        if len(held) < self.share(held):
            return True
        since = self._free_since.get(shard)
        return since is not None and now - since >= self._grace

    def next_to_take(self, now: float) -> float:
        """Seconds until anybody may take one of the shards that are free, ``inf`` if none is."""
        return min((since + self._grace - now for since in self._free_since.values()), default=float("inf"))

    def to_give(self, held: Collection[int], now: float) -> int | None:
        """The shard that this node should give away now, if any; said once, it waits until that one has an owner."""
        if self._free_since or self.unclaimed(held):
            return None
        if self._given not in held:
            self._given = None
        if self._given is not None or any(member.leaving for member in self._members.values()):
            return None
        if now - self._settled_since < self._settle or len(held) <= self.share(held):
            return None
        self._given = max(held)
        return self._given


def _essence(members: Mapping[str, Member]) -> frozenset[tuple[str, int, bool]]:
    return frozenset((member.name, member.since_ms, member.leaving) for member in members.values())

"""The rules by which shards are spread, played through in a small world with a clock of its own.

The world has a store of leases and signs of life, nodes that look and hear as the real ones do, and messages that may
be lost. Hypothesis makes nodes come, leave and die in it at any moment.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tonearm.redis.lease import LEASE_MS
from tonearm.redis.members import LIFE_MS, Member, Seen
from voice_nodes.lease import RENEW_EVERY
from voice_nodes.membership import EXPIRY_MARGIN, POLL
from voice_nodes.spreading import ABSENT_MS, Spreading, shares

SETTLE, GRACE = 30.0, 2.0
LEASE, LIFE, ABSENT = LEASE_MS / 1000, LIFE_MS / 1000, ABSENT_MS / 1000


@dataclass(eq=False)
class Node:
    """A voice node, as far as it spreads."""

    name: str
    since: float
    spreading: Spreading
    alive: bool = True
    leaving: bool = False
    held: set[int] = field(default_factory=set)
    look: int = 0
    """The number of the next look; an earlier one that is still planned does not count."""


@dataclass(frozen=True)
class Move:
    """``shard`` came to ``to`` at ``at``, from ``before``, which had ``given`` it away to spread."""

    shard: int
    at: float
    before: str | None
    to: str
    given: bool


class World:
    """The store, the messages and the clock."""

    def __init__(self, shard_count: int, seed: int) -> None:
        self.shard_count = shard_count
        self.now = 0.0
        self.random = random.Random(seed)
        self.nodes: list[Node] = []
        self.beats: dict[str, tuple[Member, float]] = {}
        self.leases: dict[int, tuple[str, float]] = {}
        self.last: dict[int, tuple[str, bool]] = {}
        self.ownerless_since = dict.fromkeys(range(shard_count), 0.0)
        self.longest_ownerless = 0.0
        self.moves: list[Move] = []
        self.changes: list[tuple[float, str]] = []
        self._plan: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._names = (f"node-{number}" for number in itertools.count())

    # Time.

    def after(self, seconds: float, what: Callable[[], None]) -> None:
        heapq.heappush(self._plan, (self.now + seconds, next(self._numbers), what))

    def run(self, seconds: float) -> None:
        end = self.now + seconds
        while self._plan and self._plan[0][0] <= end:
            self.now, _, what = heapq.heappop(self._plan)
            what()
        self.now = end

    # What happens to nodes.

    def join(self) -> Node:
        name = next(self._names)
        node = Node(name, self.now, Spreading(name, self.shard_count, settle=SETTLE, grace=GRACE))
        self.nodes.append(node)
        self.changes.append((self.now, "join"))
        self.renew(node)
        self.look(node)
        self.tell(None)
        return node

    def leave(self, node: Node) -> None:
        node.leaving = True
        self.changes.append((self.now, "leave"))
        self.beat(node)
        self.tell(None)
        for shard in sorted(node.held):
            self.after(self.random.uniform(0, 1.5), lambda shard=shard: self.release(node, shard, given=False))
        self.after(1.6, lambda: self.go(node))

    def go(self, node: Node) -> None:
        if node.alive:
            node.alive = False
            self.beats.pop(node.name, None)
            self.changes.append((self.now, "leave"))
            self.tell(None)

    def kill(self, node: Node) -> None:
        node.alive = False
        self.changes.append((self.now, "death"))
        for shard in node.held:
            self.ownerless_since[shard] = self.now

    @property
    def staying(self) -> list[Node]:
        return [node for node in self.nodes if node.alive and not node.leaving]

    # What nodes do, as voice_nodes.membership does it.

    def beat(self, node: Node) -> list[Seen]:
        about = Member(node.name, int(node.since * 1000), tuple(sorted(node.held)), node.leaving)
        self.beats = {name: each for name, each in self.beats.items() if self.now - each[1] < LIFE}
        self.beats[node.name] = about, self.now
        return [Seen(member, int((self.now - at) * 1000)) for member, at in self.beats.values()]

    def look(self, node: Node) -> None:
        if not node.alive:
            return
        spreading = node.spreading
        spreading.observe(self.beat(node), self.now)
        unclaimed = spreading.unclaimed(node.held)
        ends = {shard: self.leases[shard][1] for shard in unclaimed if self.owned(shard)}
        free = [shard for shard in unclaimed if shard not in ends]
        spreading.observe_free(free, self.now)
        self.random.shuffle(free)
        took = [self.consider(node, shard) for shard in free]
        given = spreading.to_give(node.held, self.now)
        if given is not None:
            self.after(self.random.uniform(0, 1.5), lambda: self.release(node, given, given=True))
        soonest = min(ends.values(), default=float("inf")) - self.now + EXPIRY_MARGIN
        pause = min(POLL, soonest, max(EXPIRY_MARGIN, spreading.next_to_take(self.now)))
        self.plan_look(node, 0.002 if any(took) else pause)

    def plan_look(self, node: Node, pause: float) -> None:
        node.look += 1
        number = node.look
        self.after(pause, lambda: self.look(node) if node.look == number else None)

    def consider(self, node: Node, shard: int) -> bool:
        if node.leaving or shard in node.held or not node.spreading.may_take(shard, node.held, self.now):
            return False
        if self.owned(shard):
            return False
        node.held.add(shard)
        node.spreading.taken(shard, self.now)
        self.leases[shard] = node.name, self.now + LEASE
        before, given = self.last.get(shard, (None, False))
        self.moves.append(Move(shard, self.now, before, node.name, given))
        self.last[shard] = node.name, False
        self.longest_ownerless = max(self.longest_ownerless, self.now - self.ownerless_since[shard])
        return True

    def renew(self, node: Node) -> None:
        if node.alive:
            for shard in node.held:
                assert self.leases[shard][0] == node.name
                self.leases[shard] = node.name, self.now + LEASE
            self.after(RENEW_EVERY, lambda: self.renew(node))

    def release(self, node: Node, shard: int, *, given: bool) -> None:
        if not node.alive or shard not in node.held:
            return
        node.held.discard(shard)
        del self.leases[shard]
        self.last[shard] = node.name, given
        self.ownerless_since[shard] = self.now
        self.plan_look(node, 0.001)
        self.tell(shard)

    def owned(self, shard: int) -> bool:
        return shard in self.leases and self.leases[shard][1] > self.now

    def tell(self, shard: int | None) -> None:
        """A message to everybody: of a shard that is free, or of a change among the nodes. Some do not hear it."""
        for node in self.nodes:
            if node.alive and self.random.random() < 0.8:
                self.after(self.random.uniform(0.0005, 0.01), lambda node=node: self.hear(node, shard))

    def hear(self, node: Node, shard: int | None) -> None:
        if node.alive:
            if shard is not None:
                node.spreading.freed(shard, self.now)
                self.consider(node, shard)
            self.plan_look(node, 0)

    # What has to be true.

    def check_owners(self) -> None:
        """Every shard has an owner that stays, and none has two; they are spread evenly."""
        held = [shard for node in self.nodes if node.alive for shard in node.held]
        assert sorted(held) == list(range(self.shard_count))
        counts = [len(node.held) for node in self.staying]
        assert sum(counts) == self.shard_count
        assert max(counts) - min(counts) <= 1

    def check_given(self) -> None:
        """A shard was given away only while nobody came, left or died, as far as its owner could know."""
        for move in self.moves:
            if move.given:
                since, until = move.at - SETTLE + 4, move.at - GRACE - 1.5 - POLL - ABSENT
                assert not [change for change in self.changes if since < change[0] < until]

    def check_prompt(self) -> None:
        """No shard was without an owner for longer than its lease, and the grace if who should take it died as well."""
        assert self.longest_ownerless <= LEASE + GRACE + 0.5


steps = st.lists(
    st.tuples(st.floats(0, 40), st.sampled_from(["join", "leave", "kill"]), st.integers(0, 100)), max_size=12
)


def numbered(nodes: list[Node], number: int) -> Node:
    return nodes[number % len(nodes)]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(shard_count=st.integers(1, 12), steps=steps, seed=st.integers(0, 2**16))
@example(shard_count=4, steps=[(1.0, "join", 0), (35.0, "kill", 0), (0.0, "join", 0)], seed=1)
def test_whoever_comes_and_goes_each_shard_gets_one_owner(
    shard_count: int, steps: list[tuple[float, str, int]], seed: int
) -> None:
    world = World(shard_count, seed)
    world.join()
    for pause, what, number in steps:
        world.run(pause)
        if what == "join":
            world.join()
        elif len(world.staying) > 1:
            (world.leave if what == "leave" else world.kill)(numbered(world.staying, number))
    world.run(SETTLE + ABSENT + 12 + 4 * shard_count)
    world.check_owners()
    world.check_given()
    world.check_prompt()
    moved = len(world.moves)
    world.run(120)
    assert len(world.moves) == moved, "nothing moves any more"


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    shard_count=st.integers(1, 12),
    node_count=st.integers(1, 5),
    pauses=st.lists(st.floats(1, 20), min_size=10, max_size=10),
    seed=st.integers(0, 2**16),
)
def test_in_a_rollout_no_shard_moves_twice(shard_count: int, node_count: int, pauses: list[float], seed: int) -> None:
    world = World(shard_count, seed)
    for _ in range(node_count):
        world.join()
        world.run(0.5)
    world.run(SETTLE + 10 + 4 * shard_count)
    world.check_owners()
    world.moves.clear()
    pause = iter(pauses)
    for old in world.staying:
        world.join()
        world.run(next(pause))
        world.leave(old)
        world.run(next(pause))
    world.run(3)
    assert {node.name for node in world.staying}.isdisjoint(f"node-{number}" for number in range(node_count))
    assert sorted(move.shard for move in world.moves) == list(range(shard_count))
    world.run(SETTLE + 10 + 4 * shard_count)
    world.check_owners()
    assert len(world.moves) == shard_count, "what was spread evenly stays where it is"


def test_a_standby_takes_over_at_the_end_of_a_dead_nodes_leases() -> None:
    world = World(3, 7)
    owners = [world.join() for _ in range(3)]
    world.run(100)
    standby = world.join()
    world.run(100)
    assert [len(node.held) for node in (*owners, standby)] == [1, 1, 1, 0]
    world.moves.clear()
    world.kill(owners[1])
    world.run(LEASE + 0.5)
    assert [(move.before, move.to) for move in world.moves] == [(owners[1].name, standby.name)]


def test_surplus_goes_one_by_one_and_only_after_a_quiet_time() -> None:
    world = World(4, 3)
    first = world.join()
    world.run(60)
    second = world.join()
    joined = world.now
    world.run(SETTLE - 1)
    assert len(first.held) == 4
    world.run(20)
    assert (len(first.held), len(second.held)) == (2, 2)
    given = [move for move in world.moves if move.given]
    assert [move.to for move in given] == [second.name] * 2
    assert joined + SETTLE <= given[0].at < given[1].at


def member(name: str, since_ms: int = 0, shards: tuple[int, ...] = (), *, leaving: bool = False) -> Seen:
    return Seen(Member(name, since_ms, shards, leaving), 0)


def test_a_shard_that_nobody_below_its_share_took_is_anybodys() -> None:
    spreading = Spreading("a", 3, settle=SETTLE, grace=GRACE)
    spreading.observe([member("a", 1, (0, 1)), member("b", 2)], 0)
    spreading.observe_free([2], 0)
    assert not spreading.may_take(2, {0, 1}, GRACE - 0.01)
    assert spreading.next_to_take(0.5) == GRACE - 0.5
    assert spreading.may_take(2, {0, 1}, GRACE)


def test_who_leaves_or_is_unknown_takes_nothing() -> None:
    spreading = Spreading("a", 3, settle=SETTLE, grace=GRACE)
    spreading.observe_free([2], -100)
    assert not spreading.may_take(2, set(), 0)
    spreading.observe([member("a", leaving=True)], 0)
    assert not spreading.may_take(2, set(), 0)
    spreading.observe([member("a")], 0)
    assert spreading.may_take(2, set(), 0)


def test_a_silent_node_is_not_counted_on() -> None:
    spreading = Spreading("a", 4, settle=SETTLE, grace=GRACE)
    other = Member("b", 2, (2, 3))
    spreading.observe([member("a", 1, (0, 1)), Seen(other, ABSENT_MS - 1)], 0)
    assert (spreading.share({0, 1}), spreading.unclaimed({0, 1})) == (2, [])
    spreading.observe([member("a", 1, (0, 1)), Seen(other, ABSENT_MS)], 0)
    assert (spreading.share({0, 1}), spreading.unclaimed({0, 1})) == (4, [2, 3])


def settled() -> Iterator[Spreading]:
    spreading = Spreading("a", 4, settle=SETTLE, grace=GRACE)
    spreading.observe([member("a", 1, (0, 1, 2, 3)), member("b", 2)], 0)
    yield spreading


@pytest.fixture
def uneven() -> Spreading:
    """One node has all four shards, another has none."""
    return next(settled())


def test_nothing_is_given_while_nodes_come_and_leave(uneven: Spreading) -> None:
    held = {0, 1, 2, 3}
    assert uneven.to_give(held, SETTLE - 0.1) is None
    uneven.observe([member("a", 1, (0, 1, 2, 3)), member("b", 2), member("c", 3)], SETTLE - 0.1)
    assert uneven.to_give(held, SETTLE) is None
    uneven.observe([member("a", 1, (0, 1, 2, 3)), member("b", 2), member("c", 3, leaving=True)], SETTLE)
    assert uneven.to_give(held, 10 * SETTLE) is None


def test_the_next_is_given_when_the_one_before_has_an_owner(uneven: Spreading) -> None:
    assert uneven.to_give({0, 1, 2, 3}, SETTLE) == 3
    assert uneven.to_give({0, 1, 2, 3}, SETTLE + 1) is None
    assert uneven.to_give({0, 1, 2}, SETTLE + 2) is None
    uneven.observe([member("a", 1, (0, 1, 2)), member("b", 2, (3,))], SETTLE + 3)
    assert uneven.to_give({0, 1, 2}, SETTLE + 3) == 2
    uneven.observe([member("a", 1, (0, 1)), member("b", 2, (2, 3))], SETTLE + 4)
    assert uneven.to_give({0, 1}, SETTLE + 4) is None


def test_who_had_to_take_back_what_it_gave_waits_again(uneven: Spreading) -> None:
    assert uneven.to_give({0, 1, 2, 3}, SETTLE) == 3
    uneven.freed(3, SETTLE + 1)
    assert uneven.may_take(3, {0, 1, 2}, SETTLE + 1 + GRACE)
    uneven.taken(3, SETTLE + 4)
    assert uneven.to_give({0, 1, 2, 3}, SETTLE + 5) is None
    assert uneven.to_give({0, 1, 2, 3}, 2 * SETTLE + 4) == 3


@pytest.mark.parametrize("shard_count", range(1, 20))
@pytest.mark.parametrize("node_count", range(1, 8))
def test_shares_are_equal_and_all_there_is(shard_count: int, node_count: int) -> None:
    holding = {f"n{number}": (number % 3, number) for number in range(node_count)}
    found = shares(holding, shard_count)
    assert sum(found.values()) == shard_count
    assert max(found.values()) - min(found.values()) <= 1
    assert shares({}, shard_count) == {}


def test_who_holds_more_keeps_more_and_then_the_youngest_come_first() -> None:
    assert shares({"a": (0, 1), "b": (0, 2), "c": (0, 3)}, 1) == {"a": 0, "b": 0, "c": 1}
    assert shares({"a": (1, 1), "b": (0, 2), "c": (0, 3)}, 1) == {"a": 1, "b": 0, "c": 0}
    assert shares({"a": (2, 1), "b": (1, 2), "c": (0, 3)}, 4) == {"a": 2, "b": 1, "c": 1}
    assert shares({"a": (1, 1), "b": (1, 2), "c": (0, 3)}, 4) == {"a": 1, "b": 1, "c": 2}

"""The table itself, and the diagram that is made from it."""

import re
from pathlib import Path

import tonearm
from tonearm.premium.grants import _EFFECTS
from tonearm.premium.states import NEXT, TABLE, Kind, State, diagram

DIAGRAM = Path(tonearm.__file__).parents[1] / "docs/architecture/diagrams/state-subscription.mmd"


def test_the_diagram_is_fresh() -> None:
    assert DIAGRAM.read_text() == diagram(), "run `make diagrams`"


def test_the_diagram_shows_every_row() -> None:
    arrows = re.findall(r"(\w+) --> (\w+): (.*)", diagram())
    shown = [(source, kind, target) for source, target, kinds in arrows for kind in kinds.split("<br/>")]
    stays = re.findall(r'state "<b>(\w+)</b><br/>(.*)" as (\w+)', diagram())
    shown += [(source, kind, target) for source, kinds, target in stays for kind in kinds.split(", ")]
    assert sorted(shown) == sorted((row.source, row.kind.replace("_", " "), row.target) for row in TABLE)


def test_the_table_says_one_thing_of_each_pair() -> None:
    assert len(NEXT) == len(TABLE)
    assert {kind for _, kind in NEXT} == set(Kind) == set(_EFFECTS)


def test_every_state_can_be_reached_and_left() -> None:
    reached = {State.NONE}
    for _ in State:
        reached |= {target for (source, _), target in NEXT.items() if source in reached}
    assert reached == set(State)
    assert {source for source, _ in NEXT} == set(State)


def test_nothing_goes_back_to_none_and_what_is_over_can_only_be_paid_again() -> None:
    assert State.NONE not in NEXT.values()
    assert {kind for source, kind in NEXT if source is State.EXPIRED} == {Kind.ACTIVATE}


def test_every_living_state_can_be_taken_back_and_runs_out() -> None:
    for state in (State.TRIALING, State.ACTIVE, State.PAST_DUE, State.CANCELING):
        assert NEXT[state, Kind.REVOKE] is NEXT[state, Kind.EXPIRE] is State.EXPIRED

"""Which server a player is placed on."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voice_nodes.placement import FRAMES, Load, penalty, ranked, region_of, relief

IDLE = Load("idle")

loads = st.builds(
    Load,
    name=st.text("abc", min_size=1, max_size=3),
    players=st.integers(0, 5000),
    cpu=st.floats(0, 1),
    nulled=st.integers(0, FRAMES),
    deficit=st.integers(-FRAMES, FRAMES),
    failures=st.integers(0, 5),
    regions=st.lists(st.sampled_from(["rotterdam", "us-east"]), max_size=2).map(tuple),
)
regions = st.sampled_from(["", "rotterdam", "rotterdam1234", "us-east", "japan"])


@pytest.mark.parametrize(
    ("better", "worse", "region"),
    [
        (IDLE, Load("b", players=1), ""),
        (Load("a", players=10), Load("b", players=11), ""),
        (Load("a", players=40), Load("b", cpu=0.95), ""),
        (Load("a", players=3, cpu=0.1), Load("b", players=4, cpu=0.0), ""),
        (Load("a", cpu=0.49), Load("b", players=1), ""),
        (Load("a", players=200), Load("b", deficit=300), ""),
        (Load("a", players=200), Load("b", nulled=300), ""),
        (Load("a", deficit=-50), Load("b", players=1), ""),
        (Load("a", players=19), Load("b", failures=1), ""),
        (Load("a", players=49, regions=("rotterdam",)), Load("b"), "rotterdam1234"),
        (Load("b"), Load("a", players=51, regions=("rotterdam",)), "rotterdam1234"),
        (Load("a", players=49), Load("b", regions=("us-east",)), "rotterdam"),
        (Load("a", players=1, regions=("us-east",)), Load("b", players=2, regions=("rotterdam",)), ""),
        (Load("a", players=7), Load("b", players=7), ""),
    ],
)
def test_the_better_one_is_first_whatever_the_order(better: Load, worse: Load, region: str) -> None:
    assert ranked([worse, better], region)[0] == better
    assert ranked([better, worse], region)[0] == better


@pytest.mark.parametrize(
    ("endpoint", "region"),
    [
        ("rotterdam1234.discord.media:443", "rotterdam1234"),
        ("us-east77.discord.media", "us-east77"),
        ("Rotterdam", "rotterdam"),
        ("localhost:2333", "localhost"),
        (None, ""),
        ("", ""),
    ],
)
def test_the_region_is_read_from_the_endpoint(endpoint: str | None, region: str) -> None:
    assert region_of(endpoint) == region


@given(loads, regions)
def test_no_load_is_better_than_none(load: Load, region: str) -> None:
    assert penalty(load, region) >= penalty(Load("x", regions=load.regions), region) >= 0


@given(st.lists(loads), regions)
def test_a_ranking_holds_all_and_does_not_depend_on_their_order(given: list[Load], region: str) -> None:
    order = ranked(given, region)
    assert sorted(map(repr, order)) == sorted(map(repr, given))
    assert [penalty(load, region) for load in order] == sorted(penalty(load, region) for load in given)
    unique = list({load.name: load for load in given}.values())
    assert ranked(unique, region) == ranked(reversed(unique), region)


@given(loads, st.integers(1, 100), regions)
def test_one_player_more_is_worse(load: Load, more: int, region: str) -> None:
    fuller = Load(load.name, load.players + more, load.cpu, load.nulled, load.deficit, load.failures, load.regions)
    assert penalty(fuller, region) >= penalty(load, region)


@pytest.mark.parametrize(
    ("servers", "moved"),
    [
        ([], None),
        ([Load("a", players=5000), IDLE], None),  # Full, but nobody hears it.
        ([Load("a", players=9, deficit=200), IDLE], ("a", "idle")),
        ([Load("a", players=9, nulled=91), IDLE], ("a", "idle")),
        ([Load("a", players=9, nulled=90), IDLE], None),
        ([Load("a", players=0, nulled=500), IDLE], None),
        ([Load("a", players=9, nulled=500), Load("b", nulled=400)], None),  # Nowhere to go.
        ([Load("a", players=9, nulled=100), Load("b", players=500)], None),
        ([Load("a", players=9, nulled=900), Load("b", players=9, nulled=800), IDLE], ("a", "idle")),
    ],
)
def test_a_player_is_moved_only_from_where_listeners_hear_it(
    servers: list[Load], moved: tuple[str, str] | None
) -> None:
    assert relief(servers) == moved

"""Filters: which are had, which are refused."""

from __future__ import annotations

from typing import Any

import pytest

from playground.audio_node.filters import LACKING, FilterError, parse


def test_what_is_had_is_echoed() -> None:
    found = parse({"volume": 1, "equalizer": [{"band": 0, "gain": 0.25}, {"band": 14, "gain": -0.25}]})
    assert found.volume == 1.0
    assert found.gains == {0: 0.25, 14: -0.25}
    assert found.echo == {
        "volume": 1.0,
        "equalizer": [{"band": 0, "gain": 0.25}, {"band": 14, "gain": -0.25}],
    }
    assert found.equalizes


def test_a_flat_equalizer_lets_opus_pass_through() -> None:
    assert not parse({"equalizer": [{"band": band, "gain": 0.0} for band in range(15)]}).equalizes


@pytest.mark.parametrize("name", LACKING)
def test_what_is_lacking_is_named(name: str) -> None:
    with pytest.raises(FilterError, match=name):
        parse({name: {"some": 1}})


def test_nothing_and_null_are_no_filters() -> None:
    assert parse({"timescale": None, "karaoke": {}, "pluginFilters": {}}).echo == {}


@pytest.mark.parametrize(
    "body",
    [
        {"volume": -0.1},
        {"volume": 5.1},
        {"volume": "1"},
        {"volume": True},
        {"volume": float("nan")},
        {"equalizer": {"band": 1}},
        {"equalizer": [1]},
        {"equalizer": [{"band": 15, "gain": 0.1}]},
        {"equalizer": [{"band": -1, "gain": 0.1}]},
        {"equalizer": [{"gain": 0.1}]},
        {"equalizer": [{"band": 1, "gain": 1.1}]},
        {"equalizer": [{"band": 1, "gain": None}]},
        {"pluginFilters": {"x": {}}},
    ],
)
def test_nonsense_is_refused(body: dict[str, Any]) -> None:
    with pytest.raises(FilterError):
        parse(body)

"""The check of the dashboards: what is asked, what counts as data, and how it is drawn and told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from PIL import Image

from tests.dashboards_check import __main__ as checking
from tests.dashboards_check import preview
from tests.dashboards_check.asking import Answer, Window, count, missing
from tests.dashboards_check.loaded import JOBS
from tests.dashboards_check.prometheus import Series, Targets, _series
from tests.dashboards_check.rules import Json, panels

ROOT = Path(__file__).parents[3]
WINDOW = Window(1_000.0, 1_060.0)


@pytest.fixture
def board() -> Json:
    loaded: Json = json.loads((ROOT / "monitoring/grafana/dashboards/overview.json").read_text())
    return loaded


def answered(board: Json, *, without: int | None = None) -> list[Answer]:
    """An answer to each query, with data but for one panel."""
    times = tuple(1_000.0 + second for second in range(0, 60, 2))
    labels = {"job": "worker", "command": "play", "how": "inline", "node": "a"}
    series = (Series(labels, times, tuple(0.5 + time % 7 for time in times)),)
    return [
        Answer(panel, target, () if panel["id"] == without else series)
        for panel in panels(board)
        for target in panel["targets"]
    ]


def test_grafanas_variables_are_filled_in() -> None:
    assert WINDOW.filled_in("rate(x[$__rate_interval]) / increase(x[$__range])") == "rate(x[10s]) / increase(x[60s])"


def test_what_is_not_a_number_is_no_data() -> None:
    samples = [[1.0, "NaN"], [2.0, "3"], [3.0, "+Inf"]]
    assert _series([({"a": "b"}, samples), ({}, [[1.0, "NaN"]])]) == [Series({"a": "b"}, (2.0,), (3.0,))]


def test_a_panel_whose_query_returns_nothing_fails_the_check(board: Json, capsys: pytest.CaptureFixture[str]) -> None:
    whole = len(panels(board))
    assert checking.told({"overview": board}, {"overview": answered(board)}) == 0
    assert f"overview     {whole} of {whole} panels returned data" in capsys.readouterr().out
    answers = answered(board, without=203)
    assert count(board, answers) == (whole, whole - 1)
    assert len(missing(answers)) == 2
    assert checking.told({"overview": board}, {"overview": answers}) == 1
    said = capsys.readouterr().out
    assert f"FAIL  overview     {whole - 1} of {whole} panels returned data" in said
    assert "panel 203 (Players and listeners), A: no data: sum (tonearm_players)" in said


def test_what_only_kubernetes_knows_may_be_missing(board: Json) -> None:
    first = answered(board)[0]
    asked = {"refId": "A", "expr": "time() - max(kube_cronjob_status_last_successful_time)"}
    panel = first.panel | {"targets": [asked]}
    assert missing([Answer(panel, asked, ())]) == []
    assert "parse error" in missing([Answer(panel, asked, (), "parse error")])[0]
    assert count({"panels": [panel]}, [Answer(panel, asked, ())]) == (0, 0)


def test_what_prometheus_says_of_a_query_is_told(board: Json) -> None:
    (first, *_) = answered(board)
    assert "parse error" in missing([Answer(first.panel, first.target, (), "parse error")])[0]


def test_a_process_that_comes_back_elsewhere_is_scraped_there(tmp_path: Path) -> None:
    targets = Targets(tmp_path / "targets.json")
    targets.set("worker", "worker", "http://127.0.0.1:1")
    targets.set("voice-node", "voice-node", "http://127.0.0.1:2")
    targets.set("voice-node", "voice-node", "http://127.0.0.1:3")
    assert json.loads(targets.file.read_text()) == [
        {"targets": ["127.0.0.1:3"], "labels": {"job": "voice-node"}},
        {"targets": ["127.0.0.1:1"], "labels": {"job": "worker"}},
    ]


def test_the_jobs_are_those_of_the_settings() -> None:
    settings = yaml.safe_load((ROOT / "monitoring/prometheus/prometheus.yml").read_text())
    assert {each["job_name"] for each in settings["scrape_configs"]} > JOBS


def test_a_dashboard_is_drawn_small(board: Json, tmp_path: Path) -> None:
    file = tmp_path / "overview.png"
    preview.draw(board, answered(board, without=203), WINDOW, file)
    assert file.stat().st_size < 150_000
    with Image.open(file) as picture:
        assert picture.width > 1_000


@pytest.mark.parametrize(
    ("value", "unit", "decimals", "shown"),
    [
        (0.99951, "percentunit", 3, "99.951 %"),
        (0.5, "percentunit", None, "50 %"),
        (0.0042, "s", None, "4.2 ms"),
        (0.25, "s", None, "250 ms"),
        (2.5, "s", None, "2.5 s"),
        (75.0, "s", None, "75 s"),
        (3 * 2**20, "bytes", None, "3 MiB"),
        (1234.0, "short", 0, "1,234"),
        (0.25, "cps", None, "0.25/s"),
        (3.0, "reqps", None, "3/s"),
    ],
)
def test_values_have_their_unit(value: float, unit: str, decimals: int | None, shown: str) -> None:
    assert preview.shown(value, unit, decimals) == shown

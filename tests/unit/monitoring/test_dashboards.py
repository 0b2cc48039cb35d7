"""The dashboards' files are what the code says, and each thing that may be wrong with one is found."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from monitoring.grafana import __main__ as writing
from monitoring.grafana.board import NEUTRAL, Kind, Panel, Row, Unit, falling, rising
from monitoring.grafana.promql import Query
from monitoring.grafana.render import placed_panels, placed_rows
from tests.alerts_check.rules import alerts, selectors
from tests.dashboards_check import rules

ROOT = Path(__file__).parents[3]
FILES = sorted((ROOT / "monitoring/grafana/dashboards").glob("*.json"))
Json = dict[str, Any]


@pytest.fixture
def board() -> Json:
    """One that has all kinds of panels."""
    loaded: Json = json.loads((ROOT / "monitoring/grafana/dashboards/services.json").read_text())
    return loaded


def panel(board: Json, kind: str = "timeseries") -> Json:
    """One of its panels that has thresholds."""
    return next(
        each
        for each in rules.panels(board)
        if each["type"] == kind and len(each["fieldConfig"]["defaults"]["thresholds"]["steps"]) > 2
    )


def test_the_files_are_what_the_code_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert list(writing.differing()) == []
    for file in FILES:
        (tmp_path / file.name).write_text(file.read_text())
    monkeypatch.setattr(writing, "FOLDER", tmp_path)
    (tmp_path / "voice.json").write_text((tmp_path / "voice.json").read_text().replace("listeners", "people"))
    (tmp_path / "business.json").unlink()
    (tmp_path / "another.json").write_text("{}")
    assert list(writing.differing()) == ["another.json", "business.json", "voice.json"]
    assert writing.main(["--check"]) == 1
    (tmp_path / "another.json").unlink()
    assert writing.main([]) == 0
    assert writing.main(["--check"]) == 0


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_nothing_is_wrong_with_them(file: Path) -> None:
    assert rules.problems(file.stem, json.loads(file.read_text())) == []


def test_no_two_are_called_the_same() -> None:
    boards = {file.stem: json.loads(file.read_text()) for file in FILES}
    assert rules.problems_together(boards) == []
    boards["voice"]["uid"] = boards["overview"]["uid"]
    assert rules.problems_together(boards) == ["two dashboards have the uid 'tonearm-overview'"]


def with_place(**place: int) -> Callable[[Json], None]:
    return lambda board: rules.panels(board)[1]["gridPos"].update(place)


def with_query(expr: str, legend: str = "x") -> Callable[[Json], None]:
    def change(board: Json) -> None:
        panel(board)["targets"] = [
            {"refId": "A", "expr": expr, "legendFormat": legend, "range": True, "instant": False}
        ]

    return change


def with_steps(*values: float | None) -> Callable[[Json], None]:
    steps = [{"color": "green", "value": value} for value in values]
    return lambda board: panel(board)["fieldConfig"]["defaults"]["thresholds"].update(steps=steps)


WRONG: dict[str, tuple[Callable[[Json], None], str]] = {
    "uid": (lambda board: board.update(uid="x"), "its uid is 'x'"),
    "refresh": (lambda board: board.update(refresh=""), "it has no refresh"),
    "time": (lambda board: board["time"].update(to="now-1h"), "does not end now"),
    "an id of its own": (lambda board: board.update(id=7), "which Grafana gives"),
    "schema": (lambda board: board.update(schemaVersion=40), "not that of Grafana 11.6"),
    "data source": (lambda board: board["templating"]["list"].clear(), "data source is not a variable"),
    "links": (lambda board: board["links"].clear(), "no link leads"),
    "two ids": (lambda board: rules.panels(board)[0].update(id=rules.panels(board)[1]["id"]), "have the id"),
    "no id": (lambda board: rules.panels(board)[0].pop("id"), "have no id"),
    "two titles": (
        lambda board: rules.panels(board)[0].update(title=rules.panels(board)[1]["title"]),
        "have the title",
    ),
    "beside the grid": (with_place(x=20), "is not on the grid"),
    "overlapping": (with_place(x=0), "overlap"),
    "above its row": (lambda board: board["panels"].insert(0, board["panels"].pop(1)), "under the heading of its row"),
    "a field that Grafana does not know": (lambda board: board.update(colour="red"), "unchanged"),
    "kind": (lambda board: panel(board).update(type="table", fieldConfig=panel(board)["fieldConfig"]), "it is a table"),
    "description": (lambda board: panel(board).update(description=""), "what good looks like"),
    "unit": (lambda board: panel(board)["fieldConfig"]["defaults"].update(unit="seconds"), "'seconds' is no unit"),
    "no unit": (lambda board: panel(board)["fieldConfig"]["defaults"].pop("unit"), "None is no unit"),
    "one data source": (lambda board: panel(board)["datasource"].update(uid="prometheus"), "is not the variable"),
    "hidden legend": (lambda board: panel(board)["options"]["legend"].update(showLegend=False), "legend is hidden"),
    "no thresholds": (with_steps(), "do not begin anywhere"),
    "thresholds that fall": (with_steps(None, 3, 1), "do not rise: [3, 1]"),
    "one threshold unexplained": (with_steps(None), "it has 0 thresholds"),
    "colour": (
        lambda board: panel(board)["fieldConfig"]["defaults"]["thresholds"]["steps"][1].update(color="pink"),
        "colour is none of ours",
    ),
    "no query": (lambda board: panel(board)["targets"].clear(), "asks for nothing"),
    "two letters": (lambda board: panel(board)["targets"].append(copy.deepcopy(panel(board)["targets"][0])), "letter"),
    "no legend": (with_query("max (tonearm_dead_letters)", " "), "has no legend"),
    "no metric": (with_query("vector(1)"), "asks for no metric"),
    "a metric that is not there": (with_query("max (tonearm_dead_leters)"), "tonearm_dead_leters is declared nowhere"),
    "a record that is not there": (with_query("tonearm:answers_bad:ratio7d"), "ratio7d is declared nowhere"),
    "a label that is not there": (with_query('sum (rate(tonearm_jobs_total{sort="x"}[5m]))'), "has no ['sort']"),
    "a group that is not there": (
        with_query("sum by (guild) (rate(tonearm_jobs_total[5m]))", "{{guild}}"),
        "no metric of it has ['guild']",
    ),
    "a legend without its label": (
        with_query("sum by (kind) (rate(tonearm_jobs_total[5m]))"),
        "tells of [], its query of ['kind']",
    ),
    "a counter without its rate": (with_query("sum (tonearm_jobs_total)"), "without its rate"),
    "a gauge with a rate": (with_query("max (rate(tonearm_dead_letters[5m]))"), "has no rate"),
    "a sum over workers": (with_query("sum (tonearm_dead_letters)"), "is not asked for with max"),
}


@pytest.mark.parametrize("change", WRONG)
def test_what_is_wrong_is_found(board: Json, change: str) -> None:
    make, said = WRONG[change]
    make(board)
    found = rules.problems("services", board)
    assert any(said in each for each in found), found


def made(id: int, width: int, kind: Kind = Kind.LINES) -> Panel:
    return Panel(
        id=id,
        title=str(id),
        about="x",
        unit=Unit.COUNT,
        queries=(Query("up", "x"),),
        steps=NEUTRAL,
        kind=kind,
        width=width,
    )


def test_panels_are_put_beside_each_other_and_then_below_the_highest() -> None:
    row = Row(1, "one", (made(2, 12, Kind.STAT), made(3, 12), made(4, 8), made(5, 20)))
    places = [(panel.id, at.x, at.y, at.h) for panel, at in placed_panels(row.panels, 1)]
    assert places == [(2, 0, 1, 5), (3, 12, 1, 8), (4, 0, 9, 8), (5, 0, 17, 8)]
    assert [(each.id, at.y) for each, at in placed_rows((row, Row(6, "two", ())))] == [(1, 0), (6, 25)]


def test_thresholds_begin_good_where_more_is_worse_and_bad_where_less_is() -> None:
    assert rising(warn=1, bad=3) == ((None, "green"), (1, "yellow"), (3, "red"))
    assert falling(good=0.99, warn=0.9) == ((None, "red"), (0.9, "yellow"), (0.99, "green"))


def test_every_alert_has_a_panel_and_no_other_is_named() -> None:
    rules_file = yaml.safe_load((ROOT / "monitoring/prometheus/alerts.yml").read_text())
    alerts = {rule["alert"] for group in rules_file["groups"] for rule in group["rules"]}
    named = {name for board in writing.BOARDS for row in board.rows for panel in row.panels for name in panel.alerts}
    assert named == alerts


def test_compose_shows_grafana_the_files() -> None:
    provided = yaml.safe_load((ROOT / "monitoring/grafana/provisioning/dashboards/tonearm.yaml").read_text())
    (provider,) = provided["providers"]
    grafana = yaml.safe_load((ROOT / "infra/compose.yaml").read_text())["services"]["grafana"]
    mounts = {inside: outside for outside, inside, *_ in (each.split(":") for each in grafana["volumes"])}
    assert (ROOT / "infra" / mounts[provider["options"]["path"]]).resolve() == ROOT / "monitoring/grafana/dashboards"
    source = yaml.safe_load((ROOT / "monitoring/grafana/provisioning/datasources/prometheus.yaml").read_text())
    scraped = yaml.safe_load((ROOT / "monitoring/prometheus/prometheus.yml").read_text())["global"]["scrape_interval"]
    assert source["datasources"][0]["jsonData"]["timeInterval"] == scraped


def test_the_share_without_a_fault_is_of_what_the_alert_counts() -> None:
    overview: Json = json.loads((ROOT / "monitoring/grafana/dashboards/overview.json").read_text())
    (share,) = (each for each in rules.panels(overview) if each["title"] == "Answered without a fault of ours")
    (alert,) = (each for each in alerts() if each.name == "InteractionErrors")
    (_, counted), (_, of) = selectors(share["targets"][0]["expr"].replace("$__range", "1h"))
    (_, failed), (_, of_the_alert), _ = selectors(alert.expr)
    assert of == of_the_alert
    assert set(of["outcome"].split("|")) < set(counted["outcome"].split("|"))
    assert set(failed["outcome"].split("|")) < set(counted["outcome"].split("|"))

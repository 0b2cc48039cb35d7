"""The alerts as their files say: complete, made of metrics that there are, and each with its page."""

import re

import pytest
from prometheus_client import REGISTRY

from tests.alerts_check import rules, shortened
from tests.alerts_check.__main__ import untested
from tests.alerts_check.faults import LONG, SHORT, Fault
from tests.alerts_check.rules import Alert
from tonearm.telemetry.declaring import CATALOGUE

FROM_OTHERS = {
    "up": "Prometheus: whether a scrape was answered",
    "process_start_time_seconds": "prometheus_client",
    "process_resident_memory_bytes": "prometheus_client",
}
FROM_KUBERNETES = "kube_cronjob_"
"""How the metrics of kube-state-metrics begin that we ask for; their values are names in our manifests."""
BY_KUBERNETES = {"namespace", "cronjob"}
BY_PROMETHEUS = {"job", "instance"}
RUNBOOK = "docs/operations/runbook.md"

ALERTS = rules.alerts()
RULES = [*rules.rules_in(rules.read(rules.RECORDING)), *rules.rules_in(rules.read(rules.ALERTS))]
RECORDED = {rule["record"] for rule in RULES if "record" in rule}

CODE = "".join(
    path.read_text()
    for room in ("interactions", "tonearm", "voice_nodes")
    for path in (rules.ROOT / room).rglob("*.py")
)

MANIFESTS = "".join(path.read_text() for path in (rules.ROOT / "k8s/base").glob("*.yaml"))

each_alert = pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
each_rule = pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.get("alert") or rule["record"])


def test_each_has_a_case_in_which_it_fires_and_one_in_which_it_does_not() -> None:
    cases = rules.cases()
    names = {alert.name for alert in ALERTS}
    assert untested() == []
    assert set(cases.firing) | set(cases.silent) == names


def test_a_case_that_is_missing_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    cases = rules.cases()
    del cases.silent["RedisDown"], cases.firing["NoWorker"]
    monkeypatch.setattr(rules, "cases", lambda: cases)
    assert [what for what, _, _ in untested()] == ["cases of RedisDown", "cases of NoWorker"]


def test_names_are_there_once() -> None:
    names = [alert.name for alert in ALERTS]
    assert len(set(names)) == len(names) >= 25


@each_alert
def test_it_says_who_is_told_what_and_where_to_read_on(alert: Alert) -> None:
    assert alert.severity in {"page", "ticket"}
    assert set(alert.annotations) == {"summary", "description", "runbook"}
    assert len(alert.annotations["summary"]) <= 100
    assert alert.annotations["runbook"] == f"{RUNBOOK}#{alert.name.lower()}"


def test_each_has_its_heading_in_the_runbook() -> None:
    headings = re.findall(r"^## (\w+)$", (rules.ROOT / RUNBOOK).read_text(), re.MULTILINE)
    assert {alert.name for alert in ALERTS} <= set(headings)


@each_rule
def test_it_reads_what_there_is(rule: rules.Document) -> None:
    for name, labels in rules.selectors(rule["expr"]):
        if name in RECORDED or name in FROM_OTHERS:
            assert set(labels) <= BY_PROMETHEUS
            continue
        if name.startswith(FROM_KUBERNETES):
            assert set(labels) <= BY_KUBERNETES
            continue
        base = re.sub(r"_(bucket|count|sum)$", "", name)
        declared = CATALOGUE.get(name) or CATALOGUE[base]
        assert (declared.kind == "histogram") is (name not in CATALOGUE)
        known = {*declared.labels, *BY_PROMETHEUS, *(("le",) if name.endswith("_bucket") else ())}
        assert set(labels) <= known, name
        assert "le" not in labels or labels["le"] in _bounds(base), f"{name} has no such bucket"


@each_rule
def test_it_asks_for_values_that_there_are(rule: rules.Document) -> None:
    jobs = {job["job_name"] for job in rules.read(rules.PROMETHEUS)["scrape_configs"]}
    for name, labels in rules.selectors(rule["expr"]):
        for label, pattern in labels.items():
            for value in pattern.split("|"):
                if label == "job":
                    assert value in jobs
                elif name.startswith(FROM_KUBERNETES):
                    assert f"  name: {value}\n" in MANIFESTS
                elif label != "le" and value != "5..":  # any status of a failure
                    assert f'"{value}"' in CODE, f"{name} is never counted with {label}={value}"


def _bounds(histogram: str) -> set[str]:
    samples = [sample for metric in REGISTRY.collect() if metric.name == histogram for sample in metric.samples]
    return {sample.labels["le"] for sample in samples if sample.name.endswith("_bucket")}


def test_what_inhibits_and_is_inhibited_are_alerts_of_ours() -> None:
    names = {alert.name for alert in ALERTS}
    for rule in rules.read(rules.ALERTMANAGER)["inhibit_rules"]:
        for matcher in (*rule["source_matchers"], *rule["target_matchers"]):
            label, _, value = re.fullmatch(r'(\w+) (=|=~) "([^"]+)"', matcher.strip()).groups()  # type: ignore[union-attr]
            assert label in {"alertname", "job"}
            if label == "alertname":
                assert set(value.split("|")) <= names


def test_each_severity_is_routed_to_a_receiver_of_its_name() -> None:
    settings = rules.read(rules.ALERTMANAGER)
    assert {each["name"] for each in settings["receivers"]} == {alert.severity for alert in ALERTS}
    (route,) = settings["route"]["routes"]
    assert (settings["route"]["receiver"], route["receiver"]) == ("ticket", "page")
    assert route["matchers"] == ['severity = "page"']


def test_metrics_are_found_in_an_expression() -> None:
    expr = 'sum by (le) (rate(a_bucket{le="5.0", x!~"y{1,2}"}[5m] offset 1h)) / on () b > 1e3 and c:d unless e'
    assert dict(rules.selectors(expr)) == {
        "a_bucket": {"le": "5.0", "x": "y{1,2}"},
        "b": {},
        "c:d": {},
        "e": {},
    }


@pytest.mark.parametrize(
    ("whole", "short"), [("0s", "0ms"), ("15s", "1000ms"), ("1m", "2000ms"), ("5m", "10000ms"), ("1h", "120000ms")]
)
def test_time_is_shorter(whole: str, short: str) -> None:
    assert shortened.duration(whole, 30) == short


def test_only_time_is_shorter() -> None:
    rule = {"alert": "A", "expr": "increase(a[5m] offset 1h) > 5 and b > 300", "for": "15m", "labels": {"x": "5m"}}
    (group,) = shortened.rule_file({"groups": [{"rules": [rule]}]}, 30)["groups"]
    assert group["rules"] == [
        {**rule, "expr": "increase(a[10000ms] offset 120000ms) > 5 and b > 300", "for": "30000ms"}
    ]


def test_the_originals_are_not_touched() -> None:
    document = rules.read(rules.ALERTS)
    shortened.rule_file(document)
    assert document == rules.read(rules.ALERTS)


@pytest.mark.parametrize(("rounds", "least"), [(SHORT, 3), (LONG, 6)])
def test_faults_are_enough_and_of_alerts_that_there_are(rounds: tuple[tuple[Fault, ...], ...], least: int) -> None:
    faults = [fault for each in rounds for fault in each]
    assert len({fault.make for fault in faults}) >= least
    assert {name for fault in faults for name in (*fault.alerts, *fault.held_back)} <= {alert.name for alert in ALERTS}
    for each in rounds:
        told = [name for fault in each for name in fault.alerts]
        assert len(told) == len(set(told)), "two faults of one round would take each other's alert for their own"

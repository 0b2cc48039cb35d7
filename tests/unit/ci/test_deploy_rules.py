"""Every rule for manifests passes what is there, and finds what is broken on purpose."""

from __future__ import annotations

import copy
import subprocess
from pathlib import Path

import deploy_check
import deploy_network
import deploy_wiring
import pytest
from deploy_manifests import Object, System, load, selects

from tests.support.broken_manifests import BROKEN, Break, Rule, container

ROOT = Path(__file__).resolve().parents[3]
BASE = ROOT / "k8s" / "base"
KEDA = ROOT / "k8s" / "components" / "keda"


def build(folder: Path) -> list[Object]:
    """What kustomize makes of a folder, as far as the rules look at it."""
    (told,) = load((folder / "kustomization.yaml").read_text())
    objects: list[Object] = []
    for resource in told.get("resources", []):
        path = folder / resource
        objects += build(path) if path.is_dir() else load(path.read_text())
    for generator in told.get("configMapGenerator", []):
        data = {Path(file).name: "" for file in generator["files"]}
        objects.append({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": generator["name"]}, "data": data})
    return objects


@pytest.fixture(scope="module")
def whole() -> list[Object]:
    objects = build(BASE)
    for each in objects:
        if each["kind"] != "Namespace":
            each["metadata"]["namespace"] = "discord-bot"
    for workload in System(objects).workloads():
        workload.labels["app.kubernetes.io/part-of"] = "tonearm"
    return objects


@pytest.fixture
def system(whole: list[Object]) -> System:
    return System(copy.deepcopy(whole))


@pytest.mark.parametrize("rule", deploy_check.RULES.values(), ids=lambda rule: rule.__name__)
def test_what_is_there_passes(rule: Rule, system: System) -> None:
    assert list(rule(system)) == []


@pytest.mark.parametrize(("rule", "spoil", "said"), BROKEN, ids=[said for _, _, said in BROKEN])
def test_what_is_broken_is_found(rule: Rule, spoil: Break, said: str, system: System) -> None:
    spoil(system)
    assert said in "\n".join(rule(system))


def test_every_rule_was_seen_to_fail() -> None:
    alone = {deploy_wiring.asking_for_what_is_there, deploy_wiring.trusting_their_stores}  # below
    assert {rule for rule, _, _ in BROKEN} | alone == set(deploy_check.RULES.values())


@pytest.mark.parametrize(
    ("file", "word", "instead", "said"),
    [
        ("voice-node", "sum(tonearm_players)", "sum(tonearm_singers)", "tonearm_singers, which nobody counts"),
        ("worker", "{w3}:jobs", "{w9}:jobs", "{w9}:jobs, which no worker reads"),
        ("worker", "{w3}:jobs", "{w2}:jobs", "does not ask for each of the 8 streams"),
        ("worker", "redis.discord-bot", "valkey.discord-bot", "valkey.discord-bot.svc:6379, which is not there"),
        ("worker", "redis-streams", "cron", "a trigger that nobody checks: cron"),
    ],
)
def test_keda_asks_for_what_is_there(file: str, word: str, instead: str, said: str, system: System) -> None:
    text = (KEDA / f"{file}-scaledobject.yaml").read_text()
    redis = [each for each in system.objects if each["metadata"]["name"] == "redis"]
    assert list(deploy_wiring.asking_for_what_is_there(System([*load(text), *redis]))) == []
    broken = System([*load(text.replace(word, instead)), *redis])
    assert said in "\n".join(deploy_wiring.asking_for_what_is_there(broken))


def test_members_of_a_cluster_serve_what_they_have(system: System) -> None:
    cluster = System(system.objects, frozenset({"redis-cluster"}))
    rule = deploy_wiring.keeping_what_they_are_told
    assert list(rule(cluster)) == ["Redis' members are not told --cluster-require-full-coverage no"]
    container(cluster, "redis")["args"] += ["--cluster-require-full-coverage", "no"]
    assert list(rule(cluster)) == []


def test_everybody_finds_the_ca_of_a_providers_store(system: System) -> None:
    managed = System(system.objects, frozenset({"managed-postgres"}))
    restore = System(load((ROOT / "k8s/restore/postgres-restore-job.yaml").read_text()))
    rule = deploy_wiring.trusting_their_stores
    without = f"is given TONEARM_DATABASE_URL, and has no {deploy_wiring.TRUSTED}"
    wanted = {f"{each} {without}" for each in ("api/api", "api/wait-for-schema", "backup-postgres/dump")}
    assert wanted < {*rule(managed)}
    container(managed, "api")["volumeMounts"] = [{"name": "stores-ca", "mountPath": deploy_wiring.TRUSTED}]
    assert f"api/api {without}" not in list(rule(managed))
    assert list(rule(restore)) == []
    container(restore, "restore-postgres")["volumeMounts"].clear()
    assert list(rule(restore)) == [f"restore-postgres/restore {without}"]


def test_what_a_component_changes_is_intended_with_it_only() -> None:
    alone, with_keda = deploy_network.intended(frozenset()), deploy_network.intended(frozenset({"keda"}))
    assert with_keda - alone == {deploy_network.Pair("ns:keda", "redis", "6379")}


def test_selectors_are_read_as_kubernetes_does() -> None:
    labels = {"a": "1", "b": "2"}
    assert selects({}, labels)
    assert selects({"matchLabels": {"a": "1"}}, labels)
    assert not selects({"matchLabels": {"a": "2"}}, labels)
    assert selects({"matchExpressions": [{"key": "b", "operator": "In", "values": ["2", "3"]}]}, labels)
    with pytest.raises(ValueError, match="NotIn"):
        selects({"matchExpressions": [{"key": "b", "operator": "NotIn", "values": ["2"]}]}, labels)


def test_scripts_are_shell() -> None:
    for script in (ROOT / "k8s").rglob("*.sh"):
        subprocess.run(["sh", "-n", script], check=True, timeout=10)

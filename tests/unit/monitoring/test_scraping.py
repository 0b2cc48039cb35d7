"""Who is scraped: the same jobs everywhere, and in a cluster each pod once, at its own port and under its own name."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tonearm.telemetry.declaring import PROCESSES

ROOT = Path(__file__).parents[3]
PROMETHEUS = ROOT / "monitoring/prometheus"
KNATIVE = ROOT / "k8s/components/knative/interactions-service.yaml"

PROMTOOL = shutil.which("promtool")
needs_promtool = pytest.mark.skipif(PROMTOOL is None, reason="promtool is not on PATH (Debian's package prometheus)")


def read(name):
    return yaml.safe_load((PROMETHEUS / name).read_text())


def pod(ip, name, port="8080", phase="Running", **annotations):
    """What Prometheus knows of one port of a pod's container."""
    return {
        "__address__": f"{ip}:8012",
        "__meta_kubernetes_pod_ip": ip,
        "__meta_kubernetes_pod_name": f"{name}-1",
        "__meta_kubernetes_pod_phase": phase,
        "__meta_kubernetes_pod_label_app_kubernetes_io_name": name,
        "__meta_kubernetes_pod_annotation_prometheus_io_scrape": "true",
        "__meta_kubernetes_pod_annotation_prometheus_io_port": port,
        **{f"__meta_kubernetes_pod_annotation_prometheus_io_{each}": value for each, value in annotations.items()},
    }


def test_every_process_has_a_job_of_its_name():
    jobs = [each["job_name"] for each in read("prometheus.yml")["scrape_configs"]]
    assert sorted(jobs) == sorted([*PROCESSES, "lavalink", "prometheus"])


def test_both_read_the_same_rules():
    for name in ("prometheus.yml", "kubernetes.yml"):
        assert read(name)["rule_files"] == ["recording.yml", "alerts.yml"]
        for file in read(name)["rule_files"]:
            assert (PROMETHEUS / file).is_file()


def seconds(duration):
    assert duration.endswith("s")
    return int(duration[:-1])


def test_a_pod_that_scales_away_is_scraped_twice_after_its_last_request():
    template = yaml.safe_load(KNATIVE.read_text())["spec"]["template"]["metadata"]["annotations"]
    delay = seconds(template["autoscaling.knative.dev/scale-down-delay"])
    assert delay >= 2 * seconds(read("kubernetes.yml")["global"]["scrape_interval"])
    assert template["prometheus.io/scrape"] == "true"
    container = yaml.safe_load(KNATIVE.read_text())["spec"]["template"]["spec"]["containers"][0]
    assert int(template["prometheus.io/port"]) == container["ports"][0]["containerPort"]


@needs_promtool
def test_promtool_takes_the_settings_of_compose():
    subprocess.run([PROMTOOL, "check", "config", PROMETHEUS / "prometheus.yml"], check=True, capture_output=True)


@needs_promtool
def test_pods_become_targets(tmp_path):
    """promtool of Debian has no Kubernetes in it, so what Kubernetes would tell stands in a file."""
    settings = read("kubernetes.yml")
    (pods,) = (each for each in settings["scrape_configs"] if each["job_name"] == "pods")
    (lookup,) = pods.pop("kubernetes_sd_configs")
    assert (lookup["role"], lookup["namespaces"]["names"]) == ("pod", ["discord-bot"])
    told = [
        pod("10.0.0.1", "interactions", path="/metrics"),
        {**pod("10.0.0.1", "interactions", path="/metrics"), "__address__": "10.0.0.1:9090"},
        pod("10.0.0.2", "lavalink", port="2333"),
        pod("10.0.0.3", "redis", scrape="false"),
        pod("10.0.0.4", "migrate", phase="Succeeded"),
    ]
    file = tmp_path / "told.json"
    file.write_text(json.dumps([{"targets": [each.pop("__address__")], "labels": each} for each in told]))
    pods["file_sd_configs"] = [{"files": [str(file)]}]
    settings.pop("rule_files")
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(settings))
    subprocess.run([PROMTOOL, "check", "config", tmp_path / "prometheus.yml"], check=True, capture_output=True)
    done = subprocess.run(
        [PROMTOOL, "check", "service-discovery", "--timeout=10s", tmp_path / "prometheus.yml", "pods"],
        check=True,
        capture_output=True,
    )
    found = [each["labels"] for each in json.loads(done.stdout) if each["labels"]]
    targets = {(each["job"], each["pod"], each["__address__"], each["__metrics_path__"]) for each in found}
    assert targets == {
        ("interactions", "interactions-1", "10.0.0.1:8080", "/metrics"),
        ("lavalink", "lavalink-1", "10.0.0.2:2333", "/metrics"),
    }

"""Rules for what belongs together: selectors and labels, settings and secrets, autoscalers and what they ask."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from deploy_manifests import NAME, Object, System, Workload, environment, load, name_of, selects, strings
from deploy_pods import is_ours
from prometheus_client import REGISTRY

import interactions.api.app
import interactions.process
import tonearm.telemetry  # its metrics are to be known
import tonearm.worker.process
import voice_nodes.process
from tonearm import settings
from tonearm.redis import keys

ROOT = Path(__file__).resolve().parent.parent
EXAMPLE = ROOT / "k8s/base/secrets.yaml.example"
NAMESPACE = "discord-bot"
CLUSTER_WIDE = ("Namespace", "ClusterRole", "ClusterRoleBinding")

NEEDED: dict[str, tuple[str, ...]] = {
    "interactions": interactions.process.NEEDED,
    "api": interactions.api.app.NEEDED,
    "worker": tonearm.worker.process.NEEDED,
    "voice-node": voice_nodes.process.NEEDED,
    "migrate": ("database_url",),
    "wait-for-schema": ("database_url",),
}
"""The settings without which a process of ours ends at once, by container."""

SECRETS_OF: dict[str, set[str]] = {
    "interactions": {"redis_url"},
    "api": {"redis_url", "database_url", "stripe_secret_key", "stripe_webhook_secrets"},
    "worker": {"discord_bot_token", "redis_url", "database_url", "webhook_secrets", "stripe_secret_key"},
    "voice-node": {"discord_bot_token", "redis_url", "database_url", "lavalink_nodes"},
    "migrate": {"database_url"},
    "wait-for-schema": {"database_url"},
}
"""The secrets that a process is given, no more and no fewer: it does without some, and then less."""

DECLARED = {settings.PREFIX + each.name.upper(): each for each in settings.DECLARED}
SECRET = re.compile(r"://[^/\s@]*:[^/\s@$]+@|whsec_|sk_live|-----BEGIN")


ADDRESSES = {"managed-postgres": "TONEARM_DATABASE_URL", "managed-redis": "TONEARM_REDIS_URL"}
"""What says where a provider's store is, by component."""
TRUSTED = "/etc/tonearm/ca"
"""Where the CA of a provider's stores is, as their addresses name it."""


def matched(system: System) -> Iterator[str]:
    """Every selector selects what it is meant to, and every name that is referred to is there."""
    workloads = system.workloads()
    for workload in workloads:
        selector = workload.object.get("spec", {}).get("selector")
        if workload.kind in ("Deployment", "StatefulSet") and selector != {"matchLabels": {NAME: workload.app}}:
            yield f"{workload.name} does not select its own pods"
        if workload.labels.get("app.kubernetes.io/part-of") != "tonearm" or not workload.app:
            yield f"{workload.name}'s pods don't say what they are and what they are part of"
    for workload in workloads:
        if workload.kind == "StatefulSet" and system.find("Service", workload.object["spec"]["serviceName"]) is None:
            yield f"{workload.name}'s Service is not there"
    for budget in system.of_kind("PodDisruptionBudget"):
        if not any(selects(budget["spec"]["selector"], each.labels) for each in workloads):
            yield f"PodDisruptionBudget {name_of(budget)} is for no pod"


def leading_somewhere(system: System) -> Iterator[str]:
    """Every Service and every path of the Ingress leads to a port that is there."""
    workloads = system.workloads()
    for service in system.of_kind("Service"):
        chosen = [each for each in workloads if selects({"matchLabels": service["spec"]["selector"]}, each.labels)]
        if not chosen:
            yield f"Service {name_of(service)} is for no pod"
        for port in service["spec"]["ports"]:
            if any(port["targetPort"] not in _ports(each) for each in chosen):
                yield f"Service {name_of(service)} leads to a port {port['targetPort']} that its pods don't have"
    for ingress in system.of_kind("Ingress"):
        yield from _leads_nowhere(ingress, system)


def scaled(system: System) -> Iterator[str]:
    """Autoscalers have something to scale, nobody else scales it, and their limits fit the rest."""
    counts: dict[str, int] = {}
    for scaler in system.of_kind("HorizontalPodAutoscaler", "ScaledObject"):
        target = scaler["spec"]["scaleTargetRef"]["name"]
        deployment = system.find("Deployment", target)
        if target in counts:
            yield f"{target} has two autoscalers"
        counts[target] = scaler["spec"].get("maxReplicas") or scaler["spec"]["maxReplicaCount"]
        if deployment is None:
            yield f"{scaler['kind']} {name_of(scaler)} scales {target}, which is not there"
        elif "replicas" in deployment["spec"]:
            yield f"{target} is scaled, and each apply sets its replicas back"
        if system.find("PodDisruptionBudget", target) is None:
            yield f"{target} is scaled, and has no PodDisruptionBudget"
    for deployment in system.of_kind("Deployment"):
        if name_of(deployment) not in counts:
            yield f"{name_of(deployment)} has no autoscaler"
    for workload in system.workloads():
        by_knative = str(workload.object["apiVersion"]).startswith("serving.knative.dev/")
        if by_knative and system.find("PodDisruptionBudget", workload.name) is None:
            yield f"{workload.name} is scaled by Knative, and has no PodDisruptionBudget"
    told = system.settings()
    if counts.get("voice-node") != int(told.get("TONEARM_SHARD_COUNT", 0)) + 1:
        yield f"{counts.get('voice-node')} voice nodes for TONEARM_SHARD_COUNT={told.get('TONEARM_SHARD_COUNT')}"
    sharing = [counts.get(each.name, 0) + 1 for each in system.workloads() if _uses(each, "TONEARM_DATABASE_URL")]
    if sum(sharing) > int(told.get("TONEARM_DATABASE_PROCESSES", 0)):
        yield f"TONEARM_DATABASE_PROCESSES is too low: up to {sum(sharing)} processes may be there"


def asking_for_what_is_there(system: System) -> Iterator[str]:
    """KEDA asks for metrics that our processes have, and for streams that they read, of a Redis that is there."""
    for scaler in system.of_kind("ScaledObject"):
        for trigger in scaler["spec"]["triggers"]:
            about = trigger["metadata"]
            if trigger["type"] == "prometheus":
                known = {each.name for each in REGISTRY.collect()}
                for name in re.findall(r"tonearm_\w+", about["query"]):
                    if name not in known:
                        yield f"{name_of(scaler)} asks for {name}, which nobody counts"
            elif trigger["type"] == "redis-streams":
                if about["stream"] not in {keys.jobs(-1 - n) for n in range(keys.WORKER_STREAMS)}:
                    yield f"{name_of(scaler)} asks for the stream {about['stream']}, which no worker reads"
                if system.find("Service", about["address"].partition(".")[0]) is None:
                    yield f"{name_of(scaler)} asks {about['address']}, which is not there"
            else:
                yield f"{name_of(scaler)} has a trigger that nobody checks: {trigger['type']}"
        streams = [each for each in scaler["spec"]["triggers"] if each["type"] == "redis-streams"]
        if streams and len({each["metadata"]["stream"] for each in streams}) != keys.WORKER_STREAMS:
            yield f"{name_of(scaler)} does not ask for each of the {keys.WORKER_STREAMS} streams"


def told_what_they_need(system: System) -> Iterator[str]:
    """Every variable of ours is a setting; every process gets what it needs, its secrets, and no more."""
    for name in system.settings():
        if name not in DECLARED:
            yield f"the ConfigMap has {name}, which is no setting"
    for workload in system.workloads():
        for container in workload.containers():
            where = f"{workload.name}/{container['name']}"
            given = environment(container, system)
            ours = {name for name in given if name.startswith(settings.PREFIX)}
            for name in sorted(ours - DECLARED.keys()):
                yield f"{where} is given {name}, which is no setting"
            if not is_ours(container):
                continue
            known = {DECLARED[name].name for name in ours & DECLARED.keys()}
            for name in sorted({*NEEDED[container["name"]], *SECRETS_OF[container["name"]]} - known):
                yield f"{where} is not given {settings.PREFIX}{name.upper()}"
            secrets = {name for name in known if DECLARED[settings.PREFIX + name.upper()].secret}
            for name in sorted(secrets - SECRETS_OF[container["name"]]):
                yield f"{where} is given the secret {settings.PREFIX}{name.upper()}, which it does not need"


def trusting_their_stores(system: System) -> Iterator[str]:
    """Who is told where a provider's store is finds whose certificates to trust; what restores is for any store."""
    for part, variable in ADDRESSES.items():
        for workload in system.workloads():
            if part not in system.parts and not workload.name.startswith("restore-"):
                continue
            for container in workload.containers():
                mounts = {each["mountPath"] for each in container.get("volumeMounts", [])}
                if variable in environment(container, system) and TRUSTED not in mounts:
                    yield f"{workload.name}/{container['name']} is given {variable}, and has no {TRUSTED}"


def without_secrets(system: System) -> Iterator[str]:
    """Secrets are in Secrets, which are none of ours, and nowhere else."""
    for secret in system.of_kind("Secret"):
        yield f"the Secret {name_of(secret)} is among the manifests"
    for config in system.of_kind("ConfigMap"):
        for name, value in config["data"].items():
            if name in DECLARED and DECLARED[name].secret:
                yield f"the ConfigMap {name_of(config)} has the secret {name}"
            if SECRET.search(value):
                yield f"the ConfigMap {name_of(config)} has something like a secret in {name}"
    for workload in system.workloads():
        for container in workload.containers():
            for variable in container.get("env", []):
                if "value" in variable and variable["name"] in DECLARED and DECLARED[variable["name"]].secret:
                    yield f"{workload.name}/{container['name']} has {variable['name']} in the open"
            if any(SECRET.search(text) for text in strings(container)):
                yield f"{workload.name}/{container['name']} has something like a secret in the open"


def secrets_in_the_example(system: System) -> Iterator[str]:
    """Every Secret and key that a pod is given is in the example, unless a pod can do without."""
    example = {name_of(each): each["stringData"] for each in load(EXAMPLE.read_text())}
    text = EXAMPLE.read_text()
    for workload in system.workloads():
        for container in workload.containers():
            for source in container.get("envFrom", []):
                name = source.get("secretRef", {}).get("name")
                if name and name not in example:
                    yield f"{workload.name} is given the Secret {name}, which {EXAMPLE.name} does not have"
            for variable in container.get("env", []):
                wanted = variable.get("valueFrom", {}).get("secretKeyRef")
                if not wanted or wanted["key"] in example.get(wanted["name"], {}):
                    continue
                if not (wanted.get("optional") and f"# {wanted['key']}: " in text):
                    yield f"{workload.name} is given {wanted['key']} of {wanted['name']}: not in {EXAMPLE.name}"


def in_their_place(system: System) -> Iterator[str]:
    """Everything is in the one namespace, where only restricted pods may be."""
    space = system.find("Namespace", NAMESPACE)
    if system.of_kind("Namespace") and space is None:
        yield f"there is no namespace {NAMESPACE}"
    elif space is not None and space["metadata"]["labels"].get("pod-security.kubernetes.io/enforce") != "restricted":
        yield f"the namespace {NAMESPACE} lets any pod in"
    for each in system.objects:
        if each["kind"] not in CLUSTER_WIDE and each["metadata"].get("namespace") != NAMESPACE:
            yield f"{each['kind']} {name_of(each)} is not in the namespace {NAMESPACE}"


def keeping_what_they_are_told(system: System) -> Iterator[str]:
    """Redis forgets nothing and writes everything down; PostgreSQL has the connections that processes share."""
    if "managed-redis" not in system.parts:
        config = (system.find("ConfigMap", "redis") or {"data": {}})["data"].get("redis.conf", "")
        for line in ("appendonly yes", "appendfsync everysec", "maxmemory-policy noeviction"):
            if line not in config.splitlines():
                yield f"redis.conf does not say {line!r}"
    server = system.find("StatefulSet", "redis")
    if server is not None and "redis-cluster" in system.parts:
        # Decision record 11: the default is yes.
        told = " ".join(server["spec"]["template"]["spec"]["containers"][0]["args"])
        if "--cluster-require-full-coverage no" not in told:
            yield "Redis' members are not told --cluster-require-full-coverage no"
    database = system.find("StatefulSet", "postgres")
    if database is not None:
        wanted = f"max_connections={system.settings().get('TONEARM_DATABASE_MAX_CONNECTIONS')}"
        if wanted not in database["spec"]["template"]["spec"]["containers"][0].get("args", []):
            yield f"PostgreSQL is not told {wanted}"


def _leads_nowhere(ingress: Object, system: System) -> Iterator[str]:
    for rule in ingress["spec"]["rules"]:
        for path in rule["http"]["paths"]:
            backend: dict[str, Any] = path["backend"]["service"]
            service = system.find("Service", backend["name"])
            ports = {port["name"] for port in service["spec"]["ports"]} if service else set()
            if backend["port"]["name"] not in ports:
                yield f"the Ingress leads {path['path']} to {backend['name']}, which is not there"
            if path["path"] == "/":
                yield "the Ingress leads everything inside, /metrics too"


def _ports(workload: Workload) -> set[str]:
    return {port.get("name", "") for each in workload.containers() for port in each.get("ports", [])}


def _uses(workload: Workload, variable: str) -> bool:
    given = (each.get("name") for container in workload.containers(init=False) for each in container.get("env", []))
    return workload.lasting and variable in given

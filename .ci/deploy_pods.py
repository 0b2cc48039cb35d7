"""Rules for pods: what may run in them, how it is watched, and how it ends."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from deploy_manifests import NAME, Object, System, Workload, load, name_of, selects

from tonearm import __version__

ROOT = Path(__file__).resolve().parent.parent
PREFIX = "tonearm-"
RUNS = {
    ("interactions", "interactions"): "interactions",
    ("api", "api"): "api",
    ("worker", "worker"): "worker",
    ("voice-node", "voice-node"): "voice-node",
    ("migrate", "migrate"): "worker",
    ("api", "wait-for-schema"): "api",
    ("worker", "wait-for-schema"): "worker",
}
"""The image's target by workload and container, for all that is ours."""

LEAVES_WITHIN = 5
"""Seconds after SIGTERM within which every process of ours is gone."""

MAKES_PODS = frozenset(
    {"pods", "pods/exec", "pods/ephemeralcontainers", "replicationcontrollers", "deployments", "replicasets"}
    | {"statefulsets", "daemonsets", "jobs", "cronjobs", "services", "configurations"}
)
"""Resources by which one has something run, and so has it tell every Secret; the last two are Knative's."""

RESOURCES = ("cpu", "memory", "ephemeral-storage")


def locked_in(system: System) -> Iterator[str]:
    """No container is root, writes its own file system, or can become more than it is."""
    for workload, container in _containers(system):
        where = f"{workload.name}/{container['name']}"
        pod, own = workload.pod.get("securityContext", {}), container.get("securityContext", {})
        merged = pod | own
        if merged.get("runAsNonRoot") is not True or not merged.get("runAsUser"):
            yield f"{where} may be root: runAsNonRoot and a runAsUser other than 0"
        if own.get("readOnlyRootFilesystem") is not True:
            yield f"{where} may write its root file system"
        if own.get("allowPrivilegeEscalation") is not False or own.get("privileged"):
            yield f"{where} may gain privileges"
        if own.get("capabilities") != {"drop": ["ALL"]}:
            yield f"{where} has capabilities"
        if merged.get("seccompProfile") != {"type": "RuntimeDefault"}:
            yield f"{where} has no seccomp profile"


def apart_from_the_node(system: System) -> Iterator[str]:
    """No pod sees its node, or fills its disk."""
    for workload in system.workloads():
        for name in ("hostNetwork", "hostPID", "hostIPC"):
            if workload.pod.get(name):
                yield f"{workload.name} has {name}"
        for volume in workload.pod.get("volumes", []):
            if "hostPath" in volume:
                yield f"{workload.name} mounts the node's {volume['hostPath'].get('path')}"
            if "emptyDir" in volume and "sizeLimit" not in volume["emptyDir"]:
                yield f"{workload.name}'s volume {volume['name']} has no size limit"


def limited(system: System) -> Iterator[str]:
    """Every container says what it needs, and what it gets at most."""
    for workload, container in _containers(system):
        given = container.get("resources", {})
        for kind in ("requests", "limits"):
            for resource in RESOURCES:
                if resource not in given.get(kind, {}):
                    yield f"{workload.name}/{container['name']} has no {kind} of {resource}"


def probed(system: System) -> Iterator[str]:
    """Every container that lasts is asked whether it lives and whether it is ready; ours at the right address."""
    for workload, container in _containers(system, lasting=True):
        where = f"{workload.name}/{container['name']}"
        # Knative has a way of its own to ask while a pod starts.
        wanted = {"livenessProbe": "/healthz", "readinessProbe": "/readyz"}
        wanted |= {} if workload.knative else {"startupProbe": "/healthz"}
        for probe, path in wanted.items():
            if probe not in container:
                yield f"{where} has no {probe}"
            elif is_ours(container) and container[probe].get("httpGet", {}).get("path") != path:
                yield f"{where} has a {probe} that does not ask {path}"
        ports = {port.get("name") for port in container.get("ports", [])}
        for probe in wanted:
            asked = container.get(probe, {})
            port = (asked.get("httpGet") or asked.get("tcpSocket") or {}).get("port")
            if isinstance(port, str) and port not in ports:
                yield f"{where} has a {probe} at a port {port} that it does not have"


def without_tokens(system: System) -> Iterator[str]:
    """Every pod has an account of its own; none gets a token, and none may do anything with one."""
    accounts = {name_of(each): each for each in system.of_kind("ServiceAccount")}
    workloads = system.workloads()
    for workload in workloads:
        account = accounts.get(workload.pod.get("serviceAccountName", ""))
        if account is None:
            yield f"{workload.name} has no ServiceAccount of its own"
        elif account.get("automountServiceAccountToken") is not False:
            yield f"the ServiceAccount {name_of(account)} hands out its token"
        if workload.pod.get("automountServiceAccountToken") is not False:
            yield f"{workload.name} gets a token"
    used = {workload.pod.get("serviceAccountName") for workload in workloads}
    for binding in system.of_kind("RoleBinding", "ClusterRoleBinding"):
        for subject in binding["subjects"]:
            if subject["name"] in used:
                yield f"{subject['name']}, which is some pod's, has the Role {binding['roleRef']['name']}"
    for role in system.of_kind("Role", "ClusterRole"):
        for rule in role["rules"]:
            yield from (f"the Role {name_of(role)} may {what}" for what in _too_much(rule))


def of_the_right_image(system: System) -> Iterator[str]:
    """Images are named with a version; ours are of this version and of the right target, and run a command."""
    commands = {entry.name for entry in entry_points(group="tonearm.processes")}
    targets = _targets()
    for workload, container in _containers(system):
        where = f"{workload.name}/{container['name']}"
        image = str(container["image"])
        name, _, tag = image.rpartition(":")
        if not name or tag == "latest" or "/" in tag:
            yield f"{where} has the image {image}, whose version nobody knows"
        expected = RUNS.get((workload.name, container["name"]))
        if expected is None:
            if is_ours(container):
                yield f"{where} has an image of ours, and is not in the list of what runs it"
            continue
        if name != PREFIX + expected or tag != __version__:
            yield f"{where} has the image {image}, not {PREFIX}{expected}:{__version__}"
        if expected not in targets:
            yield f"infra/Dockerfile has no target {expected}"
        command = next(iter(container.get("args", [])), "")
        if "command" in container or command not in commands:
            yield f"{where} does not run a command of Tonearm: {command!r}"
    for workload in system.workloads():
        wrong = {each.get("imagePullPolicy") for each in workload.containers()} - {"IfNotPresent"}
        if wrong:
            yield f"{workload.name} pulls images that are there: {wrong}"


def as_in_compose(system: System) -> Iterator[str]:
    """What is in compose as well has the same version there: what was tried in one place is what runs in the other."""
    (compose,) = load((ROOT / "infra" / "compose.yaml").read_text())
    there = dict(str(each["image"]).rsplit(":", 1) for each in compose["services"].values())
    for workload, container in _containers(system):
        name, _, tag = str(container["image"]).rpartition(":")
        if name in there and there[name] != tag:
            yield f"{workload.name}/{container['name']} has {name} {tag}, and compose {there[name]}"


def leaving_in_order(system: System) -> Iterator[str]:
    """Who is sent requests leaves the Service before it ends, and there is time for both."""
    services = [each["spec"].get("selector") for each in system.of_kind("Service")]
    for workload in system.workloads():
        if workload.kind not in ("Deployment", "StatefulSet"):
            continue
        grace = workload.pod.get("terminationGracePeriodSeconds", 30)
        pause = max(_pause(container) for container in workload.containers(init=False))
        served = any(selector and selects({"matchLabels": selector}, workload.labels) for selector in services)
        if served and workload.kind == "Deployment" and not pause:
            yield f"{workload.name} is sent requests when it ends already: it has no preStop"
        if not served and pause:
            yield f"{workload.name} waits {pause} s before it ends, for nothing"
        if grace < pause + LEAVES_WITHIN + 2:
            yield f"{workload.name} is killed before it has left: {grace} s are too short for {pause} s of preStop"


def rolled(system: System) -> Iterator[str]:
    """A new pod is ready before an old one ends, and the pods are spread over nodes and zones."""
    for workload in system.workloads():
        if workload.kind == "Deployment":
            strategy = workload.object["spec"].get("strategy", {}).get("rollingUpdate")
            if strategy != {"maxSurge": 1, "maxUnavailable": 0}:
                yield f"{workload.name} is not rolled one by one: {strategy}"
        if workload.kind in ("Deployment", "StatefulSet"):
            spread = workload.pod.get("topologySpreadConstraints", [])
            keys = {
                each["topologyKey"] for each in spread if each["labelSelector"]["matchLabels"] == {NAME: workload.app}
            }
            if keys != {"kubernetes.io/hostname", "topology.kubernetes.io/zone"}:
                yield f"{workload.name} is not spread over nodes and zones"


def with_their_volumes(system: System) -> Iterator[str]:
    """A group that owns a volume is set once: PostgreSQL refuses data that are open to it. What is mounted is there."""
    for workload in system.workloads():
        context = workload.pod.get("securityContext", {})
        if "fsGroup" in context and context.get("fsGroupChangePolicy") != "OnRootMismatch":
            yield f"{workload.name} opens its volumes to the group at each start: fsGroupChangePolicy OnRootMismatch"
        claims = {each["metadata"]["name"] for each in workload.object.get("spec", {}).get("volumeClaimTemplates", [])}
        volumes = {each["name"]: each for each in workload.pod.get("volumes", [])}
        for container in workload.containers():
            for mount in container.get("volumeMounts", []):
                if mount["name"] not in volumes.keys() | claims:
                    yield f"{workload.name}/{container['name']} mounts {mount['name']}, which is no volume"
        for name, volume in volumes.items():
            told = volume.get("configMap", {})
            config = None if told.get("optional") else told.get("name")
            if config and system.find("ConfigMap", config) is None:
                yield f"{workload.name}'s volume {name} is of a ConfigMap {config} that is not there"


def is_ours(container: Object) -> bool:
    """Whether it is an image of ours, from whatever registry."""
    return str(container["image"]).rpartition("/")[2].startswith(PREFIX)


def _containers(system: System, *, lasting: bool = False) -> Iterator[tuple[Workload, Object]]:
    for workload in system.workloads():
        if workload.lasting or not lasting:
            for container in workload.containers(init=not lasting):
                yield workload, container


def _too_much(rule: Object) -> Iterator[str]:
    if "*" in [*rule["verbs"], *rule["resources"], *rule["apiGroups"]] or "secrets" in rule["resources"]:
        yield f"do too much: {rule}"
    if {"create", "patch", "update"}.intersection(rule["verbs"]):
        yield from (f"have a pod tell every Secret, by {each}" for each in sorted(MAKES_PODS & {*rule["resources"]}))


def _pause(container: Object) -> int:
    hook: dict[str, Any] = container.get("lifecycle", {}).get("preStop", {})
    return int(hook.get("sleep", {}).get("seconds", 0))


def _targets() -> set[str]:
    """The targets of our Dockerfile."""
    lines = (ROOT / "infra" / "Dockerfile").read_text().splitlines()
    words = [line.split() for line in lines if line.upper().startswith("FROM ")]
    return {line[-1] for line in words if len(line) >= 4 and line[-2].upper() == "AS"}

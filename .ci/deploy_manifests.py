"""Kubernetes' objects as the rules see them: plain mappings, and the pods that they lead to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml  # type: ignore[import-untyped]

Object = dict[str, Any]

NAME = "app.kubernetes.io/name"
LASTING = ("Deployment", "StatefulSet", "Service")
"""Kinds whose pods go on for good; the Service is Knative's."""


@dataclass(frozen=True)
class Workload:
    """What makes pods: its object, their labels and their specification."""

    object: Object
    labels: dict[str, str]
    pod: Object

    @property
    def kind(self) -> str:
        return str(self.object["kind"])

    @property
    def name(self) -> str:
        return name_of(self.object)

    @property
    def app(self) -> str:
        """What its pods are called by policies and services."""
        return self.labels.get(NAME, "")

    @property
    def lasting(self) -> bool:
        return self.kind in LASTING

    @property
    def knative(self) -> bool:
        return self.kind == "Service"

    def containers(self, *, init: bool = True) -> list[Object]:
        return [*(self.pod.get("initContainers", []) if init else ()), *self.pod["containers"]]


@dataclass(frozen=True)
class System:
    """All that an overlay builds. ``parts`` are the names of the components in it."""

    objects: list[Object]
    parts: frozenset[str] = frozenset()

    def of_kind(self, *kinds: str) -> list[Object]:
        return [each for each in self.objects if each["kind"] in kinds and not _is_knative(each)]

    def workloads(self) -> list[Workload]:
        return [Workload(each, *found) for each in self.objects if (found := _pods_of(each)) is not None]

    def find(self, kind: str, name: str) -> Object | None:
        return next((each for each in self.of_kind(kind) if name_of(each) == name), None)

    def settings(self) -> dict[str, str]:
        """The ConfigMap that every process of ours gets."""
        found = self.find("ConfigMap", "tonearm")
        return dict(found["data"]) if found is not None else {}


def load(text: str) -> list[Object]:
    """The objects in a text of YAML."""
    return [each for each in yaml.safe_load_all(text) if each]


def name_of(object: Object) -> str:
    return str(object["metadata"]["name"])


def environment(container: Object, system: System) -> dict[str, tuple[str, str]]:
    """Where each variable of a container comes from: ``("Secret" | "ConfigMap" | "", name)`` by the variable's name."""
    found: dict[str, tuple[str, str]] = {}
    for source in container.get("envFrom", []):
        if "configMapRef" in source:
            origin = source["configMapRef"]["name"]
            config = system.find("ConfigMap", origin)
            found |= dict.fromkeys(config["data"] if config else (), ("ConfigMap", origin))
    for variable in container.get("env", []):
        reference = variable.get("valueFrom", {})
        if "secretKeyRef" in reference:
            found[variable["name"]] = ("Secret", reference["secretKeyRef"]["name"])
        elif "configMapKeyRef" in reference:
            found[variable["name"]] = ("ConfigMap", reference["configMapKeyRef"]["name"])
        else:
            found[variable["name"]] = ("", "")
    return found


def selects(selector: Object | None, labels: dict[str, str]) -> bool:
    """Whether a selector of Kubernetes matches; an empty one matches everything.

    Raises:
        ValueError: it has an operator that is not known here.
    """
    selector = selector or {}
    if any(labels.get(key) != value for key, value in selector.get("matchLabels", {}).items()):
        return False
    for expression in selector.get("matchExpressions", []):
        if expression["operator"] != "In":
            raise ValueError(f"the operator {expression['operator']} is not known here")
        if labels.get(expression["key"]) not in expression["values"]:
            return False
    return True


def _is_knative(object: Object) -> bool:
    return str(object["apiVersion"]).startswith("serving.knative.dev/")


def _pods_of(object: Object) -> tuple[dict[str, str], Object] | None:
    spec = object.get("spec", {})
    match object["kind"]:
        case "CronJob":
            template = spec["jobTemplate"]["spec"]["template"]
        case "Deployment" | "StatefulSet" | "DaemonSet" | "Job":
            template = spec["template"]
        case "Service" if _is_knative(object):
            template = spec["template"]
        case "Pod":
            template = object
        case _:
            return None
    return template.get("metadata", {}).get("labels", {}), template["spec"]


def strings(node: Any) -> Iterator[str]:
    """Every text that is anywhere in ``node``."""
    if isinstance(node, str):
        yield node
    elif isinstance(node, dict):
        for key, value in node.items():
            yield from (key, *strings(value))
    elif isinstance(node, list):
        for item in node:
            yield from strings(item)

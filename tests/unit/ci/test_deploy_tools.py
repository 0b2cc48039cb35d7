"""Schemas are made strict, and hold what they lead to."""

from __future__ import annotations

from pathlib import Path

import jsonschema_rs
import pytest
from deploy_tools import KINDS, custom_schemas, kubernetes_schemas

DEFINITIONS = {
    "Probe": {"properties": {"port": {"$ref": "#/definitions/Port"}}},
    "Port": {"type": "integer"},
    "Unused": {"type": "string"},
    "Pod": {
        "properties": {"probe": {"$ref": "#/definitions/Probe"}},
        KINDS: [{"kind": "Pod", "group": "", "version": "v1"}],
    },
    "PodList": {"properties": {}, KINDS: [{"kind": "PodList", "group": "", "version": "v1"}]},
}
DEFINITION = """
kind: CustomResourceDefinition
spec:
  group: keda.sh
  names: {kind: ScaledObject}
  versions:
    - name: v1alpha1
      schema:
        openAPIV3Schema:
          properties:
            spec: {type: object, properties: {min: {type: integer}}}
            free: {type: object, x-kubernetes-preserve-unknown-fields: true, properties: {}}
---
kind: Namespace
"""


def test_kinds_of_kubernetes() -> None:
    ((name, schema),) = kubernetes_schemas(DEFINITIONS)
    assert name == "pod-v1.json"
    assert "Unused" not in schema["definitions"]
    pod = jsonschema_rs.validator_for(schema)
    assert pod.is_valid({"probe": {"port": 1}})
    assert not pod.is_valid({"probe": {"port": "one"}})
    assert not pod.is_valid({"probe": {"prot": 1}})


def test_kinds_of_others(tmp_path: Path) -> None:
    (tmp_path / "crd.yaml").write_text(DEFINITION)
    ((name, schema),) = custom_schemas(tmp_path.glob("*.yaml"))
    assert name == "scaledobject-keda-v1alpha1.json"
    kind = jsonschema_rs.validator_for(schema)
    assert kind.is_valid(
        {"apiVersion": "x", "kind": "y", "metadata": {"name": "z"}, "spec": {"min": 1}, "free": {"a": 1}}
    )
    assert not kind.is_valid({"spec": {"mim": 1}})
    assert not kind.is_valid({"spce": {}})


@pytest.mark.parametrize("told", ["integer", "string"])
def test_a_port_is_a_number_or_a_name(told: str) -> None:
    definitions = {
        "io.k8s.apimachinery.pkg.util.intstr.IntOrString": {"type": "string", "format": "int-or-string"},
        "Service": {
            "properties": {"port": {"$ref": "#/definitions/io.k8s.apimachinery.pkg.util.intstr.IntOrString"}},
            KINDS: [{"kind": "Service", "group": "", "version": "v1"}],
        },
    }
    ((_, schema),) = kubernetes_schemas(definitions)
    assert jsonschema_rs.validator_for(schema).is_valid({"port": 80 if told == "integer" else "http"})

"""What `make deploy-check` needs from elsewhere: the programs, and the schemas that manifests are checked against.

Both come from Go modules, whose hashes are in `.ci/tools/` or below, and are kept in `var/`. Schemas are made of
what the projects publish: Kubernetes' OpenAPI document, and the CustomResourceDefinitions of Knative Serving and KEDA.
"""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from deploy_manifests import load

ROOT = Path(__file__).resolve().parent.parent
TOOLS = ROOT / "var" / "tools"
SCHEMAS = ROOT / "var" / "schemas"
BUILD_TIMEOUT = 900
"""Seconds for downloading and building."""

PROGRAMS = ("cmd", "kustomize", "kubeconform", "kube-score")
KUBECTLS = "kustomize-of-kubectl"
"""The kustomize in kubectl 1.32, of `.ci/tools/kubectl.mod`: `kubectl apply -k` has it, and it is older than ours."""

KUBERNETES = ("k8s.io/kubernetes", "v1.34.4", "h1:Yy6R4QB8C9kJPp25GFqEvX5XQwY5qzKeqD0Xx6oAcmk=")
KNATIVE = ("knative.dev/serving", "v0.42.2", "h1:yKieg3MeNvpVz+4JJPbvmpee3v3LK3zO5h5HJBtzaNk=")
KEDA = ("github.com/kedacore/keda/v2", "v2.21.0", "h1:R6z2HZvstK4RLUMxroNACzBj74xGxt3kG59b5Xc+Xps=")
"""Module, version, and the hash of its content."""

KINDS = "x-kubernetes-group-version-kind"
INT_OR_STRING = "io.k8s.apimachinery.pkg.util.intstr.IntOrString"
"""The document says string."""


class ToolsMissing(Exception):
    """A program or a schema could not be had; the text says why."""


def prepare() -> None:
    """Build and write what is missing or older than what names it.

    Raises:
        ToolsMissing: Go is not there, or a module can't be had.
    """
    sums = "".join((ROOT / ".ci/tools" / name).read_text() for name in ("go.sum", "kubectl.sum"))
    pins = f"{Path(__file__).read_text()}{sums}{_go('version')}"
    if not all((TOOLS / name).exists() for name in (*PROGRAMS, KUBECTLS)) or _stale(TOOLS, pins):
        TOOLS.mkdir(parents=True, exist_ok=True)
        build = ("build", "-trimpath", "-ldflags=-s -w")
        _go(*build, "-o", f"{TOOLS}/", "tool")
        _go(*build, "-modfile=kubectl.mod", "-o", f"{TOOLS / KUBECTLS}", "tool")
        _stamp(TOOLS, pins)
    if _stale(SCHEMAS, pins):
        SCHEMAS.mkdir(parents=True, exist_ok=True)
        swagger = json.loads((_module(KUBERNETES) / "api/openapi-spec/swagger.json").read_text())
        _write(kubernetes_schemas(swagger["definitions"]))
        _write(custom_schemas((_module(KNATIVE) / "config/core/300-resources").glob("*.yaml")))
        _write(custom_schemas((_module(KEDA) / "config/crd/bases").glob("*.yaml")))
        _stamp(SCHEMAS, pins)


def kubernetes_schemas(definitions: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """File name and schema of every kind; fields that are not known are refused."""
    strict(definitions)
    definitions[INT_OR_STRING] = {"type": ["integer", "string"]}
    for name, schema in definitions.items():
        kinds = schema.get(KINDS, [])
        if len(kinds) == 1 and not kinds[0]["kind"].endswith("List"):
            needed = closure(definitions, name)
            yield (
                _file_name(kinds[0]["kind"], kinds[0]["group"], kinds[0]["version"]),
                {**schema, "definitions": {each: definitions[each] for each in sorted(needed)}},
            )


def custom_schemas(files: Iterator[Path]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The same of every version of every CustomResourceDefinition in ``files``."""
    for file in sorted(files):
        for document in load(file.read_text()):
            if document.get("kind") != "CustomResourceDefinition":
                continue
            spec = document["spec"]
            for version in spec["versions"]:
                schema = version["schema"]["openAPIV3Schema"]
                strict(schema)
                # What every object has is not repeated in a definition.
                schema["properties"] |= {"apiVersion": {"type": "string"}, "kind": {"type": "string"}}
                schema["properties"]["metadata"] = {"type": "object"}
                yield _file_name(spec["names"]["kind"], spec["group"], version["name"]), schema


def strict(node: Any) -> None:
    """Refuse properties that are not declared, wherever some are."""
    for item in node if isinstance(node, list) else node.values() if isinstance(node, dict) else ():
        strict(item)
    declares = isinstance(node, dict) and isinstance(node.get("properties"), dict)
    if declares and not node.get("x-kubernetes-preserve-unknown-fields"):
        node.setdefault("additionalProperties", False)


def closure(definitions: dict[str, Any], name: str) -> set[str]:
    """The names of all definitions that ``name`` leads to."""
    found: set[str] = set()
    todo = [name]
    while todo:
        for reference in _references(definitions[todo.pop()]):
            if reference not in found:
                found.add(reference)
                todo.append(reference)
    return found


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(reference := node.get("$ref"), str):
            yield reference.removeprefix("#/definitions/")
        node = list(node.values())
    if isinstance(node, list):
        for item in node:
            yield from _references(item)


def _file_name(kind: str, group: str, version: str) -> str:
    """As kubeconform looks for it: ``{{ .ResourceKind }}{{ .KindSuffix }}.json``."""
    return "-".join(filter(None, (kind, group.split(".")[0], version))).lower() + ".json"


def _write(schemas: Iterator[tuple[str, dict[str, Any]]]) -> None:
    for name, schema in schemas:
        (SCHEMAS / name).write_text(json.dumps(schema))


def _module(pinned: tuple[str, str, str]) -> Path:
    """The folder of a module's content."""
    path, version, expected = pinned
    told = json.loads(_go("mod", "download", "-json", f"{path}@{version}"))
    if told["Sum"] != expected:
        raise ToolsMissing(f"{path} {version} has the hash {told['Sum']}, and not {expected}.")
    return Path(told["Dir"])


def _go(*words: str) -> str:
    environment = os.environ | {"CGO_ENABLED": "0", "GOWORK": "off", "GOFLAGS": "-mod=readonly -buildvcs=false"}
    try:
        done = subprocess.run(  # noqa: S603
            ["go", *words],  # noqa: S607
            cwd=ROOT / ".ci/tools",
            env=environment,
            capture_output=True,
            text=True,
            timeout=BUILD_TIMEOUT,
        )
    except FileNotFoundError:
        raise ToolsMissing("Go is needed for the tools (https://go.dev/dl), and there is none on PATH.") from None
    except subprocess.TimeoutExpired:
        raise ToolsMissing(f"`go {' '.join(words)}` was not done after {BUILD_TIMEOUT} s.") from None
    if done.returncode != 0:
        raise ToolsMissing(f"`go {' '.join(words)}` failed: {done.stderr.strip()[-2000:]}")
    return done.stdout


def _stale(folder: Path, pins: str) -> bool:
    stamp = folder / ".pins"
    return not stamp.exists() or stamp.read_text() != pins


def _stamp(folder: Path, pins: str) -> None:
    (folder / ".pins").write_text(pins)

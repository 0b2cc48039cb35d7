"""`make deploy-check`: everything about images and manifests that can be known without running them.

One line for each check. The exit code is 1 when one failed, and 2 when the tools for it could not be had.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import deploy_network
import deploy_pods
import deploy_wiring
from deploy_manifests import System, load
from deploy_tools import KUBECTLS, ROOT, SCHEMAS, TOOLS, ToolsMissing, prepare

OVERLAYS = ROOT / "k8s" / "overlays"
RESTORE = ROOT / "k8s" / "restore"
FOR_TESTS = ROOT / "tests" / "cluster" / "overlay"
TIMEOUT = 60
"""Seconds that one tool may take."""

Check = tuple[str, bool, str]
"""What was looked at, whether it is well, and what is to be said of it."""

RULES: dict[str, Callable[[System], Iterator[str]]] = {
    "containers are non-root, read-only and without capabilities": deploy_pods.locked_in,
    "pods keep off their node": deploy_pods.apart_from_the_node,
    "containers have requests and limits": deploy_pods.limited,
    "containers that last have their probes": deploy_pods.probed,
    "pods have accounts of their own, and no tokens": deploy_pods.without_tokens,
    "images have versions; ours are of the right target": deploy_pods.of_the_right_image,
    "images are as in compose": deploy_pods.as_in_compose,
    "pods have time to leave in order": deploy_pods.leaving_in_order,
    "rollouts are one by one, pods are spread": deploy_pods.rolled,
    "volumes are there, and keep their permissions": deploy_pods.with_their_volumes,
    "labels and selectors match": deploy_wiring.matched,
    "Services and the Ingress lead to ports that are there": deploy_wiring.leading_somewhere,
    "autoscalers fit what they scale": deploy_wiring.scaled,
    "KEDA asks for what is there": deploy_wiring.asking_for_what_is_there,
    "every variable is a setting, and goes where it is needed": deploy_wiring.told_what_they_need,
    "a provider's stores can be trusted by all that use them": deploy_wiring.trusting_their_stores,
    "no secret outside of Secrets": deploy_wiring.without_secrets,
    "the example has every secret": deploy_wiring.secrets_in_the_example,
    "all is in the restricted namespace": deploy_wiring.in_their_place,
    "the stores keep what they are told": deploy_wiring.keeping_what_they_are_told,
    "network: every pair is intended, and has both rules": deploy_network.problems,
}

NOT_SCORED = {
    "container-image-pull-policy": "versions are not moved, and a node that has an image needs no registry",
    "container-security-context-user-group-id": "those of other people's images are theirs; ours is above 10,000",
    "deployment-has-host-podantiaffinity": "topology spread does this, and lets a drained node's pods go elsewhere",
    "statefulset-has-host-podantiaffinity": "the same",
    "statefulset-has-servicename": "it wants all labels in the selector; `labels and selectors match` sees to it",
    "container-ephemeral-storage-request-equals-limit": "`requests and limits` sees to both",
}
"""What kube-score is not asked for, and why."""

CRITICAL, WARNING, FINE = 1, 5, 10
"""kube-score's grades. Nothing may be below FINE."""


def main() -> int:
    """Print a line for each check; returns the exit code."""
    begun = time.monotonic()
    try:
        prepare()
    except ToolsMissing as error:
        print(f"deploy-check: {error}", file=sys.stderr)
        return 2
    print(f"      tools and schemas are there after {time.monotonic() - begun:.0f} s")
    failed = total = 0
    for name, good, said in checks():
        total += 1
        failed += not good
        print(f"{'ok   ' if good else 'FAIL '} {name}" + (f"\n      {said}" if said and not good else ""), flush=True)
    print(f"{total - failed} of {total} checks passed in {time.monotonic() - begun:.0f} s.")
    return 1 if failed else 0


def checks() -> Iterator[Check]:
    """All checks, one after the other."""
    systems: dict[str, System] = {}
    texts: dict[str, str] = {}
    for folder in (*sorted(OVERLAYS.iterdir()), RESTORE):
        name = folder.name
        built, said = run(["kustomize", "build", str(folder)])
        yield f"{name}: kustomize builds it", built, said
        if built:
            yield f"{name}: kubectl's kustomize builds the same", *same_by_kubectl(folder, said)
            systems[name] = System(load(said), parts_of(folder))
            yield f"{name}: kubeconform", *conform(said)
            texts[name] = said
            # What restores is made for what is there already: it has no policies and accounts of its own.
            yield f"{name}: kube-score", *score(f"{texts['plain']}---\n{said}" if folder == RESTORE else said)
    built, said = run(["kustomize", "build", str(FOR_TESTS)])
    yield "make cluster's overlay: kustomize builds it", built, said
    if built:
        yield "make cluster's overlay: kubeconform", *conform(said)
    restore = systems.pop(RESTORE.name, None)
    for name, rule in RULES.items():
        found = [f"{overlay}: {problem}" for overlay, system in systems.items() for problem in rule(system)]
        yield f"{name} ({len(systems)} overlays)", not found, "\n      ".join(dict.fromkeys(found))
    if restore is not None and "plain" in systems:
        together = System([*systems["plain"].objects, *restore.objects])
        found = [problem for rule in RULES.values() for problem in rule(together)]
        yield "restore: all of these rules", not found, "\n      ".join(found)
    for script in sorted((ROOT / "k8s").rglob("*.sh")):
        yield f"{script.relative_to(ROOT)} is a shell script", *run(["sh", "-n", str(script)])
    yield from image_checks()


def same_by_kubectl(folder: Path, expected: str) -> tuple[bool, str]:
    """Whether the older kustomize in kubectl, by which people apply a folder, makes the same of it."""
    built, said = run([KUBECTLS, "build", str(folder)])
    if not built:
        return False, next((line for line in said.splitlines() if line), "")
    return said == expected, "it builds something else"


def image_checks() -> Iterator[Check]:
    """What is known of images and compose, if that module is there."""
    if importlib.util.find_spec("deploy_images") is not None:
        yield from importlib.import_module("deploy_images").checks()


def conform(manifests: str) -> tuple[bool, str]:
    """Whether every object is one, to the API server and to Knative's and KEDA's definitions."""
    where = f"{SCHEMAS}/{{{{.ResourceKind}}}}{{{{.KindSuffix}}}}.json"
    return run(["kubeconform", "-strict", "-schema-location", where], manifests)


def parts_of(folder: Path) -> frozenset[str]:
    """The names of the components in an overlay, those of overlays that it stands on included."""
    (told,) = load((folder / "kustomization.yaml").read_text())
    below = [(folder / each).resolve() for each in told.get("resources", [])]
    inherited = (parts_of(each) for each in below if each.parent == OVERLAYS)
    return frozenset(Path(each).name for each in told.get("components", [])).union(*inherited)


def score(manifests: str) -> tuple[bool, str]:
    """Whether kube-score finds nothing."""
    ignored = [word for test in NOT_SCORED for word in ("--ignore-test", test)]
    _, said = run(
        ["kube-score", "score", "--output-format", "json", "--kubernetes-version", "v1.34", *ignored, "-"], manifests
    )
    try:
        objects: list[dict[str, Any]] = json.loads(said)
    except ValueError:
        return False, said
    found = [
        f"{each['object_name']}: {check['check']['id']}: {comment['summary']} {comment['path']}"
        for each in objects
        for check in each["checks"] or ()
        if not check["skipped"] and check["grade"] < FINE
        for comment in check["comments"] or [{"summary": "", "path": ""}]
    ]
    return not found, "\n      ".join(found)


def run(words: list[str], given: str | None = None) -> tuple[bool, str]:
    """Whether a program went well; what it wrote, or what it complained about."""
    program = TOOLS / words[0]
    command = [str(program) if program.exists() else words[0], *words[1:]]
    try:
        done = subprocess.run(  # noqa: S603
            command, input=given, capture_output=True, text=True, timeout=TIMEOUT
        )
    except subprocess.TimeoutExpired:
        return False, f"{words[0]} was not done after {TIMEOUT} s"
    return done.returncode == 0, done.stdout if done.returncode == 0 else done.stdout + done.stderr


if __name__ == "__main__":
    sys.exit(main())

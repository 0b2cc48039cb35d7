"""Whether what the pages tell kubectl to do is about something that the manifests have."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

import yaml  # type: ignore[import-untyped]
from docs_pages import ROOT, Page

KINDS = {
    "Deployment": ("deployment", "deployments", "deploy"),
    "StatefulSet": ("statefulset", "statefulsets", "sts"),
    "Job": ("job", "jobs"),
    "CronJob": ("cronjob", "cronjobs"),
    "HorizontalPodAutoscaler": ("hpa",),
    "Service": ("ksvc", "service", "services", "svc"),
    "ConfigMap": ("configmap", "configmaps", "cm"),
    "Secret": ("secret", "secrets"),
    "Ingress": ("ingress", "ingresses"),
    "NetworkPolicy": ("networkpolicy", "networkpolicies", "netpol"),
    "ScaledObject": ("scaledobject", "scaledobjects"),
}
"""How kubectl calls what the manifests have."""

KIND_OF = {word: kind for kind, words in KINDS.items() for word in words}
OURS = "discord-bot"
THEIRS = ("knative-serving", "kourier-system", "ingress-nginx", "monitoring", "kube-system")
"""Namespaces in which is what others install."""

LINE = re.compile(r"(?:^|[\s(])kubectl ((?:[^\n\\]|\\\n)*)", re.MULTILINE)
NAME = re.compile(r"[a-z0-9][a-z0-9-]*")
GENERATED = re.compile(r"generic|docker-registry|tls|token")


def unknown(page: Page) -> Iterator[str]:
    """Objects and folders that the manifests do not have."""
    lines = [match.replace("\\\n", " ") for code in page.codes for match in LINE.findall(code)]
    made = {(kind, name) for line in lines for kind, name in _made(line)}
    for line in lines:
        if any(f"-n {namespace}" in line for namespace in THEIRS):
            continue
        for path in re.findall(r"-[kf] (k8s/\S+)", line):
            if not (ROOT / path).exists():
                yield f"kubectl {path}"
        for kind, name in _named(line):
            if (kind, name) not in made and (kind, name) not in _objects():
                yield f"kubectl {kind} {name}"


def _words(line: str) -> list[str]:
    """What kubectl is told: not what comes behind a pipe, a comment, or what a container is told to do."""
    return re.split(r" \| | && | #| -- |\)|;", line)[0].split()


def _made(line: str) -> Iterator[tuple[str, str]]:
    """What a line creates."""
    words = [word for word in _words(line) if not word.startswith("-")]
    if "create" in words:
        kind, *rest = words[words.index("create") + 1 :]
        rest = [word for word in rest if not GENERATED.fullmatch(word)]
        if kind in KIND_OF and rest:
            yield KIND_OF[kind], rest[0]


def _named(line: str) -> Iterator[tuple[str, str]]:
    """Kind and name of each object that a line speaks of."""
    kind = None
    for word in _words(line):
        before, slash, name = word.partition("=")[2 if "--from=" in word else 0].partition("/")
        if slash and before in KIND_OF and NAME.fullmatch(name):
            yield KIND_OF[before], name
        elif word in KIND_OF:
            kind = KIND_OF[word]
        elif word.startswith("-") or not NAME.fullmatch(word):
            kind = None
        elif kind is not None:
            yield kind, word


@cache
def _objects() -> frozenset[tuple[str, str]]:
    """Kind and name of everything in the manifests, and of what kustomize makes of files."""
    found = set()
    for file in (*(ROOT / "k8s").rglob("*.yaml"), ROOT / "infra/lavalink/kustomization.yaml", _EXAMPLE):
        for told in filter(None, yaml.safe_load_all(file.read_text())):
            if isinstance(told, dict):
                found.add((str(told.get("kind")), str(told.get("metadata", {}).get("name"))))
                found |= {("ConfigMap", str(made["name"])) for made in told.get("configMapGenerator", [])}
    return frozenset(found)


_EXAMPLE = ROOT / "k8s/base/secrets.yaml.example"

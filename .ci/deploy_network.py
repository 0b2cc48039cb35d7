"""Who may talk to whom: what the NetworkPolicies of a system allow, against what is intended."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from deploy_manifests import NAME, Object, System, Workload, name_of, selects

NAMESPACE = "kubernetes.io/metadata.name"
WORLD_WITHOUT = {"10.0.0.0/8", "100.64.0.0/10", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16"}
"""Private networks, and the addresses at which clouds tell their machines secrets."""


SOLVER = Workload(
    {"kind": "Pod", "metadata": {"name": "http01-solver"}},
    {NAME: "http01-solver", "acme.cert-manager.io/http01-solver": "true"},
    {},
)
"""A pod that is not ours and comes into the namespace: cert-manager makes it. Its name here is for the pairs."""


class Pair(NamedTuple):
    """``source`` may open connections to ``target``: workloads; or ``ns:NAME``, ``the world``, ``net:CIDR``."""

    source: str
    target: str
    port: str


def _pairs(source: str, target: str, *ports: object) -> set[Pair]:
    return {Pair(source, target, str(port)) for port in ports}


OURS = ("interactions", "api", "worker", "voice-node")
ALL = (*OURS, "lavalink", "migrate", "backup", "postgres", "redis", SOLVER.app)
MUSIC = (80, 443, 2053, 2083, 2087, 2096, 8443, "UDP 1024-65535")

INTENDED: frozenset[Pair] = frozenset().union(
    *(_pairs(each, "ns:kube-system", "UDP 53", 53) for each in ALL),
    *(_pairs(each, "redis", 6379) for each in (*OURS, "backup")),
    *(_pairs(each, "postgres", 5432) for each in ("api", "worker", "voice-node", "migrate", "backup")),
    *(_pairs(each, "the world", 443) for each in ("api", "worker", "voice-node", "backup")),
    *(_pairs("ns:monitoring", each, 8080) for each in OURS),
    *(_pairs("ns:ingress-nginx", each, 8080) for each in ("interactions", "api")),
    _pairs("ns:ingress-nginx", SOLVER.app, 8089),
    _pairs("voice-node", "lavalink", 2333),
    _pairs("ns:monitoring", "lavalink", 2333),
    _pairs("lavalink", "the world", *MUSIC),
)

_NO_REDIS = {pair for pair in INTENDED if "redis" in pair}
_NO_POSTGRES = {pair for pair in INTENDED if "postgres" in pair}

CHANGES: dict[str, tuple[set[Pair], set[Pair]]] = {
    "knative": (
        _pairs("ns:ingress-nginx", "interactions", 8080),
        {
            *_pairs("ns:knative-serving", "interactions", 8012, 8112, 9090),
            *_pairs("ns:kourier-system", "interactions", 8012, 8112, 9090),
            *_pairs("ns:monitoring", "interactions", 9091),
        },
    ),
    "redis-cluster": (
        set(),
        {
            *_pairs("redis", "redis", 6379, 16379),
            *_pairs("redis-join", "redis", 6379),
            *_pairs("redis-join", "ns:kube-system", "UDP 53", 53),
        },
    ),
    "keda": (set(), _pairs("ns:keda", "redis", 6379)),
    "managed-redis": (
        _NO_REDIS,
        set().union(*(_pairs(each, "net:10.0.0.0/8", 6379) for each in OURS)),
    ),
    "managed-postgres": (
        _NO_POSTGRES,
        set().union(
            *(_pairs(each, "net:10.0.0.0/8", 5432) for each in ("api", "worker", "voice-node", "migrate", "backup"))
        ),
    ),
}
"""What a component takes from :data:`INTENDED`, and what it adds."""


def intended(parts: frozenset[str]) -> set[Pair]:
    """All pairs that a system with these components should allow."""
    pairs = set(INTENDED)
    for part in sorted(parts & CHANGES.keys()):
        taken, added = CHANGES[part]
        pairs = (pairs - taken) | added
    return pairs


def problems(system: System) -> Iterator[str]:
    """What the policies of ``system`` allow and should not, or the other way round."""
    workloads = [*system.workloads(), SOLVER]
    policies = system.of_kind("NetworkPolicy")
    if not any(_denies_all(policy) for policy in policies):
        yield "no policy denies everything first: podSelector {}, Ingress and Egress, without rules"
    for policy in policies:
        if not any(selects(policy["spec"].get("podSelector"), each.labels) for each in workloads):
            yield f"NetworkPolicy {name_of(policy)} is for no pod"
    opened, let_in = outgoing(policies, workloads), incoming(policies, workloads)
    inside = {each.app for each in workloads}
    both = {pair for pair in opened | let_in if {pair.source, pair.target} <= inside}
    for pair in sorted(both - (opened & let_in)):
        side = "Ingress" if pair in opened else "Egress"
        yield f"{_text(pair)} lacks its {side} rule"
    wanted = intended(system.parts)
    for pair in sorted((opened | let_in) - wanted):
        yield f"{_text(pair)} is allowed, and not intended"
    for pair in sorted(wanted - (opened | let_in)):
        yield f"{_text(pair)} is intended, and not allowed"


def outgoing(policies: list[Object], workloads: list[Workload]) -> set[Pair]:
    """What pods may open."""
    return {
        Pair(each.app, peer, port)
        for policy in policies
        for each in workloads
        if "Egress" in policy["spec"]["policyTypes"] and selects(policy["spec"].get("podSelector"), each.labels)
        for rule in policy["spec"].get("egress", [])
        for peer in _peers(rule.get("to"), workloads)
        for port in _ports(rule)
    }


def incoming(policies: list[Object], workloads: list[Workload]) -> set[Pair]:
    """What pods let in."""
    return {
        Pair(peer, each.app, port)
        for policy in policies
        for each in workloads
        if "Ingress" in policy["spec"]["policyTypes"] and selects(policy["spec"].get("podSelector"), each.labels)
        for rule in policy["spec"].get("ingress", [])
        for peer in _peers(rule.get("from"), workloads)
        for port in _ports(rule)
    }


def _denies_all(policy: Object) -> bool:
    spec = policy["spec"]
    whole = not spec.get("podSelector") and set(spec.get("policyTypes", [])) == {"Ingress", "Egress"}
    return whole and not spec.get("ingress") and not spec.get("egress")


def _peers(peers: list[Object] | None, workloads: list[Workload]) -> Iterator[str]:
    if not peers:
        yield "anybody"
    for peer in peers or ():
        if "ipBlock" in peer:
            yield _network(peer["ipBlock"])
        elif "namespaceSelector" in peer:
            yield f"ns:{peer['namespaceSelector'].get('matchLabels', {}).get(NAMESPACE, '*')}"
        else:
            yield from {each.app for each in workloads if selects(peer["podSelector"], each.labels)}


def _network(block: Object) -> str:
    if block["cidr"] == "0.0.0.0/0" and set(block.get("except", [])) >= WORLD_WITHOUT:
        return "the world"
    return f"net:{block['cidr']}"


def _ports(rule: Object) -> Iterator[str]:
    ports: list[Any] = rule.get("ports") or [{"port": "any"}]
    for each in ports:
        port = f"{each['port']}-{each['endPort']}" if "endPort" in each else f"{each['port']}"
        protocol = each.get("protocol", "TCP")
        yield port if protocol == "TCP" else f"{protocol} {port}"


def _text(pair: Pair) -> str:
    return f"{pair.source} -> {pair.target} ({pair.port})"

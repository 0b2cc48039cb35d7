"""Ways to break the manifests, each with the rule that finds it and what that says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import deploy_network
import deploy_pods
import deploy_wiring
from deploy_manifests import System

Break = Callable[[System], None]
Rule = Callable[[System], Iterator[str]]


def find(system: System, kind: str, name: str) -> Any:
    found = system.find(kind, name)
    assert found is not None
    return found


def pod(system: System, name: str) -> Any:
    return next(each.pod for each in system.workloads() if each.name == name)


def container(system: System, name: str) -> Any:
    return pod(system, name)["containers"][0]


def drop(system: System, kind: str, name: str) -> None:
    system.objects.remove(find(system, kind, name))


def without(system: System, name: str, variable: str) -> None:
    env = container(system, name)["env"]
    env[:] = [each for each in env if each["name"] != variable]


def settings(system: System) -> Any:
    return find(system, "ConfigMap", "tonearm")["data"]


def allow(system: System, resource: str, *verbs: str) -> None:
    """One more Role."""
    rules = [{"apiGroups": ["x"], "resources": [resource], "verbs": [*verbs]}]
    system.objects.append({"kind": "Role", "apiVersion": "v1", "metadata": {"name": "more"}, "rules": rules})


def bind(system: System, account: str) -> None:
    rest = {"roleRef": {"name": "more"}, "subjects": [{"name": account}]}
    system.objects.append({"kind": "RoleBinding", "apiVersion": "v1", "metadata": {"name": "more"}, **rest})


def rule_of(system: System, name: str, side: str) -> Any:
    return find(system, "NetworkPolicy", name)["spec"][side]


BROKEN: list[tuple[Rule, Break, str]] = [
    (deploy_pods.locked_in, lambda s: pod(s, "api")["securityContext"].update(runAsUser=0), "api/api may be root"),
    (
        deploy_pods.locked_in,
        lambda s: pod(s, "redis")["securityContext"].pop("runAsNonRoot"),
        "redis/redis may be root",
    ),
    (
        deploy_pods.locked_in,
        lambda s: container(s, "worker")["securityContext"].update(readOnlyRootFilesystem=False),
        "worker/worker may write",
    ),
    (
        deploy_pods.locked_in,
        lambda s: container(s, "postgres")["securityContext"].pop("allowPrivilegeEscalation"),
        "may gain privileges",
    ),
    (
        deploy_pods.locked_in,
        lambda s: container(s, "lavalink")["securityContext"].update(capabilities={"drop": ["ALL"], "add": ["CHOWN"]}),
        "has capabilities",
    ),
    (
        deploy_pods.locked_in,
        lambda s: pod(s, "backup-redis")["initContainers"][0]["securityContext"].update(
            seccompProfile={"type": "None"}
        ),
        "backup-redis/snapshot has no seccomp",
    ),
    (deploy_pods.apart_from_the_node, lambda s: pod(s, "api").update(hostNetwork=True), "api has hostNetwork"),
    (
        deploy_pods.apart_from_the_node,
        lambda s: pod(s, "lavalink")["volumes"].append({"name": "x", "hostPath": {"path": "/"}}),
        "mounts the node's /",
    ),
    (
        deploy_pods.apart_from_the_node,
        lambda s: pod(s, "lavalink")["volumes"].append({"name": "x", "emptyDir": {}}),
        "no size limit",
    ),
    (
        deploy_pods.limited,
        lambda s: container(s, "voice-node")["resources"]["limits"].pop("memory"),
        "voice-node/voice-node has no limits of memory",
    ),
    (deploy_pods.limited, lambda s: pod(s, "api")["initContainers"][0].pop("resources"), "wait-for-schema has no"),
    (deploy_pods.probed, lambda s: container(s, "redis").pop("livenessProbe"), "redis/redis has no livenessProbe"),
    (
        deploy_pods.probed,
        lambda s: container(s, "voice-node")["readinessProbe"]["httpGet"].update(path="/healthz"),
        "does not ask /readyz",
    ),
    (
        deploy_pods.probed,
        lambda s: container(s, "lavalink")["ports"][0].update(name="other"),
        "at a port http that it does not have",
    ),
    (
        deploy_pods.without_tokens,
        lambda s: pod(s, "api").update(automountServiceAccountToken=True),
        "api gets a token",
    ),
    (deploy_pods.without_tokens, lambda s: drop(s, "ServiceAccount", "worker"), "worker has no ServiceAccount"),
    (
        deploy_pods.without_tokens,
        lambda s: find(s, "ServiceAccount", "redis").pop("automountServiceAccountToken"),
        "hands out its token",
    ),
    (deploy_pods.without_tokens, lambda s: bind(s, "api"), "api, which is some pod's, has the Role more"),
    (deploy_pods.without_tokens, lambda s: allow(s, "configmaps", "*"), "may do too much"),
    (deploy_pods.without_tokens, lambda s: allow(s, "secrets", "get"), "may do too much"),
    (deploy_pods.without_tokens, lambda s: allow(s, "jobs", "create"), "tell every Secret, by jobs"),
    (deploy_pods.without_tokens, lambda s: allow(s, "deployments", "get", "patch"), "every Secret, by deployments"),
    (deploy_pods.without_tokens, lambda s: allow(s, "pods/exec", "create"), "every Secret, by pods/exec"),
    (
        deploy_pods.of_the_right_image,
        lambda s: container(s, "redis").update(image="redis"),
        "whose version nobody knows",
    ),
    (
        deploy_pods.of_the_right_image,
        lambda s: container(s, "redis").update(image="redis:latest"),
        "whose version nobody knows",
    ),
    (
        deploy_pods.of_the_right_image,
        lambda s: container(s, "api").update(image="tonearm-worker:0.1.0"),
        "not tonearm-api:",
    ),
    (
        deploy_pods.of_the_right_image,
        lambda s: container(s, "redis").update(image="tonearm-worker:0.1.0"),
        "not in the list",
    ),
    (
        deploy_pods.of_the_right_image,
        lambda s: container(s, "worker").update(args=["work"]),
        "does not run a command of Tonearm: 'work'",
    ),
    (
        deploy_pods.of_the_right_image,
        lambda s: container(s, "worker").update(imagePullPolicy="Always"),
        "pulls images",
    ),
    (
        deploy_pods.as_in_compose,
        lambda s: container(s, "postgres").update(image="postgres:14-alpine"),
        "postgres/postgres has postgres 14-alpine, and compose",
    ),
    (deploy_pods.leaving_in_order, lambda s: container(s, "interactions").pop("lifecycle"), "it has no preStop"),
    (
        deploy_pods.leaving_in_order,
        lambda s: container(s, "worker").update(lifecycle={"preStop": {"sleep": {"seconds": 5}}}),
        "for nothing",
    ),
    (
        deploy_pods.leaving_in_order,
        lambda s: pod(s, "lavalink").update(terminationGracePeriodSeconds=90),
        "killed before it has left",
    ),
    (
        deploy_pods.rolled,
        lambda s: find(s, "Deployment", "voice-node")["spec"]["strategy"]["rollingUpdate"].update(maxUnavailable=1),
        "not rolled one by one",
    ),
    (deploy_pods.rolled, lambda s: pod(s, "api")["topologySpreadConstraints"].pop(), "not spread"),
    (
        deploy_pods.with_their_volumes,
        lambda s: pod(s, "postgres")["securityContext"].pop("fsGroupChangePolicy"),
        "OnRootMismatch",
    ),
    (deploy_pods.with_their_volumes, lambda s: pod(s, "redis").pop("volumes"), "mounts config, which is no volume"),
    (deploy_pods.with_their_volumes, lambda s: drop(s, "ConfigMap", "backup"), "a ConfigMap backup that is not there"),
    (
        deploy_wiring.matched,
        lambda s: find(s, "Deployment", "api")["spec"]["selector"]["matchLabels"].update(more="labels"),
        "api does not select its own pods",
    ),
    (
        deploy_wiring.matched,
        lambda s: find(s, "PodDisruptionBudget", "api")["spec"].update(selector={"matchLabels": {"a": "b"}}),
        "is for no pod",
    ),
    (deploy_wiring.matched, lambda s: drop(s, "Service", "redis"), "redis's Service is not there"),
    (
        deploy_wiring.matched,
        lambda s: find(s, "Deployment", "api")["spec"]["template"]["metadata"]["labels"].pop(
            "app.kubernetes.io/part-of"
        ),
        "don't say what they are",
    ),
    (
        deploy_wiring.leading_somewhere,
        lambda s: find(s, "Service", "api")["spec"].update(selector={"app.kubernetes.io/name": "apis"}),
        "Service api is for no pod",
    ),
    (
        deploy_wiring.leading_somewhere,
        lambda s: find(s, "Service", "api")["spec"]["ports"][0].update(targetPort="web"),
        "leads to a port web",
    ),
    (
        deploy_wiring.leading_somewhere,
        lambda s: drop(s, "Service", "interactions"),
        "leads /interactions to interactions",
    ),
    (
        deploy_wiring.leading_somewhere,
        lambda s: find(s, "Ingress", "tonearm")["spec"]["rules"][0]["http"]["paths"][0].update(path="/"),
        "/metrics too",
    ),
    (deploy_wiring.scaled, lambda s: settings(s).update(TONEARM_SHARD_COUNT="4"), "2 voice nodes for"),
    (deploy_wiring.scaled, lambda s: settings(s).update(TONEARM_DATABASE_PROCESSES="8"), "PROCESSES is too low"),
    (deploy_wiring.scaled, lambda s: drop(s, "HorizontalPodAutoscaler", "worker"), "worker has no autoscaler"),
    (deploy_wiring.scaled, lambda s: drop(s, "Deployment", "worker"), "scales worker, which is not there"),
    (deploy_wiring.scaled, lambda s: drop(s, "PodDisruptionBudget", "api"), "has no PodDisruptionBudget"),
    (
        deploy_wiring.scaled,
        lambda s: find(s, "Deployment", "api")["spec"].update(replicas=2),
        "each apply sets its replicas back",
    ),
    (
        deploy_wiring.scaled,
        lambda s: s.objects.append(find(s, "HorizontalPodAutoscaler", "api")),
        "api has two autoscalers",
    ),
    (
        deploy_wiring.told_what_they_need,
        lambda s: settings(s).update(TONEARM_SHARDS="1"),
        "the ConfigMap has TONEARM_SHARDS",
    ),
    (
        deploy_wiring.told_what_they_need,
        lambda s: container(s, "api")["env"].append({"name": "TONEARM_X", "value": ""}),
        "api/api is given TONEARM_X",
    ),
    (
        deploy_wiring.told_what_they_need,
        lambda s: container(s, "voice-node").pop("env"),
        "voice-node/voice-node is not given TONEARM_REDIS_URL",
    ),
    (
        deploy_wiring.told_what_they_need,
        lambda s: without(s, "worker", "TONEARM_STRIPE_SECRET_KEY"),
        "worker/worker is not given TONEARM_STRIPE_SECRET_KEY",
    ),
    (
        deploy_wiring.told_what_they_need,
        lambda s: container(s, "interactions")["env"].append({"name": "TONEARM_DISCORD_BOT_TOKEN", "value": ""}),
        "is given the secret TONEARM_DISCORD_BOT_TOKEN, which it does not need",
    ),
    (
        deploy_wiring.without_secrets,
        lambda s: s.objects.append({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "x"}}),
        "the Secret x is among the manifests",
    ),
    (
        deploy_wiring.without_secrets,
        lambda s: settings(s).update(TONEARM_DISCORD_BOT_TOKEN=""),
        "the ConfigMap tonearm has the secret",
    ),
    (
        deploy_wiring.without_secrets,
        lambda s: settings(s).update(TONEARM_STRIPE_RETURN_URL="https://me:mine@shop.example"),
        "something like a secret in TONEARM_STRIPE_RETURN_URL",
    ),
    (
        deploy_wiring.without_secrets,
        lambda s: container(s, "api")["env"][0].update(value="redis://redis", valueFrom={}),
        "api/api has TONEARM_REDIS_URL in the open",
    ),
    (
        deploy_wiring.without_secrets,
        lambda s: container(s, "redis")["args"].append("redis://:hunter2@redis"),
        "redis/redis has something like a secret",
    ),
    (
        deploy_wiring.secrets_in_the_example,
        lambda s: container(s, "redis")["env"][0]["valueFrom"]["secretKeyRef"].update(key="pass"),
        "redis is given pass of redis",
    ),
    (
        deploy_wiring.secrets_in_the_example,
        lambda s: container(s, "lavalink")["envFrom"][0]["secretRef"].update(name="music"),
        "lavalink is given the Secret music",
    ),
    (
        deploy_wiring.in_their_place,
        lambda s: find(s, "Service", "api")["metadata"].pop("namespace"),
        "Service api is not in the namespace",
    ),
    (
        deploy_wiring.in_their_place,
        lambda s: find(s, "Namespace", "discord-bot")["metadata"]["labels"].clear(),
        "lets any pod in",
    ),
    (
        deploy_wiring.keeping_what_they_are_told,
        lambda s: find(s, "ConfigMap", "redis")["data"].update({"redis.conf": "appendonly yes"}),
        "maxmemory-policy noeviction",
    ),
    (
        deploy_wiring.keeping_what_they_are_told,
        lambda s: settings(s).update(TONEARM_DATABASE_MAX_CONNECTIONS="100"),
        "max_connections=100",
    ),
    (deploy_network.problems, lambda s: drop(s, "NetworkPolicy", "default-deny"), "no policy denies everything"),
    (
        deploy_network.problems,
        lambda s: find(s, "NetworkPolicy", "default-deny")["spec"].update(policyTypes=["Ingress"]),
        "no policy denies everything",
    ),
    (
        deploy_network.problems,
        lambda s: find(s, "NetworkPolicy", "api")["spec"].update(podSelector={"matchLabels": {"app": "api"}}),
        "NetworkPolicy api is for no pod",
    ),
    (
        deploy_network.problems,
        lambda s: rule_of(s, "redis", "ingress")[0]["from"].pop(0),
        "interactions -> redis (6379) lacks its Ingress rule",
    ),
    (
        deploy_network.problems,
        lambda s: rule_of(s, "migrate", "egress").clear(),
        "migrate -> postgres (5432) lacks its Egress rule",
    ),
    (
        deploy_network.problems,
        lambda s: rule_of(s, "redis", "ingress").append({"from": [{"ipBlock": {"cidr": "0.0.0.0/0"}}]}),
        "net:0.0.0.0/0 -> redis (any) is allowed, and not intended",
    ),
    (
        deploy_network.problems,
        lambda s: rule_of(s, "postgres", "ingress").append({"ports": [{"port": 5432}]}),
        "anybody -> postgres (5432) is allowed, and not intended",
    ),
    (
        deploy_network.problems,
        lambda s: rule_of(s, "worker", "egress")[-1]["to"][0]["ipBlock"]["except"].remove("169.254.0.0/16"),
        "worker -> net:0.0.0.0/0 (443) is allowed, and not intended",
    ),
    (
        deploy_network.problems,
        lambda s: rule_of(s, "lavalink", "egress")[0]["ports"].pop(),
        "lavalink -> the world (UDP 1024-65535) is intended, and not allowed",
    ),
    (
        deploy_network.problems,
        lambda s: rule_of(s, "api", "ingress")[0]["from"][0].update(namespaceSelector={}),
        "ns:* -> api (8080) is allowed, and not intended",
    ),
    (
        deploy_network.problems,
        lambda s: drop(s, "NetworkPolicy", "http01-solver"),
        "ns:ingress-nginx -> http01-solver (8089) is intended, and not allowed",
    ),
]

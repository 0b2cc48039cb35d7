"""The whole system in the cluster: the twin, the stores, and ours, from its overlay."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from playground.twin.actors import TwinClient
from playground.twin.interactions.sending import Signer
from playground.twin.state import save
from playground.twin.world import World
from tests.cluster.ground import Ground
from tests.cluster.images import PLAYGROUND, VALKEY, WHEEL
from tests.cluster.kube import NAMESPACE, TWIN, Kubectl, KubeError, eventually
from tonearm.settings import PREFIX

DISCORD = 8801
"""The twin's port, and that of the way to it in our pods."""
ROOT = Path(__file__).parents[2]
STARTS_WITHIN = 420.0
"""Seconds until all is there, on nodes that have all images."""
DEPLOYMENTS = ("api", "worker", "voice-node", "lavalink")


class System:
    """The running whole; an async context manager that removes both namespaces, also when it fails."""

    def __init__(self, ground: Ground, kubectl: Kubectl, folder: Path) -> None:
        self.ground = ground
        self.kubectl = kubectl
        self.url = ""
        """Where Knative serves the HTTP side."""
        self.kept_on = ""
        """The node of what can't move: the stores with their volumes, the twin."""
        self.nodes: list[str] = []
        self.rest_url = ""
        """The twin's REST API, from here."""
        self._folder = folder
        self._stack = AsyncExitStack()
        self._twin: TwinClient | None = None
        world, signer = World(), Signer()
        self._world, self._signer = world, signer
        self.passwords = {name: secrets.token_hex(16) for name in ("postgres", "redis", "lavalink")}

    @property
    def twin(self) -> TwinClient:
        """The Discord in which this Tonearm lives."""
        assert self._twin is not None
        return self._twin

    async def __aenter__(self) -> Self:
        self._stack.push_async_callback(self.remove)
        try:
            await self._start()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def remove(self) -> None:
        """Remove both namespaces, and what was cordoned; wait until nothing of it is left."""
        for node in self.nodes:
            with suppress(KubeError):  # what is to be removed is removed all the same
                await self.kubectl.run("uncordon", node)
        await self.kubectl.run(
            "delete", "namespace", NAMESPACE, TWIN, "--ignore-not-found", "--timeout=180s", within=200
        )

    async def _start(self) -> None:
        found = await self.kubectl.get("nodes", namespace="default")
        self.nodes = sorted(each["metadata"]["name"] for each in found["items"] if not _tainted(each))
        self.kept_on = self.nodes[0]
        await self.kubectl.run("create", "namespace", TWIN)
        await self.apply(Path("k8s/base/namespace.yaml"))
        await self.kubectl.run("apply", "-f", "-", given=json.dumps(self._secrets()))
        await self.apply(self.overlay({}))
        self.url = await self._knative_url()
        await self._start_twin()
        await asyncio.to_thread(self.operate, "commands", "sync")
        await self.twin.set_interactions_url(f"{self.url}/interactions")
        await self.rolled_out()
        await self.twin.wait_ready(0, timeout=STARTS_WITHIN)

    async def rolled_out(self) -> None:
        """Wait until the tables are made, and everything is ready.

        Raises:
            KubeError: something is not in time.
        """
        await self.kubectl.rolled_out("statefulset/redis", "statefulset/postgres", within=STARTS_WITHIN)
        await self.migrated()
        await self.kubectl.rolled_out(*(f"deployment/{each}" for each in DEPLOYMENTS), within=STARTS_WITHIN)
        await self.served()

    async def migrated(self) -> None:
        """Wait for the Job."""
        await self.kubectl.run(
            *("-n", NAMESPACE, "wait", "--for=condition=Complete", "job/migrate", "--timeout=300s"), within=330
        )

    async def served(self) -> None:
        """Wait until Knative's Service is ready, in its newest form."""

        async def ask() -> dict[str, Any]:
            return await self.kubectl.get("ksvc", "interactions")

        def good(service: dict[str, Any]) -> bool:
            status = service.get("status", {})
            ready = any(each["type"] == "Ready" and each["status"] == "True" for each in status.get("conditions", ()))
            seen = status.get("observedGeneration") == service["metadata"]["generation"]
            return ready and seen and status.get("latestReadyRevisionName") == status.get("latestCreatedRevisionName")

        service = await eventually(ask, good, STARTS_WITHIN)
        if not good(service):
            raise KubeError(f"interactions is not ready: {json.dumps(service.get('status'))}")

    async def apply(self, path: Path, *words: str) -> None:
        """Apply a file or a folder of kustomize's."""
        kind = "-k" if (ROOT / path).is_dir() else "-f"
        await self.kubectl.run("apply", kind, str(ROOT / path), *words, within=120)

    def operate(self, *words: str) -> str:
        """What an operator does on a machine of their own: ``tonearm WORDS`` with the way to Discord alone."""
        environ = {**os.environ, **{f"{PREFIX}{name}": value for name, value in self._for_discord().items()}}
        done = subprocess.run(
            [sys.executable, "-m", "tonearm", *words],
            env={**environ, f"{PREFIX}DISCORD_API_URL": self.rest_url},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        if done.returncode:
            raise KubeError(f"tonearm {' '.join(words)}: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout

    def overlay(self, versions: Mapping[str, str]) -> Path:
        """Write the overlay of this run, with other versions of some images; its folder."""
        images: list[dict[str, str]] = [
            {"name": f"dev.local/tonearm-{name}", "newTag": tag} for name, tag in versions.items()
        ]
        for name, told in (("postgres", self.ground.postgres), ("valkey/valkey", self.ground.valkey)):
            if told:
                image, _, tag = (VALKEY if told == WHEEL else told).rpartition(":")
                images.append({"name": name, "newName": image, "newTag": tag})
        patches: list[dict[str, Any]] = [{"patch": json.dumps(self._configmap())}]
        if len(self.nodes) > 1:
            patches.append({"target": {"kind": "StatefulSet"}, "patch": json.dumps(_on_node(self.kept_on))})
        if self.ground.gateway_from:
            policy = json.dumps(_from_gateway(self.ground.gateway_from))
            patches.append({"target": {"kind": "NetworkPolicy", "name": "interactions"}, "patch": policy})
        folder = self._folder / "overlay"
        folder.mkdir(parents=True, exist_ok=True)
        below = os.path.relpath(Path(__file__).parent / "overlay", folder.resolve())
        made = {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "resources": [below],
            "images": images,
            "patches": patches,
        }
        (folder / "kustomization.yaml").write_text(json.dumps(made, indent=2))
        return folder.resolve()

    def _for_discord(self) -> dict[str, str]:
        return {
            "DISCORD_APPLICATION_ID": str(self._world.application_id),
            "DISCORD_PUBLIC_KEY": self._signer.public_key,
            "DISCORD_BOT_TOKEN": self._world.token,
        }

    def _configmap(self) -> dict[str, Any]:
        told = self._for_discord()
        del told["DISCORD_BOT_TOKEN"]
        told["DISCORD_API_URL"] = f"http://127.0.0.1:{DISCORD}/api/v10"
        told["DISCORD_GATEWAY_URL"] = f"ws://127.0.0.1:{DISCORD}/gateway"
        return {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "tonearm", "namespace": NAMESPACE},
            "data": {f"{PREFIX}{name}": value for name, value in told.items()},
        }

    def _secrets(self) -> dict[str, Any]:
        postgres, redis, lavalink = (self.passwords[name] for name in ("postgres", "redis", "lavalink"))
        told = {
            "tonearm": {
                f"{PREFIX}DISCORD_BOT_TOKEN": self._world.token,
                f"{PREFIX}REDIS_URL": f"redis://:{redis}@redis:6379/0",
                f"{PREFIX}DATABASE_URL": f"postgresql://tonearm:{postgres}@postgres:5432/tonearm",
                f"{PREFIX}LAVALINK_NODES": f"dns+http://:{lavalink}@lavalink:2333",
            },
            "postgres": {"password": postgres},
            "redis": {"password": redis},
            "lavalink": {"LAVALINK_SERVER_PASSWORD": lavalink},
        }
        items = [_secret(name, NAMESPACE, values) for name, values in told.items()]
        with tempfile.TemporaryDirectory() as name:
            state = Path(name, "twin.json")
            save(state, self._world, self._signer.seed)
            items.append(_secret("world", TWIN, {"twin.json": state.read_text()}))
        return {"apiVersion": "v1", "kind": "List", "items": items}

    async def _knative_url(self) -> str:
        async def ask() -> str:
            return str((await self.kubectl.get("ksvc", "interactions")).get("status", {}).get("url", ""))

        url = await eventually(ask, bool, 60)
        if not url:
            raise KubeError("Knative gives the Service interactions no address")
        return url

    async def _start_twin(self) -> None:
        address, port = await self._gateway()
        host = urlsplit(self.url).hostname
        pod = _twin_pod(self.kept_on if len(self.nodes) > 1 else None, address, str(host))
        await self.kubectl.run("apply", "-f", "-", given=json.dumps(pod))
        await self.kubectl.run(
            "-n", TWIN, "wait", "--for=condition=Ready", "pod/twin", f"--timeout={STARTS_WITHIN:.0f}s", within=480
        )
        if port != "80":
            self.url = f"{self.url}:{port}"
        local = await self._stack.enter_async_context(self.kubectl.forwarded("pod/twin", DISCORD, TWIN))
        self.rest_url = f"http://127.0.0.1:{local}/api/v10"
        self._twin = await self._stack.enter_async_context(TwinClient(f"http://127.0.0.1:{local}/control"))
        about = await self._twin.about()
        authority = await self.kubectl.inside("twin", "cat", str(about["voice_ca"]), namespace=TWIN)
        told = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "twin", "namespace": NAMESPACE}}
        await self.kubectl.run("apply", "-f", "-", given=json.dumps({**told, "data": {"voice-ca.pem": authority}}))

    async def _gateway(self) -> tuple[str, str]:
        """Address and port of Knative's gateway, for a pod."""
        if self.ground.gateway:
            address, _, port = self.ground.gateway.partition(":")
            return address, port or "80"
        service = await self.kubectl.get("service", "kourier", namespace="kourier-system")
        return service["spec"]["clusterIP"], "80"


def _tainted(node: dict[str, Any]) -> bool:
    return any(each["effect"] in ("NoSchedule", "NoExecute") for each in node["spec"].get("taints", ()))


def _secret(name: str, namespace: str, values: Mapping[str, str]) -> dict[str, Any]:
    about = {"name": name, "namespace": namespace}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": about, "stringData": dict(values)}


def _on_node(node: str) -> list[dict[str, Any]]:
    """Local volumes don't move: what has one stays off the node that is to be drained."""
    selector = {"kubernetes.io/hostname": node}
    return [{"op": "add", "path": "/spec/template/spec/nodeSelector", "value": selector}]


def _from_gateway(cidr: str) -> list[dict[str, Any]]:
    """As docs/operations/deploy.md says for gateways that are no pods of kourier-system."""
    return [{"op": "add", "path": "/spec/ingress/0/from/-", "value": {"ipBlock": {"cidr": cidr}}}]


def _twin_pod(node: str | None, gateway: str, host: str) -> dict[str, Any]:
    """Root and NET_ADMIN, so that its socket's buffer is as large as a measurement needs."""
    container = {
        "name": "twin",
        "image": PLAYGROUND,
        "imagePullPolicy": "IfNotPresent",
        "command": ["/bin/sh", "-c"],
        "args": [
            "cp /world/twin.json /tmp/ && exec python -m playground.twin --host 0.0.0.0 "
            f"--port {DISCORD} --voice-host $ADDRESS --state /tmp/twin.json --session-starts 100000"
        ],
        "env": [{"name": "ADDRESS", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}],
        "ports": [{"containerPort": DISCORD}],
        "readinessProbe": {"tcpSocket": {"port": DISCORD}, "periodSeconds": 1},
        "securityContext": {"runAsUser": 0, "capabilities": {"add": ["NET_ADMIN"]}},
        "volumeMounts": [{"name": "world", "mountPath": "/world", "readOnly": True}],
    }
    spec: dict[str, Any] = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 5,
        "hostAliases": [{"ip": gateway, "hostnames": [host]}],
        "containers": [container],
        "volumes": [{"name": "world", "secret": {"secretName": "world"}}],
    }
    if node is not None:
        spec["nodeSelector"] = {"kubernetes.io/hostname": node}
    labels = {"app.kubernetes.io/name": "twin"}
    service = {"selector": labels, "ports": [{"port": DISCORD, "targetPort": DISCORD}]}
    return {
        "apiVersion": "v1",
        "kind": "List",
        "items": [
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": "twin", "namespace": TWIN, "labels": labels},
                "spec": spec,
            },
            {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "twin", "namespace": TWIN}, "spec": service},
        ],
    }

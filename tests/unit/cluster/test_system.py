"""What is put on top of k8s/ for a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import pytest

from tests.cluster.ground import make
from tests.cluster.images import NEXT
from tests.cluster.kube import Kubectl, KubeError
from tests.cluster.standing import owner
from tests.cluster.system import System


def overlay(folder: Path, nodes: list[str], versions: dict[str, str] | None = None, **said: str) -> dict[str, Any]:
    """As it is written."""
    environ = {f"TONEARM_CLUSTER_{name}": value for name, value in said.items()}
    system = System(make(environ, (), "minikube"), cast(Kubectl, None), folder)
    system.nodes, system.kept_on = nodes, nodes[0]
    written = system.overlay(versions or {})
    below = json.loads((written / "kustomization.yaml").read_text())
    assert (written / below["resources"][0] / "kustomization.yaml").exists()
    return cast(dict[str, Any], below)


def test_the_bot_is_told_of_its_discord_and_of_no_secret(tmp_path: Path) -> None:
    (patch,) = overlay(tmp_path, ["one"])["patches"]
    data = json.loads(patch["patch"])["data"]
    assert data["TONEARM_DISCORD_API_URL"] == "http://127.0.0.1:8801/api/v10"
    assert not [name for name in data if "TOKEN" in name]


def test_stores_are_those_that_the_cluster_has(tmp_path: Path) -> None:
    assert overlay(tmp_path, ["one"])["images"] == []
    images = overlay(tmp_path, ["one"], POSTGRES="registry:5000/pg:15", VALKEY="wheel")["images"]
    assert images == [
        {"name": "postgres", "newName": "registry:5000/pg", "newTag": "15"},
        {"name": "valkey/valkey", "newName": "dev.local/tonearm-valkey", "newTag": "for-tests"},
    ]


def test_another_version_of_some(tmp_path: Path) -> None:
    assert overlay(tmp_path, ["one"], {"api": NEXT})["images"] == [{"name": "dev.local/tonearm-api", "newTag": NEXT}]


def test_what_can_t_move_is_off_the_node_that_is_drained(tmp_path: Path) -> None:
    patches = overlay(tmp_path, ["one", "two"], GATEWAY_FROM="10.1.0.0/24")["patches"]
    assert patches[1]["target"] == {"kind": "StatefulSet"}
    assert json.loads(patches[1]["patch"])[0]["value"] == {"kubernetes.io/hostname": "one"}
    assert json.loads(patches[2]["patch"])[0]["value"] == {"ipBlock": {"cidr": "10.1.0.0/24"}}


class Lease:
    """A kubectl that knows who holds the shard, and which pods there are."""

    def __init__(self, holder: str, *pods: str) -> None:
        self._holder = holder
        self._pods = pods

    async def inside(self, *_: str) -> str:
        return f"{self._holder}\n"

    async def pods(self, _: str) -> list[dict[str, Any]]:
        return [{"metadata": {"name": name}} for name in self._pods]


async def test_the_pod_that_plays_is_the_one_that_holds_the_lease() -> None:
    kubectl = cast(Kubectl, Lease("voice-node-7f-abc-1", "voice-node-7f-xyz", "voice-node-7f-abc"))
    assert await owner(kubectl) == "voice-node-7f-abc"


@pytest.mark.parametrize("holder", ["", "voice-node-7f-gone-1"])
async def test_nobody_plays(holder: str) -> None:
    with pytest.raises(KubeError, match="lease"):
        await owner(cast(Kubectl, Lease(holder, "voice-node-7f-abc")))

"""What a command says of a cluster, and what is made of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cluster import ground
from tests.cluster.ground import GroundMissing, bring_up, make, parse
from tests.cluster.images import NEXT, VALKEY, WHEEL, command, ours, wanted


def test_variables_and_notes_are_told_from_what_is_only_said() -> None:
    said = [
        "[  3s] up: 2 nodes\n",
        "KUBECONFIG=/a/b=c\n",
        f"{ground.NOTE}=One.\n",
        f"{ground.NOTE}=Two.\n",
        "lower=x\n",
    ]
    assert parse(said) == ({"KUBECONFIG": "/a/b=c"}, ["One.", "Two."])


@pytest.mark.parametrize(
    ("context", "words"),
    [
        ("minikube", ["minikube", "image", "load", "a:1", "b:1"]),
        ("kind-small", ["kind", "load", "docker-image", "--name", "small", "a:1", "b:1"]),
    ],
)
def test_well_known_clusters_need_not_be_told_how_to_load(context: str, words: list[str]) -> None:
    assert command(make({}, (), context).load, tags="a:1 b:1") == words


def test_of_others_it_must_be_said() -> None:
    with pytest.raises(GroundMissing, match="TONEARM_CLUSTER_LOAD"):
        make({}, (), "production")
    assert make({"TONEARM_CLUSTER_LOAD": "push {tags}"}, (), "production").load == "push {tags}"


def test_an_image_is_built_as_it_is_said() -> None:
    built = command(make({}, (), "minikube").build, tag="t:1", file="f", target="api", base="b:2")
    assert " ".join(built) == "docker build --tag t:1 --file f --target api --build-arg BASE=b:2 ."


def test_what_stands_on_an_image_comes_after_it() -> None:
    environ = {"TONEARM_CLUSTER_VALKEY": WHEEL, "TONEARM_CLUSTER_BASE": "debian:x"}
    images = list(wanted(make(environ, (), "minikube")))
    tags = [image.tag for image in images]
    assert VALKEY in tags
    for image in images:
        assert image.base == "debian:x" or tags.index(image.base) < tags.index(image.tag)
    assert tags.index(ours("api", NEXT)) > tags.index(ours("api"))
    assert VALKEY not in [image.tag for image in wanted(make({}, (), "minikube"))]


def test_the_command_s_words_are_there_for_all_that_follows(capsys: pytest.CaptureFixture[str]) -> None:
    script = f"echo hello; echo KUBECONFIG=/there; echo {ground.NOTE}=A stand-in."
    environ, notes = bring_up({ground.UP: script, "PATH": "/usr/bin:/bin"})
    assert environ["KUBECONFIG"] == "/there"
    assert environ["PATH"] == "/usr/bin:/bin"
    assert notes == ["A stand-in."]
    assert capsys.readouterr().out == "      hello\n"


def test_what_came_up_half_is_taken_down(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    script = f"echo 'TONEARM_CLUSTER_DOWN=touch {gone}'; exit 3"
    with pytest.raises(GroundMissing, match="failed with 3"):
        bring_up({ground.UP: script, "PATH": "/usr/bin:/bin"})
    assert gone.exists()


def test_a_command_that_hangs_is_ended_with_all_it_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ground, "UP_SECONDS", 0.3)
    gone = tmp_path / "gone"
    script = f"echo 'TONEARM_CLUSTER_DOWN=touch {gone}'; sleep 600; true"
    with pytest.raises(GroundMissing, match="failed with -9"):
        bring_up({ground.UP: script, "PATH": "/usr/bin:/bin"})
    assert gone.exists()


def test_without_a_command_the_cluster_is_the_one_that_is_there() -> None:
    assert bring_up({"KUBECONFIG": "/mine"}) == ({"KUBECONFIG": "/mine"}, [])

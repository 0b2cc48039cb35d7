"""Building our images, and those for the tests alone, and bringing them to the nodes."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass

from tests.cluster.ground import Ground
from tests.cluster.kube import Kubectl

OURS = ("interactions", "api", "voice-node", "worker")
VERSION = "0.1.0"
NEXT = "next-for-tests"
"""The tag of a version whose database has another form."""
PLAYGROUND = "dev.local/tonearm-playground:for-tests"
VALKEY = "dev.local/tonearm-valkey:for-tests"
WHEEL = "wheel"
BUILD_SECONDS = 1_200.0
LOAD_SECONDS = 900.0


@dataclass(frozen=True)
class Image:
    """One to build."""

    tag: str
    file: str
    target: str
    base: str


def ours(target: str, version: str = VERSION) -> str:
    """The name of an image of ours, which Knative asks no registry for."""
    return f"dev.local/tonearm-{target}:{version}"


def wanted(ground: Ground) -> Iterator[Image]:
    """What there must be, in the order in which it can be built."""
    for target in OURS:
        yield Image(ours(target), "infra/Dockerfile", target, ground.base)
    yield Image(PLAYGROUND, "tests/cluster/Dockerfile", "playground", ground.base)
    if ground.valkey == WHEEL:
        yield Image(VALKEY, "tests/cluster/Dockerfile", "valkey", ground.base)
    for target in OURS:
        yield Image(ours(target, NEXT), "tests/cluster/Dockerfile", "next", ours(target))


def command(template: str, **values: str) -> list[str]:
    """A command's words, with values put in; ``{tags}`` are as many words as there are."""
    words = []
    for word in shlex.split(template):
        if word == "{tags}":
            words += values["tags"].split()
        else:
            words.append(word.format(**values))
    return words


async def prepare(ground: Ground, kubectl: Kubectl) -> list[str]:
    """Build and load everything; the tags.

    Raises:
        KubeError: a command failed.
    """
    tags = []
    for image in wanted(ground):
        words = command(ground.build, tag=image.tag, file=image.file, target=image.target, base=image.base)
        await kubectl.do(*words, within=BUILD_SECONDS)
        print(f"      built {image.tag}", flush=True)
        tags.append(image.tag)
    await kubectl.do(*command(ground.load, tags=" ".join(tags)), within=LOAD_SECONDS)
    return tags

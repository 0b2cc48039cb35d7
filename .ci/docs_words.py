"""Whether what the pages tell to type, to set, to look at or to ask for is there. Each rule finds what is not."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import io
import re
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path

from docs_pages import ROOT, Page

TARGET = re.compile(r"(?:^|[\s;&(])make ((?:[a-z][a-z0-9-]*(?: |$))*)", re.MULTILINE)
COMMAND = re.compile(r"(?:^|\s|bin/)tonearm(?: --env-file \S+)? ([a-z][a-z-]*)((?: [^\s`|#;)]+)*)")
MODULE = re.compile(r"\bpython3? -m ([a-z_][\w.]*)")
SETTING = re.compile(r"\bTONEARM_[A-Z0-9_]*[A-Z0-9]")
METRIC = re.compile(r"\btonearm_[a-z0-9_]*[a-z0-9]|\btonearm:[a-z0-9_]+:[a-z0-9_]+")
FOLDERS = ("docs", "infra", "interactions", "k8s", "monitoring", "playground", "requirements", "tests", "tonearm")
FILE = re.compile(rf"(?<![\w/.…=-])(?:\.\./)*((?:\.ci|{'|'.join(FOLDERS)}|voice_nodes)/[\w./-]*\w)(?![\w…<*{{])")
PART = re.compile(r"[a-z][a-z-]*")

LOOKED_FOR = re.compile(r"(?:kubectl [^\n]*logs|tonearm doctor)[^\n]*\| grep (?:-E )?(['\"])(.+?)\1")
ROOMS = ("tonearm", "interactions", "voice_nodes")

OTHERS_MODULES = frozenset({"venv", "pip"})
SUFFIXES = ("_bucket", "_sum", "_count")
"""What a histogram's series are called beside its name."""


def targets(page: Page) -> Iterator[str]:
    """Targets of make."""
    known = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for code in page.codes:
        for words in TARGET.findall(code):
            yield from (f"make {word}" for word in words.split() if word not in known)


def commands(page: Page) -> Iterator[str]:
    """Commands of tonearm, their parts and their options."""
    for code in page.codes:
        for name, rest in COMMAND.findall(code):
            words = rest.split()
            part = words[0] if words and PART.fullmatch(words[0]) else ""
            said = help_of(name, part)
            if not said:
                yield f"tonearm {name} {part}".rstrip()
            for word in words:
                option = word.partition("=")[0]
                if option.startswith("--") and not re.search(rf"(?<![\w-]){re.escape(option)}(?![\w-])", said):
                    yield f"tonearm {name} {part} {option}".replace("  ", " ")


@cache
def help_of(name: str, part: str = "") -> str:
    """What a command, or a part of it, says of itself; nothing where there is none."""
    for entry in entry_points(group="tonearm.processes", name=name):
        said = io.StringIO()
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(io.StringIO()):
            try:
                entry.load()([part, "--help"] if part else ["--help"])
            except SystemExit as ended:
                return "" if ended.code else said.getvalue()
    return ""


def modules(page: Page) -> Iterator[str]:
    """Modules that are run with `python -m`."""
    for code in page.codes:
        for name in MODULE.findall(code):
            if name not in OTHERS_MODULES and not _found(name):
                yield f"python -m {name}"


def _found(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def settings(page: Page) -> Iterator[str]:
    """Variables: settings, and those that the audio node, targets, stacks and the check on a cluster take."""
    known = _variables()
    for code in page.codes:
        yield from (name for name in SETTING.findall(code) if name not in known)


@cache
def _variables() -> frozenset[str]:
    from playground.audio_node import options
    from tonearm.settings import DECLARED, PREFIX

    files = [ROOT / "Makefile", ROOT / ".ci/run", ROOT / "serverless.yml", ROOT / "tests/cluster/ground.py"]
    others = {name for file in files for name in re.findall(SETTING, file.read_text())}
    ours = {PREFIX + setting.name.upper() for setting in DECLARED}
    node = {options.ENV_PREFIX + field.name.upper() for field in dataclasses.fields(options.Options)}
    return frozenset(ours | node | others)


def files(page: Page) -> Iterator[str]:
    """Files and folders of the checkout."""
    for code in page.codes:
        for path in FILE.findall(code):
            # Seen from beside the checkout, its own name comes first.
            near = (ROOT / path, ROOT / path.removeprefix("tonearm/"), page.path.parent / path)
            if "node_modules" not in path and not any(each.exists() for each in near):
                yield path


def logged(page: Page) -> Iterator[str]:
    """What is looked for in the logs of our processes."""
    for code in page.codes:
        for _, pattern in LOOKED_FOR.findall(code):
            # A group stands for itself; else each alternative must be something that we write.
            for part in [pattern] if "(" in pattern else pattern.split("|"):
                if not part.startswith('"level"') and not re.search(part, _source()):
                    yield f"grep {part}"


@cache
def _source() -> str:
    return "".join(file.read_text() for room in ROOMS for file in sorted((ROOT / room).rglob("*.py")))


def metrics(page: Page) -> Iterator[str]:
    """Metrics, and what is recorded of them."""
    known = _metrics()
    for code in page.codes:
        for name in METRIC.findall(code):
            if name not in known:
                yield name


@cache
def _metrics() -> frozenset[str]:
    text = "".join(file.read_text() for file in (ROOT / "tonearm").rglob("*.py"))
    named = set(re.findall(r"\"(tonearm_[a-z0-9_]+)\"", text))
    recorded = re.findall(r"record: (\S+)", "".join(f.read_text() for f in (ROOT / "monitoring").rglob("*.yml")))
    return frozenset({*named, *(name + suffix for name in named for suffix in SUFFIXES), *recorded})


RULES = {
    "targets of make": targets,
    "commands of tonearm, with parts and options": commands,
    "modules for python -m": modules,
    "settings": settings,
    "files": files,
    "metrics": metrics,
    "words that are looked for in logs": logged,
}


def missing(pages: Iterable[Page]) -> Iterator[tuple[str, list[str]]]:
    """Each rule, and what it does not find."""
    pages = list(pages)
    for name, rule in RULES.items():
        yield name, [f"{page.name}: {each}" for page in pages for each in dict.fromkeys(rule(page))]


def alerts(rules: str) -> list[str]:
    """The alerts that a file of Prometheus' rules has."""
    return re.findall(r"- alert: (\w+)", rules)


def unexplained(rules: Path, runbook: Page) -> Iterator[str]:
    """Alerts without a section of the runbook, and sections without an alert."""
    named = alerts(rules.read_text())
    headings = re.findall(r"^## (\w+)$", runbook.path.read_text(), re.MULTILINE)
    yield from (f"{name} has no section" for name in named if name.lower() not in runbook.anchors)
    yield from (f"{name} is no alert" for name in headings if name not in named)

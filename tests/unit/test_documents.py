"""What the documents tell to type is there: targets of the Makefile, commands and their options, files."""

from __future__ import annotations

import re
from importlib.metadata import entry_points
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOR_THE_CHECKOUT = [ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
DOCUMENTS = [*FOR_THE_CHECKOUT, *sorted(ROOT.glob("docs/operations/*.md"))]

CODE = re.compile(r"^```\w*\n(.*?)^```|`([^`\n]+)`", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"(?:^|\s|bin/)tonearm(?: --env-file \S+)? ([a-z][a-z-]*)((?: [^\s`|#]+)*)")
TARGET = re.compile(r"(?:^|\s)make ([a-z][a-z0-9-]*)", re.MULTILINE)
LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")


def code(document: Path) -> list[str]:
    """All that is set as code."""
    return [block or inline for block, inline in CODE.findall(document.read_text())]


def helped(name: str, words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """What a command, or the part of it that the first word names, says of itself."""
    (entry,) = entry_points(group="tonearm.processes", name=name)
    part = [word for word in words[:1] if not word.startswith("-")]
    with pytest.raises(SystemExit) as ended:
        entry.load()([*part, "--help"])
    assert ended.value.code == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("document", FOR_THE_CHECKOUT, ids=lambda path: path.name)
def test_every_target_is_in_the_makefile(document: Path) -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {name for piece in code(document) for name in TARGET.findall(piece)} <= targets


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_command_and_option_is_in_the_command_line(document: Path, capsys: pytest.CaptureFixture[str]) -> None:
    commands = {entry.name for entry in entry_points(group="tonearm.processes")}
    for piece in code(document):
        for name, rest in COMMAND.findall(piece):
            assert name in commands, f"{document.name}: tonearm {name}"
            words = rest.split()
            if not words:
                continue
            said = helped(name, words, capsys)
            for word in words:
                if word.startswith("--"):
                    assert word in said, f"{document.name}: tonearm {name} {word}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_to_a_file_leads_somewhere(document: Path) -> None:
    for target in LINK.findall(document.read_text()):
        assert (document.parent / target).exists(), f"{document.name}: {target}"


def test_the_documents_are_read() -> None:
    """The patterns above find what they are for."""
    pieces = [piece for document in DOCUMENTS for piece in code(document)]
    found = {name for piece in pieces for name, _ in COMMAND.findall(piece)}
    assert {"setup", "doctor", "up", "migrate", "interactions"} <= found
    assert {"demo", "test", "setup"} <= {name for piece in pieces for name in TARGET.findall(piece)}

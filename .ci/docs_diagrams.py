"""The diagrams: written into the page that shows them, and rendered, as a person would see them.

`python .ci/docs_diagrams.py` writes them into the page, where GitHub renders them. What makes pictures of them is the
mermaid CLI, pinned in `.ci/docs_tools`, with the Chromium of the system.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from docs_pages import ROOT

DIAGRAMS = ROOT / "docs/architecture/diagrams"
PAGE = ROOT / "docs/architecture/README.md"
PINS = ROOT / ".ci/docs_tools"
TOOLS = ROOT / "var/tools/mermaid"
CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
INSTALL_TIMEOUT, RENDER_TIMEOUT = 300, 60
"""Seconds."""
AT_ONCE = 2

SHOWN = re.compile(r"<!-- diagrams/([\w-]+)\.mmd -->\n(?:```mermaid\n.*?```\n)?", re.DOTALL)
"""Where the page shows a diagram: a comment that names it, and the block that is written behind it."""

WRONG = re.compile(r"Syntax error in text|aria-roledescription=\"error\"|class=\"error-icon\"")
"""What mermaid draws in the place of a diagram that it can't read."""


class ToolsMissing(Exception):
    """A program could not be had; the text says which, and what to install."""


def with_diagrams(page: str) -> str:
    """The page with every diagram as it is now."""
    return SHOWN.sub(lambda shown: f"<!-- diagrams/{shown[1]}.mmd -->\n```mermaid\n{_text(shown[1])}```\n", page)


def _text(name: str) -> str:
    return (DIAGRAMS / f"{name}.mmd").read_text()


def unlike(page: Path = PAGE) -> Iterator[str]:
    """Diagrams that the page shows otherwise than they are, or not at all."""
    text = page.read_text()
    shown = set(SHOWN.findall(text))
    yield from (f"{file.name} is not shown" for file in sorted(DIAGRAMS.glob("*.mmd")) if file.stem not in shown)
    if text != with_diagrams(text):
        yield f"{page.name} shows something else than the files: make diagrams"


def prepare() -> str:
    """Install the mermaid CLI where it is missing or older than its pins; returns where Chromium is.

    Raises:
        ToolsMissing: Node.js, npm, a package or Chromium can't be had.
    """
    browser = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if browser is None:
        raise ToolsMissing("Chromium renders the diagrams, and is not here. On Debian: apt install chromium")
    pins = (PINS / "package-lock.json").read_text()
    stamp = TOOLS / ".pins"
    if not stamp.exists() or stamp.read_text() != pins:
        shutil.rmtree(TOOLS, ignore_errors=True)
        TOOLS.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(PINS, TOOLS)
        quiet = ("--ignore-scripts", "--no-audit", "--no-fund")
        done = _run(["npm", "ci", *quiet], INSTALL_TIMEOUT, TOOLS)
        if done.returncode:
            raise ToolsMissing(f"npm could not install the mermaid CLI: {_last(done)}")
        stamp.write_text(pins)
    return browser


def render(browser: str, diagrams: list[Path], into: Path) -> list[str]:
    """Make a picture of each; returns what is wrong with those that are broken."""
    with tempfile.TemporaryDirectory(prefix="tonearm-docs-") as folder:
        config = Path(folder) / "puppeteer.json"
        # Chromium's sandbox refuses root, which is who runs in a container.
        args = ["--no-sandbox"] if os.geteuid() == 0 else []
        config.write_text(json.dumps({"executablePath": browser, "args": args}))
        with ThreadPoolExecutor(AT_ONCE) as threads:
            return list(filter(None, threads.map(lambda each: _broken(each, config, into), diagrams)))


def _broken(diagram: Path, config: Path, into: Path) -> str:
    """What is wrong with a diagram; nothing where its picture is made."""
    picture = into / f"{diagram.stem}.svg"
    words = ["--quiet", "--puppeteerConfigFile", str(config), "--input", str(diagram), "--output", str(picture)]
    try:
        done = _run([str(TOOLS / "node_modules/.bin/mmdc"), *words], RENDER_TIMEOUT)
    except subprocess.TimeoutExpired:
        return f"{diagram.name} was not rendered within {RENDER_TIMEOUT} s"
    if done.returncode or not picture.exists():
        return f"{diagram.name}: {_first(done)}"
    return f"{diagram.name} is drawn as an error" if WRONG.search(picture.read_text()) else ""


def _run(words: list[str], timeout: int, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PUPPETEER_SKIP_DOWNLOAD": "1"}
    try:
        return subprocess.run(  # noqa: S603
            words, cwd=folder, env=env, capture_output=True, text=True, timeout=timeout
        )
    except FileNotFoundError:
        raise ToolsMissing(f"{words[0]} is needed, and is not here. On Debian: apt install nodejs npm") from None


def _first(done: subprocess.CompletedProcess[str]) -> str:
    return " ".join((done.stdout + done.stderr).strip().splitlines()[:4])


def _last(done: subprocess.CompletedProcess[str]) -> str:
    return (done.stdout + done.stderr).strip()[-1000:]


if __name__ == "__main__":
    PAGE.write_text(with_diagrams(PAGE.read_text()))
    sys.exit()

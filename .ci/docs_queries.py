"""Whether the queries on the pages are PromQL: promtool takes them as the expressions of rules."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path

from docs_diagrams import ToolsMissing
from docs_pages import Page

TIMEOUT = 30
"""Seconds."""


def wrong(pages: Iterable[Page]) -> list[str]:
    """What promtool does not understand.

    Raises:
        ToolsMissing: promtool is not there.
    """
    promtool = shutil.which("promtool")
    if promtool is None:
        raise ToolsMissing("promtool reads the queries, and is not here. On Debian: apt install prometheus")
    asked = [(page.name, query) for page in pages for query in page.queries]
    # Each in a group of its own: promtool stops at nothing, and names the group.
    groups = [{"name": f"g{n}", "rules": [{"record": "q:q:q", "expr": query}]} for n, (_, query) in enumerate(asked)]
    with tempfile.TemporaryDirectory(prefix="tonearm-queries-") as folder:
        file = Path(folder) / "rules.yml"
        file.write_text(json.dumps({"groups": groups}))
        done = subprocess.run(  # noqa: S603
            [promtool, "check", "rules", "--lint=none", str(file)], capture_output=True, text=True, timeout=TIMEOUT
        )
    if done.returncode == 0:
        return []
    said = done.stdout + done.stderr
    found = dict.fromkeys(int(number) for number in re.findall(r'group "g(\d+)"', said))
    return [f"{asked[number][0]}: {asked[number][1]}" for number in found] or [said.strip()]

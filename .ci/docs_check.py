"""`make docs-check`: whether the pages are true of this checkout, as far as a program can tell.

One line for each check. The exit code is 1 when one failed, and 2 when the tools for the diagrams could not be had.
`--quick` leaves out the README's commands, which install everything once more.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import docs_diagrams
import docs_kubernetes
import docs_links
import docs_pages
import docs_queries
import docs_readme
import docs_words
from docs_pages import ROOT

RUNBOOK = ROOT / "docs/operations/runbook.md"
ALERTS = ROOT / "monitoring/prometheus/alerts.yml"

Check = tuple[str, list[str]]
"""What was looked at, and what is wrong with it."""


def main(argv: list[str]) -> int:
    """Print a line for each check; returns the exit code."""
    parser = argparse.ArgumentParser(prog="docs_check.py", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="don't run the README's commands")
    options = parser.parse_args(argv)
    begun = time.monotonic()
    failed = total = 0
    try:
        for name, problems in checks(quick=options.quick):
            total += 1
            failed += bool(problems)
            print(f"{'FAIL ' if problems else 'ok   '} {name}", *problems, sep="\n      ", flush=True)
    except docs_diagrams.ToolsMissing as error:
        print(f"docs-check: {error}", file=sys.stderr)
        return 2
    print(f"{total - failed} of {total} checks passed in {time.monotonic() - begun:.0f} s.")
    return 1 if failed else 0


def checks(*, quick: bool) -> Iterator[Check]:
    """All checks, the quick ones first."""
    pages = docs_pages.pages()
    links = sum(len(page.links) for page in pages)
    yield f"links lead somewhere ({links} on {len(pages)} pages)", list(docs_links.dead(pages))
    for name, problems in docs_words.missing(pages):
        yield f"{name} are there", problems
    unknown = [f"{page.name}: {each}" for page in pages for each in docs_kubernetes.unknown(page)]
    yield "what kubectl is told of is in the manifests", unknown
    asked = sum(len(page.queries) for page in pages)
    yield f"queries are PromQL ({asked})", docs_queries.wrong(pages)
    named = docs_words.alerts(ALERTS.read_text())
    yield f"the runbook has every alert ({len(named)})", list(docs_words.unexplained(ALERTS, docs_pages.read(RUNBOOK)))
    yield "the page of the architecture shows the diagrams as they are", list(docs_diagrams.unlike())
    yield from diagrams()
    if not quick:
        for command, problem in docs_readme.failures():
            yield f"README: {command}", [problem] if problem else []


def diagrams() -> Iterator[Check]:
    """Every diagram is rendered."""
    files = sorted(docs_diagrams.DIAGRAMS.glob("*.mmd"))
    browser = docs_diagrams.prepare()
    with tempfile.TemporaryDirectory(prefix="tonearm-diagrams-") as folder:
        yield f"diagrams are rendered ({len(files)})", docs_diagrams.render(browser, files, Path(folder))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

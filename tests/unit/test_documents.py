"""What the documents tell to type, to set and to look at is there, and their links lead somewhere: as `make docs-check`
finds it, without what takes longer."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import docs_diagrams
import docs_kubernetes
import docs_links
import docs_words
import pytest
from docs_check import ALERTS, RUNBOOK
from docs_pages import Page, pages, read

PAGES = pages()
BY_NAME = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
RULES = {**docs_words.RULES, "what kubectl is told of": docs_kubernetes.unknown}


@pytest.mark.parametrize("rule", RULES.values(), ids=list(RULES))
@BY_NAME
def test_what_a_page_names_is_there(rule: Callable[[Page], Iterator[str]], page: Page) -> None:
    assert list(rule(page)) == []


@BY_NAME
def test_every_link_leads_somewhere(page: Page) -> None:
    assert list(docs_links.dead([page])) == []


def test_every_alert_is_in_the_runbook() -> None:
    assert list(docs_words.unexplained(ALERTS, read(RUNBOOK))) == []


def test_the_architecture_shows_the_diagrams_as_they_are() -> None:
    assert list(docs_diagrams.unlike()) == [], "run `make diagrams`"


def test_the_documents_are_read() -> None:
    """The patterns find what they are for."""
    codes = [code for page in PAGES for code in page.codes]
    assert {"setup", "doctor", "up", "migrate", "reshard"} <= {
        n for c in codes for n, _ in docs_words.COMMAND.findall(c)
    }
    assert {"demo", "test", "docs-check"} <= {w for c in codes for t in docs_words.TARGET.findall(c) for w in t.split()}
    assert "tonearm_outbox_oldest_seconds" in {name for code in codes for name in docs_words.METRIC.findall(code)}
    assert "k8s/base/networkpolicies.yaml" in {path for code in codes for path in docs_words.FILE.findall(code)}

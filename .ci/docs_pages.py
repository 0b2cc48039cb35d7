"""The Markdown pages of this checkout, as far as they can be compared with it: links, headings, and what is code."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).resolve().parent.parent
NOT_OURS = frozenset({"var", "build", "dist"})
"""Folders in which other programs write."""

_parser = MarkdownIt("commonmark").enable("table")
_ID = re.compile(r"<a\s+(?:id|name)=\"([^\"]+)\"")


class Page(NamedTuple):
    """One page.

    ``anchors`` are what a ``#`` can name in it, ``codes`` whatever is set as code, ``queries`` the lines of PromQL.
    """

    path: Path
    links: tuple[str, ...]
    anchors: frozenset[str]
    codes: tuple[str, ...]
    queries: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Its path in the checkout."""
        return str(self.path.relative_to(ROOT)) if self.path.is_relative_to(ROOT) else self.path.name


def pages(root: Path = ROOT) -> list[Page]:
    """Every page of a checkout."""
    folders = [each for each in root.iterdir() if each.is_dir() and each.name not in NOT_OURS and each.name[0] != "."]
    found = [*root.glob("*.md"), *(file for folder in folders for file in folder.rglob("*.md"))]
    return [read(path) for path in sorted(found)]


def read(path: Path) -> Page:
    """A page from its file."""
    tokens = list(_flat(_parser.parse(path.read_text())))
    links = (
        token.attrs["href"] if token.type == "link_open" else token.attrs["src"] for token in tokens if _leads(token)
    )
    codes = (token.content for token in tokens if token.type in ("code_inline", "fence", "code_block"))
    queries = (line for token in tokens if token.info == "promql" for line in token.content.splitlines() if line)
    return Page(path, tuple(map(str, links)), frozenset(_anchors(tokens)), tuple(codes), tuple(queries))


def _leads(token: Token) -> bool:
    return token.type in ("link_open", "image")


def _flat(tokens: list[Token]) -> Iterator[Token]:
    for token in tokens:
        yield token
        yield from token.children or ()


def _anchors(tokens: list[Token]) -> Iterator[str]:
    """As GitHub makes them of headings, and those that HTML names."""
    seen: dict[str, int] = {}
    for token, following in itertools.pairwise(tokens):
        if token.type == "heading_open":
            text = "".join(child.content for child in following.children or () if child.type in ("text", "code_inline"))
            slug = re.sub(r"[^\w\- ]", "", text.strip().lower()).replace(" ", "-")
            count = seen[slug] = seen.get(slug, -1) + 1
            yield f"{slug}-{count}" if count else slug
        elif token.type in ("html_inline", "html_block"):
            yield from _ID.findall(token.content)

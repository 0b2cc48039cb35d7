"""Whether links lead somewhere: to files and headings of this checkout. Addresses are only looked at, never asked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from docs_pages import Page, read


def dead(pages: Iterable[Page]) -> Iterator[str]:
    """What is wrong with links, one sentence each."""
    known = {page.path: page for page in pages}
    for page in tuple(known.values()):
        for link in page.links:
            if said := _wrong(page, link, known):
                yield f"{page.name}: {link} {said}"


def _wrong(page: Page, link: str, known: dict[Path, Page]) -> str:
    """What is wrong with one link; nothing where it is well."""
    parts = urlsplit(link)
    if parts.scheme:
        good = parts.scheme in ("http", "https") and parts.hostname and "." in parts.hostname and " " not in link
        return "" if good or parts.scheme == "mailto" else "is no address"
    path = (page.path.parent / unquote(parts.path)).resolve() if parts.path else page.path
    if not path.exists():
        return "is not there"
    if not parts.fragment or path.suffix != ".md":
        return ""
    target = known.get(path) or known.setdefault(path, read(path))
    return "" if parts.fragment in target.anchors else "names no heading"

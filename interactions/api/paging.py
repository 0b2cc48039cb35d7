"""Pages of lists: an opaque cursor, and the link to the next page (RFC 8288)."""

from __future__ import annotations

import base64
import binascii
from urllib.parse import urlencode

from interactions.api.operation import Page
from interactions.api.problems import BASE, not_found


def encode_cursor(last: str | int) -> str:
    """The cursor after ``last``."""
    return base64.urlsafe_b64encode(str(last).encode()).decode().rstrip("=")


def decode_cursor(cursor: str) -> str:
    """What the page before ended with.

    Raises:
        Problem: it is none of ours.
    """
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), b"-_", validate=True).decode("ascii")
    except (binascii.Error, ValueError):
        raise not_found("There is no such page: the cursor is none that was given out.") from None
    if encode_cursor(text) != cursor or not text.isprintable() or not text:
        raise not_found("There is no such page: the cursor is none that was given out.")
    return text


def decode_number(cursor: str | None) -> int | None:
    """The same for cursors that are numbers; ``None`` for the first page.

    Raises:
        Problem: it is none of ours.
    """
    if cursor is None:
        return None
    text = decode_cursor(cursor)
    if not (text.isascii() and text.isdecimal()) or len(text) > 18:
        raise not_found("There is no such page: the cursor is none that was given out.")
    return int(text)


def next_link(path: str, page: Page, cursor: str | None) -> dict[str, str]:
    """The header that leads on; none on the last page. ``path`` is below ``/api/v1``."""
    if cursor is None:
        return {}
    return {"Link": f'<{BASE}{path}?{urlencode({"limit": page.limit, "cursor": cursor})}>; rel="next"'}
